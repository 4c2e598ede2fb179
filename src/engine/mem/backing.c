/* SPDX-License-Identifier: MIT */
/*
 * Which host memory the slots refer to, and who refers to the same. Outer code, except for the walk over aliases.
 *
 * Backings never overlap. A slot whose memory lies in one joins it; one that bridges several, or sticks out,
 * makes a larger one of all of them. Then the state words start again at zero: they say that no cpu has an entry, and
 * that nothing is watched. So every cpu is told right here to drop its entries, and the blocks that were watched are
 * killed; the slot that was the reason may still be refused.
 *
 * Memory that is mapped at two host addresses is two memories here: nothing tells us cheaply that it is one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem/mem_priv.h"

static u64 backing_bytes(const struct backing *b)
{
	return (b->size >> PAGE_SHIFT) * sizeof(u64);
}

static void backing_free(struct memory *mem, struct backing *b)
{
	pool_give(&mem->pool, b->state, backing_bytes(b));
	free(b);
}

static struct backing *backing_create(struct memory *mem, u8 *hva, u64 size)
{
	struct backing *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	*b = (struct backing){.hva = hva, .size = size};
	b->state = pool_take(&mem->pool, backing_bytes(b));
	if (b->state)
		return b;
	free(b);
	return NULL;
}

/* ---- the sorted array ---- */

static struct backing *backing_at(const struct memory *mem, u32 i)
{
	return ((struct backing **)seq_begin(&mem->backings))[i];
}

/* The first backing that ends above hva. */
static u32 first_above(const struct memory *mem, const u8 *hva)
{
	u32 low = 0, high = mem->backings.count;

	while (low < high) {
		u32 mid = low + (high - low) / 2;
		const struct backing *b = backing_at(mem, mid);

		if (b->hva + b->size > hva)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* ---- joining and leaving ---- */

static void join(struct backing *b, struct slot *s)
{
	s->backing = b;
	s->state = b->state + ((s->hva - b->hva) >> PAGE_SHIFT);
	s->next_user = b->users;
	s->user_link = &b->users;
	if (s->next_user)
		s->next_user->user_link = &s->next_user;
	b->users = s;
}

static void leave(struct slot *s)
{
	*s->user_link = s->next_user;
	if (s->next_user)
		s->next_user->user_link = s->user_link;
}

static void move_users(struct machine *m, struct backing *from, struct backing *to)
{
	struct slot *s;

	for (s = from->users; s; s = s->next_user)
		slot_end_watches(m, s, s->gpa, s->size);
	while ((s = from->users)) {
		leave(s);
		join(to, s);
	}
	memory_request_all(m, REQ_FLUSH);
}

/* A backing for [hva, end), and for the n that overlap it. */
static struct backing *unite(struct machine *m, u32 at, u32 n, u8 *hva, u8 *end)
{
	struct memory *mem = m->mem;
	struct backing *b, *last = n ? backing_at(mem, at + n - 1) : NULL;

	if (last) {
		hva = MIN(hva, backing_at(mem, at)->hva);
		end = MAX(end, last->hva + last->size);
	}
	if (seq_reserve(&mem->backings))
		return NULL;
	b = backing_create(mem, hva, end - hva);
	if (!b)
		return NULL;
	for (; n; n--) {
		struct backing *old = backing_at(mem, at);

		move_users(m, old, b);
		seq_close(&mem->backings, at);
		backing_free(mem, old);
	}
	*(struct backing **)seq_open(&mem->backings, at) = b;
	return b;
}

static bool contains(const struct backing *b, const u8 *hva, const u8 *end)
{
	return b->hva <= hva && end <= b->hva + b->size;
}

int backing_attach(struct machine *m, struct slot *s)
{
	struct memory *mem = m->mem;
	u8 *end = s->hva + s->size;
	u32 at = first_above(mem, s->hva), n = 0;
	struct backing *b;

	while (at + n < mem->backings.count && backing_at(mem, at + n)->hva < end)
		n++;
	b = n == 1 ? backing_at(mem, at) : NULL;
	if (!b || !contains(b, s->hva, end))
		b = unite(m, at, n, s->hva, end);
	if (!b)
		return -ENOMEM;
	join(b, s);
	return 0;
}

void backing_detach(struct memory *mem, struct slot *s)
{
	struct backing *b = s->backing;

	leave(s);
	s->backing = NULL;
	s->state = NULL;
	if (b->users)
		return;
	seq_close(&mem->backings, first_above(mem, b->hva));
	backing_free(mem, b);
}
