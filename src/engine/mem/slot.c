/* SPDX-License-Identifier: MIT */
/*
 * Memory slots: create, move, change, delete. Outer code.
 *
 * A change happens while every cpu is paused, hence outside of inner code: no look-up is in flight,
 * and a flush requested now is done by each cpu before it looks again (REQ_FLUSH in exit_request
 * is served on entry). Order: pause first, then memory.lock, so that a holder of the lock never waits
 * for a pause. The error rules are those of KVM_SET_USER_MEMORY_REGION.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/mem/mem_priv.h"
#include "base/sys.h"
#include "engine/mem/memory.h"
#include "engine/request/pause.h"
#include "engine/request/subscriber.h"
#include "engine/mem/mem.h"
#include "engine/core/vcpus.h"

#define SLOT_FLAGS     (SLOT_LOG_DIRTY | SLOT_READONLY | SLOT_PRIVATE | SLOT_NOEXEC)
#define SLOT_MAX_PAGES 0x7fffffffull
#define BY_ID_BYTES    (MACHINE_SPACES * MACHINE_MAX_SLOTS * sizeof(struct slot *))

static u64 config_gpa(const struct memslot_config *c)
{
	return c->gpa | (c->id >> 16 ? GPA_SMM : 0);
}

/* ---- slots ---- */

static void slot_destroy(struct memory *mem, struct slot *s)
{
	if (!s)
		return;
	slot_drop_private(mem, s);
	if (s->backing)
		backing_detach(mem, s);
	pool_give(&mem->pool, s->dirty, slot_bits_bytes(s));
	pool_give(&mem->pool, s->accessed, slot_bits_bytes(s));
	free(s);
}

/* Manual mode may want a log that begins with everything; rings are never asked for that. */
static int log_create(struct memory *mem, struct slot *s)
{
	u64 pages = s->size >> PAGE_SHIFT;

	s->dirty = pool_take(&mem->pool, slot_bits_bytes(s));
	if (!s->dirty)
		return -ENOMEM;
	if (!(mem->log_flags & DIRTY_LOG_INITIALLY_SET) || mem->ring)
		return 0;
	memset(s->dirty, 0xff, pages / 64 * 8);
	if (pages % 64)
		s->dirty[pages / 64] = BIT64(pages % 64) - 1;
	return 0;
}

/* What can be refused comes first: to share memory with other slots may cost these their watches. */
static int slot_fill(struct machine *m, struct slot *s, const struct memslot_config *c)
{
	int r = 0;

	if ((c->flags & SLOT_PRIVATE) && private_taken(m->mem, c->private_hva, c->size))
		return -EEXIST;
	if (c->flags & SLOT_LOG_DIRTY)
		r = log_create(m->mem, s);
	if (!r && m->mem->tracks)
		r = slot_track(m->mem, s);
	if (!r)
		r = backing_attach(m, s);
	if (!r && (c->flags & SLOT_PRIVATE))
		r = slot_add_private(m, s, c->private_hva);
	return r;
}

static int slot_create(struct machine *m, const struct memslot_config *c, struct slot **ret)
{
	struct slot *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	*s = (struct slot){.id = c->id,
		.flags = c->flags,
		.gpa = config_gpa(c),
		.size = c->size,
		.hva = (u8 *)(uintptr_t)c->hva};
	r = slot_fill(m, s, c);
	if (r)
		slot_destroy(m->mem, s);
	else
		*ret = s;
	return refuse_if(c->why, r, -EEXIST,
		"slot %lu: its guest_memfd memory is already in another slot", (u64)c->id);
}

/* ---- the sorted array ---- */

static void ranges_changed(struct memory *mem)
{
	mem->ranges = seq_begin(&mem->range_seq);
	mem->count = mem->range_seq.count;
}

/* Room was reserved. */
static void ranges_insert(struct memory *mem, struct slot *s)
{
	struct range *r = seq_open(&mem->range_seq, ranges_search(mem, s->gpa));

	*r = (struct range){s->gpa, s->size, s};
	ranges_changed(mem);
}

static void ranges_remove(struct memory *mem, const struct slot *s)
{
	u32 at = ranges_search(mem, s->gpa);

	uv_assert(at < mem->count && mem->ranges[at].slot == s);
	seq_close(&mem->range_seq, at);
	ranges_changed(mem);
}

/* Does anything but self lie in the range? */
/* -EEXIST if another slot than self, which is to be changed, lies where c wants to. */
static int check_overlap(
	const struct memory *mem, const struct memslot_config *c, const struct slot *self)
{
	u64 gpa = config_gpa(c);

	for (u32 i = ranges_search(mem, gpa); i < mem->count; i++) {
		const struct slot *s = mem->ranges[i].slot;

		if (mem->ranges[i].gpa >= gpa + c->size)
			return 0;
		if (s != self)
			return refuse(c->why, -EEXIST,
				"slot %lu overlaps slot %lu, which is at 0x%lx", (u64)c->id,
				(u64)s->id, (u64)(s->gpa & ~GPA_SMM));
	}
	return 0;
}

/* ---- changes; all cpus are paused and the lock is held ---- */

void memory_request_all(struct machine *m, u32 req)
{
	struct vcpu *v;

	for_each_vcpu(vcpus_paused(m), v) cpu_request(&v->cpu, req);
}

void memory_changed(struct machine *m, u32 req)
{
	atomic_fetch_add(&m->slot_generation, 1);
	memory_request_all(m, req);
}

/* A watch is on the host's memory: what is translated from it at any address, and seen there or not, goes with it. */
static void end_watch(struct machine *m, struct slot *s, u64 page)
{
	const u8 *hva = s->hva + page * PAGE_SIZE;

	for (const struct slot *u = s->backing->users; u; u = u->next_user)
		if ((u64)(hva - u->hva) < u->size)
			m->watcher->changed(m, u->gpa + (u64)(hva - u->hva), PAGE_SIZE);
	__atomic_fetch_and(&s->state[page], ~PAGE_WATCHED, __ATOMIC_SEQ_CST);
	atomic_fetch_add(&m->unwatched, 1);
}

void slot_end_watches(struct machine *m, struct slot *s, u64 gpa, u64 size)
{
	u64 part = slot_part_pages(s), from = slot_index(s, gpa), to = from + (size >> PAGE_SHIFT);

	for (u64 parts = s->watched_parts; parts; parts &= parts - 1) {
		u64 first = __builtin_ctzll(parts) * part;

		for (u64 i = MAX(first, from); i < MIN(first + part, to); i++) {
			if (s->state[i] & PAGE_WATCHED)
				end_watch(m, s, i);
		}
		if (first >= from && first + part <= to)
			s->watched_parts &= ~(parts & -parts);
	}
}

/* The pages leave their addresses: what was translated there is void, and so are the watches. */
static void end_watches(struct machine *m, struct slot *s)
{
	slot_end_watches(m, s, s->gpa, s->size);
	s->watched_parts = 0;
	if (s->private)
		slot_end_watches(m, s->private, s->gpa, s->size);
}

static int delete_slot(struct machine *m, const struct memslot_config *c, struct slot *old,
	struct ram_region *gone)
{
	if (!old)
		return refuse(c->why, -EINVAL,
			"slot %lu: memory_size 0 deletes a slot, but there is no such slot",
			(u64)c->id);
	*gone = (struct ram_region){.hva = old->hva, .size = old->size};
	end_watches(m, old);
	slot_drop_overlays(m, old);
	ranges_remove(m->mem, old);
	*slot_entry(m->mem, old->id) = NULL;
	slot_destroy(m->mem, old);
	memory_changed(m, REQ_FLUSH);
	return 0;
}

static int create_slot(struct machine *m, const struct memslot_config *c)
{
	struct memory *mem = m->mem;
	struct slot *s;
	int r;

	if (check_overlap(mem, c, NULL))
		return -EEXIST;
	if (seq_reserve(&mem->range_seq))
		return -ENOMEM;
	ranges_changed(mem);
	r = slot_create(m, c, &s);
	if (r)
		return r;
	ranges_insert(mem, s);
	*slot_entry(mem, c->id) = s;
	memory_changed(m, REQ_FLUSH); /* fetch caches know that there was no RAM */
	return 0;
}

/* A new log starts empty; the flush by our callers makes the next store to each page be noticed. */
static int set_logging(struct memory *mem, struct slot *s, u32 flags)
{
	if ((flags & SLOT_LOG_DIRTY) && !s->dirty) {
		if (log_create(mem, s))
			return -ENOMEM;
	} else if (!(flags & SLOT_LOG_DIRTY) && s->dirty && !mem->tracks) {
		pool_give(&mem->pool, s->dirty, slot_bits_bytes(s));
		s->dirty = NULL;
	}
	s->flags = flags;
	return 0;
}

/* The state words belong to the host's memory, which stays where it is. */
static int move_slot(struct machine *m, struct slot *s, const struct memslot_config *c)
{
	int r;

	if (check_overlap(m->mem, c, s))
		return -EEXIST;
	if (seq_reserve(&m->mem->range_seq))
		return -ENOMEM;
	ranges_changed(m->mem);
	r = set_logging(m->mem, s, c->flags);
	if (r)
		return r;
	end_watches(m, s);
	slot_drop_overlays(m, s);
	ranges_remove(m->mem, s);
	s->gpa = config_gpa(c);
	ranges_insert(m->mem, s);
	memory_changed(m, REQ_FLUSH);
	return 0;
}

/* A slot that exists can be moved, logged and deleted. */
static int check_change(const struct slot *s, const struct memslot_config *c)
{
	if (c->size != s->size)
		return refuse(c->why, -EINVAL,
			"memory_size 0x%lx: slot %lu exists with size 0x%lx; delete it first",
			c->size, (u64)c->id, s->size);
	if ((c->flags | s->flags) & SLOT_PRIVATE)
		return refuse(c->why, -EINVAL,
			"slot %lu: a slot with guest_memfd cannot change; delete it first",
			(u64)c->id);
	if (c->hva != (u64)s->hva)
		return refuse(c->why, -EINVAL,
			"userspace_addr 0x%lx: slot %lu exists at 0x%lx; delete it first", c->hva,
			(u64)c->id, (u64)s->hva);
	if ((c->flags ^ s->flags) & SLOT_READONLY)
		return refuse(c->why, -EINVAL,
			"flags: KVM_MEM_READONLY of slot %lu cannot change; delete the slot first",
			(u64)c->id);
	if ((c->flags ^ s->flags) & SLOT_NOEXEC)
		return refuse(c->why, -EINVAL,
			"flags: whether slot %lu may be executed cannot change; delete the slot "
			"first",
			(u64)c->id);
	return 0;
}

static int modify_slot(struct machine *m, struct slot *s, const struct memslot_config *c)
{
	int r;

	if (check_change(s, c))
		return -EINVAL;
	if (config_gpa(c) != s->gpa)
		return move_slot(m, s, c);
	if (c->flags == s->flags)
		return 0;
	r = set_logging(m->mem, s, c->flags);
	if (!r)
		memory_changed(m, REQ_FLUSH_W);
	return r;
}

static int apply(struct machine *m, const struct memslot_config *c, struct ram_region *gone)
{
	struct slot *old = slot_by_id(m->mem, c->id);

	if (!c->size)
		return delete_slot(m, c, old, gone);
	return old ? modify_slot(m, old, c) : create_slot(m, c);
}

/* What abi/ has checked already is not explained again. */
static int check_config(const struct memslot_config *c)
{
	if (c->id >> 16 >= MACHINE_SPACES || (c->id & 0xffff) >= MACHINE_MAX_SLOTS ||
		(c->flags & ~SLOT_FLAGS))
		return -EINVAL;
	if ((c->gpa | c->size | c->hva) & ~PAGE_MASK)
		return -EINVAL;
	if (c->size >> PAGE_SHIFT > SLOT_MAX_PAGES || c->gpa > GPA_SMM ||
		c->gpa + c->size > GPA_SMM)
		return refuse(c->why, -EINVAL,
			"guest_phys_addr 0x%lx: the slot ends beyond 52 bits of physical address",
			c->gpa);
	if ((c->flags & SLOT_PRIVATE) && c->size &&
		(!c->private_hva || c->private_hva & ~PAGE_MASK))
		return -EINVAL;
	return c->hva <= HOST_END && c->size <= HOST_END - c->hva ? 0 : -EINVAL;
}

/* No lock is held: the subscriber may do whatever it likes about it. */
static void tell_gone(struct machine *m, const struct ram_region *gone)
{
	void *opaque;
	const struct tap *ops = subscriber_hold(m, &opaque);

	if (ops && ops->memory_gone)
		ops->memory_gone(opaque, gone->hva, gone->size);
	subscriber_release(m, ops);
}

int machine_set_memslot(struct machine *m, const struct memslot_config *c)
{
	struct ram_region gone = {0};
	int r;

	if (check_config(c))
		return -EINVAL;
	memory_begin_change(m);
	r = apply(m, c, &gone);
	memory_end_change(m);
	if (gone.size)
		tell_gone(m, &gone);
	return r;
}

u64 machine_slot_pages(struct machine *m, u32 id)
{
	const struct slot *s;
	u64 pages;

	pthread_rwlock_rdlock(&m->mem->lock);
	s = slot_by_id(m->mem, id);
	pages = s ? s->size >> PAGE_SHIFT : 0;
	pthread_rwlock_unlock(&m->mem->lock);
	return pages;
}

static const struct slot *slot_at_or_above(const struct memory *mem, u64 gpa)
{
	u32 at = ranges_search(mem, gpa);

	return at < mem->count && mem->ranges[at].gpa < GPA_SMM ? mem->ranges[at].slot : NULL;
}

int machine_ram_at(struct machine *m, u64 gpa, struct ram_region *ret)
{
	const struct slot *s;

	pthread_rwlock_rdlock(&m->mem->lock);
	s = slot_at_or_above(m->mem, MIN(gpa, GPA_SMM));
	if (s)
		*ret = (struct ram_region){.gpa = s->gpa,
			.size = s->size,
			.hva = s->hva,
			.readonly = s->flags & SLOT_READONLY,
			.mixed = s->private};
	pthread_rwlock_unlock(&m->mem->lock);
	return s ? 0 : -ENOENT;
}

/* gpa_outside(): what system management mode has for itself is not told. */
int machine_page_at(struct machine *m, u64 gpa, struct ram_page *ret)
{
	u32 hint = 0;
	struct slot *base, *s = NULL;

	if (!gpa_outside(ALIGN_DOWN(gpa, PAGE_SIZE), PAGE_SIZE))
		return -ENOENT;
	pthread_rwlock_rdlock(&m->mem->lock);
	base = slot_find_any(m->mem, gpa, &hint);
	if (base)
		s = slot_side(m->mem, base, gpa);
	if (s)
		*ret = (struct ram_page){.hva = s->hva + (ALIGN_DOWN(gpa, PAGE_SIZE) - s->gpa),
			.own = s == base,
			.readonly = s->flags & SLOT_READONLY};
	pthread_rwlock_unlock(&m->mem->lock);
	return s ? 0 : -ENOENT;
}

/* ---- start and end ---- */

u64 machine_memory_bytes(const struct machine *m)
{
	u64 bytes = 0;

	for (u32 i = 0; i < m->mem->count; i++)
		bytes += m->mem->ranges[i].slot->size;
	return bytes;
}

int memory_create(struct machine *m)
{
	struct memory *mem = calloc(1, sizeof(*mem));

	if (!mem)
		return -ENOMEM;
	mem->range_seq.item = sizeof(struct range);
	mem->backings.item = sizeof(struct backing *);
	mem->overlay_seq.item = sizeof(struct range);
	mem->shared_seq.item = sizeof(struct shared_page);
	views_create(mem);
	/* Half a megabyte of which few pages are ever touched: a mapping, for the heap would zero it. */
	mem->by_id = pool_take(&mem->pool, BY_ID_BYTES);
	if (!mem->by_id || pthread_rwlock_init(&mem->lock, NULL)) {
		pool_give(&mem->pool, mem->by_id, BY_ID_BYTES);
		free(mem);
		return -ENOMEM;
	}
	m->mem = mem;
	written_create(m);
	return 0;
}

void memory_destroy(struct machine *m)
{
	struct memory *mem = m->mem;

	overlays_destroy(mem);
	for (u32 i = 0; i < mem->count; i++)
		slot_destroy(mem, mem->ranges[i].slot);
	written_destroy(m);
	pthread_rwlock_destroy(&mem->lock);
	free(mem->range_seq.storage);
	free(mem->backings.storage);
	free(mem->private);
	views_free(mem);
	pool_give(&mem->pool, mem->by_id, BY_ID_BYTES);
	pool_destroy(&mem->pool);
	free(mem);
	m->mem = NULL;
}
