/* SPDX-License-Identifier: MIT */
/*
 * Private memory: pages that the guest reaches in another memory than the one that the caller sees. Outer code; the
 * look-up is lookup.c's.
 *
 * What is private is a sorted set of ranges of guest-physical addresses, whether or not there is a slot. A slot
 * that has private memory is accompanied by a second one, slot->private, which stands for its pages while they
 * are private; look-ups choose between the two (slot_find), so nobody else has to know.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sys.h"
#include "engine/host/raw.h"
#include "engine/mem/mem_priv.h"

/* ---- the set of ranges ---- */

static void ranges_replace(
	struct memory *mem, u32 at, u32 n, const struct private_range *new, u32 count)
{
	u32 tail = mem->private_count - at - n;

	memmove(&mem->private[at + count], &mem -> private[at + n], tail * sizeof(*new));
	memcpy(&mem->private[at], new, count * sizeof(*new));
	mem->private_count = at + count + tail;
}

/* Room for one more. */
static int private_reserve(struct memory *mem)
{
	u32 more = mem->private_room ? mem->private_room * 2 : 16;
	struct private_range *larger;

	if (mem->private_count < mem->private_room)
		return 0;
	larger = realloc(mem->private, more * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	mem->private = larger;
	mem->private_room = more;
	return 0;
}

/* [gpa, end) becomes private, and one with the ranges that it touches. */
static void range_add(struct memory *mem, u64 gpa, u64 end)
{
	u32 at = private_above(mem, gpa), n = 0;
	struct private_range new = {gpa, end};

	if (at && mem->private[at - 1].end == gpa)
		at--;
	while (at + n < mem->private_count && mem->private[at + n].gpa <= end) {
		new.gpa = MIN(new.gpa, mem->private[at + n].gpa);
		new.end = MAX(new.end, mem->private[at + n].end);
		n++;
	}
	ranges_replace(mem, at, n, &new, 1);
}

/* What is left of the ranges at both ends of [gpa, end) stays. */
static void range_remove(struct memory *mem, u64 gpa, u64 end)
{
	u32 at = private_above(mem, gpa), n = 0, left = 0;
	struct private_range rest[2];

	while (at + n < mem->private_count && mem->private[at + n].gpa < end) {
		const struct private_range r = mem->private[at + n++];

		if (r.gpa < gpa)
			rest[left++] = (struct private_range){r.gpa, gpa};
		if (r.end > end)
			rest[left++] = (struct private_range){end, r.end};
	}
	ranges_replace(mem, at, n, rest, left);
}

/* ---- changes ---- */

/* The pages in the range change sides: what was translated there is void. */
static void end_watches(struct machine *m, u64 gpa, u64 end)
{
	struct memory *mem = m->mem;

	for (u32 i = 0; i < mem->count; i++) {
		struct slot *s = mem->ranges[i].slot;
		u64 base = s->gpa & GPA_BITS, from = MAX(gpa, base), to = MIN(end, base + s->size);

		if (from >= to)
			continue;
		slot_end_watches(m, s, s->gpa + (from - base), to - from);
		if (s->private)
			slot_end_watches(m, s->private, s->gpa + (from - base), to - from);
	}
}

int machine_set_private(struct machine *m, u64 gpa, u64 size, bool private)
{
	struct memory *mem = m->mem;
	int r;

	memory_begin_change(m);
	r = private_reserve(mem);
	if (!r) {
		end_watches(m, gpa, gpa + size);
		if (private)
			range_add(mem, gpa, gpa + size);
		else
			range_remove(mem, gpa, gpa + size);
		memory_changed(m, REQ_FLUSH);
	}
	memory_end_change(m);
	return r;
}

/* ---- a slot's private side ---- */

bool private_taken(const struct memory *mem, u64 private_hva, u64 size)
{
	const u8 *hva = (u8 *)private_hva;

	for (u32 i = 0; i < mem->count; i++) {
		const struct slot *p = mem->ranges[i].slot->private;

		if (p && p->hva < hva + size && hva < p->hva + p->size)
			return true;
	}
	return false;
}

int slot_add_private(struct machine *m, struct slot *s, u64 hva)
{
	struct slot *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	*p = (struct slot){.id = s->id, .gpa = s->gpa, .size = s->size, .hva = (u8 *)hva};
	r = backing_attach(m, p);
	if (r)
		free(p);
	else
		s->private = p;
	return r;
}

void slot_drop_private(struct memory *mem, struct slot *s)
{
	if (!s->private)
		return;
	backing_detach(mem, s->private);
	free(s->private);
	s->private = NULL;
}

void machine_unbind_private(struct machine *m, u64 private_hva, u64 size)
{
	struct memory *mem = m->mem;

	memory_begin_change(m);
	for (u32 i = 0; i < mem->count; i++) {
		struct slot *s = mem->ranges[i].slot;

		if (!s->private || (u64)s->private->hva - private_hva >= size)
			continue;
		slot_end_watches(m, s->private, s->gpa, s->size);
		slot_drop_private(mem, s);
	}
	memory_changed(m, REQ_FLUSH);
	memory_end_change(m);
}

/* ---- memory that is wanted soon ---- */

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#define POPULATE_STEP (2ull << 20)

static int populate(u8 *hva, u64 size)
{
	u8 byte;

	if (!sys_madvise(hva, size, MADV_POPULATE_READ))
		return 0;
	if (errno != EINVAL)
		return -EFAULT;
	for (u64 i = 0; i < size; i += PAGE_SIZE) /* Linux before 5.14 */
		if (guest_copy(&byte, hva + i, 1))
			return -EFAULT;
	return 0;
}

/* How much there is, up to size: pages of one slot, and on one side of it. -errno: not even one page. */
static s64 populate_some(struct machine *m, u64 gpa, u64 size)
{
	struct memory *mem = m->mem;
	u32 hint = 0;
	struct slot *s;
	s64 r;

	pthread_rwlock_rdlock(&mem->lock);
	s = slot_find(mem, gpa, &hint);
	size = MIN(size, memory_mixed(mem) ? PAGE_SIZE : POPULATE_STEP);
	if (s) {
		size = MIN(size, s->gpa + s->size - gpa);
		r = populate(s->hva + (gpa - s->gpa), size);
	} else {
		r = page_private(mem, gpa) ? -EFAULT : -ENOENT;
	}
	pthread_rwlock_unlock(&mem->lock);
	return r ? r : (s64)size;
}

int vcpu_populate(struct vcpu *v, u64 gpa, u64 size, u64 *ret_done)
{
	s64 n = 0;

	*ret_done = 0;
	while (*ret_done < size && n >= 0) {
		u64 at = gpa + *ret_done;

		n = gpa_outside(at, 1) ? populate_some(v->machine, cpu_gpa(&v->cpu, at),
						 MIN(size - *ret_done, GPA_SMM - at))
				       : -ENOENT;
		*ret_done += n > 0 ? n : 0;
	}
	return n < 0 ? (int)n : 0;
}
