/* SPDX-License-Identifier: MIT */
/*
 * Memory slots: mapped into the partition, found again by who acts for the guest, and the record of written pages. The
 * hypervisor records for the partition as a whole and from then on; what this driver writes for the guest it does not
 * see, so that is recorded here.
 */
#include <errno.h>
#include <stdlib.h>

#include "libkvm/mshv/mshv.h"

#define PAGES(s) ((s)->len / PAGE_SIZE)
#define WORDS(s) (ALIGN_UP(PAGES(s), 64) / 64)

static long map(struct partition *p, const struct mem_slot *s, u8 flags, struct refusal *why)
{
	const struct mshv_user_mem_region region = {
		.size = s->len,
		.guest_pfn = s->gpa / PAGE_SIZE,
		.userspace_addr = (u64)(uintptr_t)s->hva,
		.flags = flags,
	};

	return mshv_ioctl(p->mshv, p->fd, MSHV_SET_GUEST_MEMORY, &region, why);
}

static long map_slot(struct partition *p, const struct mem_slot *s, struct refusal *why)
{
	return map(p, s,
		(u8)(BIT(MSHV_SET_MEM_BIT_EXECUTABLE) |
			(s->read_only ? 0 : BIT(MSHV_SET_MEM_BIT_WRITABLE))),
		why);
}

/* ---- written pages ---- */

static long ask_written(
	struct partition *p, const struct mem_slot *s, u64 *bitmap, struct refusal *why)
{
	const struct mshv_gpap_access_bitmap ask = {
		.access_type = MSHV_GPAP_ACCESS_TYPE_DIRTY,
		.access_op = MSHV_GPAP_ACCESS_OP_CLEAR,
		.page_count = PAGES(s),
		.gpap_base = s->gpa / PAGE_SIZE,
		.bitmap_ptr = (u64)(uintptr_t)bitmap,
	};

	return mshv_ioctl(p->mshv, p->fd, MSHV_GET_GPAP_ACCESS_BITMAP, &ask, why);
}

static long track(struct partition *p, struct refusal *why)
{
	long r = 0;

	if (!p->tracks)
		r = property_set(
			p->mshv, p->fd, HV_PROPERTY_GPA_PAGE_ACCESS_TRACKING, HV_TRACKING_ON, why);
	p->tracks = r >= 0;
	return r;
}

/* What was written before does not count: the hypervisor is asked, and forgets. */
static long log_begin(struct partition *p, struct mem_slot *s, struct refusal *why)
{
	u64 *bitmap = calloc(WORDS(s), sizeof(*bitmap));
	long r = bitmap ? track(p, why) : -ENOMEM;

	if (r >= 0)
		r = ask_written(p, s, bitmap, why);
	if (r < 0) {
		free(bitmap);
		return r;
	}
	for (u64 i = 0; i < WORDS(s); i++)
		bitmap[i] = 0;
	s->written = bitmap;
	return 0;
}

static long log_switch(struct partition *p, struct mem_slot *s, bool on, struct refusal *why)
{
	if (on && !s->written)
		return log_begin(p, s, why);
	if (!on) {
		free(s->written);
		s->written = NULL;
	}
	return 0;
}

long memory_map_all(struct partition *p, struct refusal *why)
{
	long r = 0;

	for (struct mem_slot *s = p->slots; r >= 0 && s < p->slots + MAX_SLOTS; s++) {
		if (s->hva)
			r = map_slot(p, s, why);
		if (r >= 0 && s->written)
			r = track(p, why);
	}
	return r;
}

static long get_written(struct partition *p, struct mem_slot *s, u64 *bitmap, struct refusal *why)
{
	long r;

	for (u64 i = 0; i < WORDS(s); i++)
		bitmap[i] = 0;
	r = ask_written(p, s, bitmap, why);
	for (u64 i = 0; r >= 0 && i < WORDS(s); i++) {
		bitmap[i] |= s->written[i];
		s->written[i] = 0;
	}
	return r;
}

long serve_get_dirty_log(struct ask *c)
{
	struct kvm_dirty_log *log = c->arg;
	struct mem_slot *s = &c->p->slots[MIN(log->slot, MAX_SLOTS - 1u)];
	long r = -ENOENT;

	if (!log->dirty_bitmap)
		return -EFAULT;
	pthread_mutex_lock(&c->p->lock);
	if (log->slot < MAX_SLOTS && s->written)
		r = get_written(c->p, s, log->dirty_bitmap, c->why);
	else
		refuse(c->why, -ENOENT, "slot %lu: writes to it are not recorded", (u64)log->slot);
	pthread_mutex_unlock(&c->p->lock);
	return r;
}

/* ---- slots ---- */

static void forget(struct mem_slot *s)
{
	free(s->written);
	*s = (struct mem_slot){.hva = NULL};
}

static int place_add(struct partition *p, const struct mem_slot *s)
{
	const struct slot_place place = {{s->gpa, s->len}, (u32)(s - p->slots)};

	return ranges_insert(&p->places, &place);
}

static void place_remove(struct partition *p, const struct mem_slot *s)
{
	ranges_remove(&p->places, ranges_containing(&p->places, s->gpa, s->len));
}

static long slot_remove(struct partition *p, struct mem_slot *s, struct refusal *why)
{
	long r;

	if (!s->hva)
		return refuse(why, -EINVAL, "there is no such slot");
	r = map(p, s, BIT(MSHV_SET_MEM_BIT_UNMAP), why);
	if (r < 0)
		return r;
	place_remove(p, s);
	forget(s);
	return 0;
}

static long slot_add(struct partition *p, struct mem_slot *s, const struct mem_slot *new, bool log,
	struct refusal *why)
{
	long r = map_slot(p, new, why);
	struct refusal unsaid;

	if (r < 0)
		return r;
	*s = *new;
	r = place_add(p, s);
	if (r < 0) {
		map(p, s, BIT(MSHV_SET_MEM_BIT_UNMAP), &unsaid);
		forget(s);
		return r;
	}
	r = log_switch(p, s, log, why);
	if (r < 0)
		slot_remove(p, s, &unsaid);
	return r;
}

/* The hypervisor cannot resize a region, and libkvm does not ask for it: only recording changes. */
static long slot_change(struct partition *p, struct mem_slot *s, const struct mem_slot *new,
	bool log, struct refusal *why)
{
	if (s->gpa != new->gpa || s->len != new->len || s->hva != new->hva ||
		s->read_only != new->read_only)
		return refuse(why, -EINVAL, "a slot cannot be moved or resized");
	return log_switch(p, s, log, why);
}

static long slot_set(
	struct partition *p, const struct kvm_userspace_memory_region *r, struct refusal *why)
{
	struct mem_slot *s = &p->slots[r->slot];
	const struct mem_slot new = {
		.gpa = r->guest_phys_addr,
		.len = r->memory_size,
		.hva = (u8 *)(uintptr_t)r->userspace_addr, /* NOLINT: an address by interface */
		.read_only = r->flags & KVM_MEM_READONLY,
	};
	const bool log = r->flags & KVM_MEM_LOG_DIRTY_PAGES;

	if (!new.len)
		return slot_remove(p, s, why);
	return s->hva ? slot_change(p, s, &new, log, why) : slot_add(p, s, &new, log, why);
}

long serve_set_memory(struct ask *c)
{
	const struct kvm_userspace_memory_region *region = c->arg;
	long r = partition_ensure(c->p, c->why);

	if (r < 0)
		return r;
	if (region->slot >= MAX_SLOTS)
		return refuse(c->why, -EINVAL, "slot %lu: there are %lu", (u64)region->slot,
			(u64)MAX_SLOTS);
	pthread_mutex_lock(&c->p->lock);
	r = slot_set(c->p, region, c->why);
	pthread_mutex_unlock(&c->p->lock);
	return r;
}

u8 *memory_at(struct partition *p, u64 gpa, bool write)
{
	const struct slot_place *place = ranges_containing(&p->places, gpa, 1);
	struct mem_slot *s = place ? &p->slots[place->id] : NULL;
	u64 page;

	if (!s || (write && s->read_only))
		return NULL;
	page = (gpa - s->gpa) / PAGE_SIZE;
	if (write && s->written)
		s->written[page / 64] |= BIT64(page % 64);
	return s->hva + (gpa - s->gpa);
}

void memory_begin(struct partition *p)
{
	p->places.item_size = sizeof(struct slot_place);
}

void memory_end(struct partition *p)
{
	for (unsigned i = 0; i < MAX_SLOTS; i++)
		forget(&p->slots[i]);
	ranges_free(&p->places);
}
