/* SPDX-License-Identifier: MIT */
/*
 * Accessed and dirty bits of guest-physical pages, as Hyper-V's second-level tables keep them for a partition. Outer code.
 *
 * The dirty bits are those of the dirty log (dirty.c), which every slot has while they are kept. An accessed bit is set
 * where a page is looked up: a fill of the TLB, a fetch, a table that is walked, a write by the engine. So
 * a page whose bit is clear has no entry anywhere, and clearing bits takes the entries away.
 */
#include <errno.h>
#include <string.h>

#include "engine/mem/mem_priv.h"
#include "engine/request/pause.h"

#define CLEARS (ACCESS_CLEAR_ACCESSED | ACCESS_CLEAR_DIRTY)
#define SETS   (ACCESS_SET_ACCESSED | ACCESS_SET_DIRTY)

/* ---- the bitmaps of a slot; all cpus are paused and the lock is held ---- */

int slot_track(struct memory *mem, struct slot *s)
{
	s->accessed = pool_take(&mem->pool, slot_bits_bytes(s));
	if (s->accessed && !s->dirty)
		s->dirty = pool_take(&mem->pool, slot_bits_bytes(s));
	if (s->accessed && s->dirty)
		return 0;
	slot_untrack(mem, s);
	return -ENOMEM;
}

void slot_untrack(struct memory *mem, struct slot *s)
{
	pool_give(&mem->pool, s->accessed, slot_bits_bytes(s));
	s->accessed = NULL;
	if (s->flags & SLOT_LOG_DIRTY)
		return;
	pool_give(&mem->pool, s->dirty, slot_bits_bytes(s));
	s->dirty = NULL;
}

static void untrack_first(struct memory *mem, u32 n)
{
	for (u32 i = 0; i < n; i++)
		slot_untrack(mem, mem->ranges[i].slot);
}

static int track_all(struct memory *mem)
{
	for (u32 i = 0; i < mem->count; i++)
		if (slot_track(mem, mem->ranges[i].slot)) {
			untrack_first(mem, i);
			return -ENOMEM;
		}
	return 0;
}

int machine_track_access(struct machine *m, bool on)
{
	struct memory *mem = m->mem;
	int r = 0;

	memory_begin_change(m);
	if (on && !mem->tracks)
		r = track_all(mem);
	else if (!on && mem->tracks)
		untrack_first(mem, mem->count);
	if (!r)
		mem->tracks = on;
	memory_request_all(m, REQ_FLUSH);
	memory_end_change(m);
	return r;
}

/* ---- what the caller sees, and changes ---- */

static u8 bit_of(const u64 *bits, u64 page)
{
	return __atomic_load_n(&bits[page / 64], __ATOMIC_SEQ_CST) >> page % 64 & 1;
}

static void put_bit(u64 *bits, u64 page, bool set)
{
	if (set)
		__atomic_fetch_or(&bits[page / 64], BIT64(page % 64), __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&bits[page / 64], ~BIT64(page % 64), __ATOMIC_SEQ_CST);
}

static u8 state_of(const struct slot *s, u64 page)
{
	return (u8)(bit_of(s->accessed, page) * PAGE_ACCESSED |
		    bit_of(s->dirty, page) * PAGE_DIRTY);
}

static u8 state_after(u8 state, u32 ops)
{
	if (ops & ACCESS_CLEAR_ACCESSED)
		state = 0;
	if (ops & ACCESS_SET_ACCESSED)
		state |= PAGE_ACCESSED;
	if (ops & ACCESS_CLEAR_DIRTY)
		state &= ~PAGE_DIRTY;
	if (ops & ACCESS_SET_DIRTY)
		state |= PAGE_ACCESSED | PAGE_DIRTY;
	return state;
}

/* Returns the state before, and in *lost what has gone. */
static u8 page_change(const struct slot *s, u64 page, u32 ops, u8 *lost)
{
	u8 before = state_of(s, page), after = state_after(before, ops), change = before ^ after;

	if (change & PAGE_ACCESSED)
		put_bit(s->accessed, page, after & PAGE_ACCESSED);
	if (change & PAGE_DIRTY)
		put_bit(s->dirty, page, after & PAGE_DIRTY);
	*lost |= before & ~after;
	return before;
}

/* The pages of [first, first + pages) that have slots; ret has zeros for the others. */
static u8 pages_change(const struct memory *mem, u64 first, u64 pages, u32 ops, u8 *ret)
{
	u64 gpa = first << PAGE_SHIFT, end = gpa + (pages << PAGE_SHIFT);
	u8 lost = 0;

	for (u32 i = ranges_search(mem, gpa); i < mem->count && mem->ranges[i].gpa < end; i++) {
		const struct slot *s = mem->ranges[i].slot;
		u64 from = MAX(gpa, s->gpa), to = MIN(end, s->gpa + s->size);

		for (u64 at = from; at < to; at += PAGE_SIZE)
			ret[(at - gpa) >> PAGE_SHIFT] =
				page_change(s, slot_index(s, at), ops, &lost);
	}
	return lost;
}

/* Where physical addresses end, there are no slots. */
static u64 pages_below_end(u64 first, u64 pages)
{
	const u64 all = GPA_SMM >> PAGE_SHIFT;

	return first >= all ? 0 : MIN(pages, all - first);
}

int machine_access_states(struct machine *m, u64 first_page, u64 pages, u32 ops, u8 *ret)
{
	struct memory *mem = m->mem;
	bool tracks;
	u8 lost = 0;

	if (ops & ~(CLEARS | SETS))
		return -EINVAL;
	/* What is cleared while a cpu fills its TLB would be missed. */
	if (ops & CLEARS)
		machine_pause(m);
	pthread_rwlock_rdlock(&mem->lock);
	tracks = mem->tracks;
	if (tracks) {
		memset(ret, 0, pages);
		pages = pages_below_end(first_page, pages);
		lost = pages ? pages_change(mem, first_page, pages, ops, ret) : 0;
	}
	if (lost) /* REQ_FLUSH is for all entries */
		memory_request_all(m, lost & PAGE_ACCESSED ? REQ_FLUSH : REQ_FLUSH_W);
	pthread_rwlock_unlock(&mem->lock);
	if (ops & CLEARS)
		machine_resume(m);
	return tracks ? 0 : -ENOENT;
}
