/* SPDX-License-Identifier: MIT */
/*
 * Dirty rings: each page that becomes dirty is put into the ring of the vcpu that wrote to it. Inner code.
 *
 * It stands on the bitmap of the dirty log: an entry is made when a page's bit turns from 0 to 1, and resetting
 * the entry clears the bit. The ring is shared with its user, so positions are ours alone and what entries
 * say is believed only after it was checked.
 */
#include "base/spin.h"
#include "engine/mem/mem_priv.h"
#include "engine/mem/memory.h"

/* A vcpu leaves while there is still room for what one instruction, or the engine itself, may write. */
#define RING_RESERVE 64

static void ring_lock(struct dirty_ring *r)
{
	unsigned turns = 0;

	while (__atomic_exchange_n(&r->locked, 1, __ATOMIC_ACQUIRE))
		spin_turn(&turns);
}

static void ring_unlock(struct dirty_ring *r)
{
	__atomic_store_n(&r->locked, 0, __ATOMIC_RELEASE);
}

static bool nearly_full(const struct dirty_ring *r)
{
	return __atomic_load_n(&r->next, __ATOMIC_RELAXED) -
		       __atomic_load_n(&r->reset, __ATOMIC_RELAXED) >=
	       r->size - RING_RESERVE;
}

bool vcpu_ring_full(const struct vcpu *v)
{
	return v->ring && nearly_full(v->ring);
}

static bool append(struct dirty_ring *r, u32 slot, u64 page)
{
	bool room;

	ring_lock(r);
	room = r->next - r->reset < r->size;
	if (room) {
		struct dirty_gfn *e = &r->entry[r->next & (r->size - 1)];

		e->slot = slot;
		e->offset = page;
		__atomic_store_n(&e->flags, DIRTY_GFN_DIRTY, __ATOMIC_RELEASE);
		__atomic_store_n(&r->next, r->next + 1, __ATOMIC_RELAXED);
	}
	ring_unlock(r);
	return room;
}

/*
 * The engine's own threads write on behalf of no vcpu: any ring will do. They are under memory.lock, or inside.
 */
static bool append_anywhere(struct machine *m, u32 slot, u64 page)
{
	struct vcpu *v;

	for_each_vcpu(vcpus_of_memory(m), v)
	{
		if (v->ring && append(v->ring, slot, page))
			return true;
	}
	return false;
}

void ring_push(struct machine *m, struct cpu *cpu, const struct slot *s, u64 gpa)
{
	struct dirty_ring *r = cpu ? cpu->vcpu->ring : NULL;
	u64 page = slot_index(s, gpa);

	if (!r || !append(r, s->id, page))
		append_anywhere(m, s->id, page);
	if (r && nearly_full(r))
		cpu_request(cpu, REQ_RING);
}

/* The next entry that its user has seen, if there is one. */
static bool take_reset(struct dirty_ring *r, struct dirty_gfn *ret)
{
	struct dirty_gfn *e = &r->entry[r->reset & (r->size - 1)];

	if (r->reset == r->next ||
		!(__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) & DIRTY_GFN_RESET))
		return false;
	ret->slot = __atomic_load_n(&e->slot, __ATOMIC_RELAXED);
	ret->offset = __atomic_load_n(&e->offset, __ATOMIC_RELAXED);
	__atomic_store_n(&e->flags, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&r->reset, r->reset + 1, __ATOMIC_RELAXED);
	return true;
}

static void page_clean(const struct memory *mem, const struct dirty_gfn *e)
{
	const struct slot *s = slot_by_id(mem, e->slot);

	if (s && s->dirty && e->offset < s->size >> PAGE_SHIFT)
		__atomic_fetch_and(
			&s->dirty[e->offset / 64], ~BIT64(e->offset % 64), __ATOMIC_SEQ_CST);
}

u32 ring_reset(const struct memory *mem, struct dirty_ring *r)
{
	struct dirty_gfn e;
	u32 n = 0;

	ring_lock(r);
	for (; take_reset(r, &e); n++)
		page_clean(mem, &e);
	ring_unlock(r);
	return n;
}
