/* SPDX-License-Identifier: MIT */
/*
 * Zeroed arrays, one or two for each slot, and sorted sequences that grow at both ends. Outer code.
 *
 * Tens of thousands of slots may each want a few KiB of state words that are never touched. Arrays are therefore
 * cut from large mappings, which cost memory only where they are written; those that are given back are kept by
 * size and zeroed when they are taken again. Large arrays are mappings of their own.
 */
#include "engine/mem/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/reserve.h"

#define SMALLEST 6 /* log2 */
#define CHUNK    (4ull << 20)

static unsigned class_of(u64 size)
{
	unsigned log = size <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(size - 1);

	return MAX(log, SMALLEST) - SMALLEST;
}

/* A chunk's first bytes say where the one before it is. */
struct pool_chunk {
	struct pool_chunk *previous;
};

static void *cut(struct pool *p, u64 size)
{
	u8 *a;

	/* The rest of the last chunk is lost, at most a 32nd. */
	if (!p->chunks || p->used + size > CHUNK) {
		struct pool_chunk *c = reserve(CHUNK);

		if (!c)
			return NULL;
		c->previous = p->chunks;
		p->chunks = c;
		p->used = PAGE_SIZE;
	}
	/* Pages are not shared between arrays that are a page or more. */
	if (size >= PAGE_SIZE)
		p->used = ALIGN_UP(p->used, PAGE_SIZE);
	if (p->used + size > CHUNK)
		return cut(p, size);
	a = (u8 *)p->chunks + p->used;
	p->used += size;
	return a;
}

static void *take_again(struct pool *p, unsigned class)
{
	void **a = p->free[class];
	u64 size = 1ull << (class + SMALLEST);

	p->free[class] = *a;
	/* Not memset(), which would commit what may never be used. */
	if (size < PAGE_SIZE || sys_madvise(a, size, MADV_DONTNEED))
		memset(a, 0, size);
	return a;
}

void *pool_take(struct pool *p, u64 size)
{
	unsigned class = class_of(size);

	if (class >= POOL_CLASSES)
		return reserve(size);
	if (p->free[class])
		return take_again(p, class);
	return cut(p, 1ull << (class + SMALLEST));
}

void pool_give(struct pool *p, void *a, u64 size)
{
	unsigned class = class_of(size);

	if (!a)
		return;
	if (class >= POOL_CLASSES) {
		sys_munmap(a, size);
		return;
	}
	*(void **)a = p->free[class];
	p->free[class] = a;
}

void pool_destroy(struct pool *p)
{
	while (p->chunks) {
		struct pool_chunk *c = p->chunks;

		p->chunks = c->previous;
		sys_munmap(c, CHUNK);
	}
}

/* ---- sequences ---- */

void *seq_begin(const struct seq *s)
{
	return s->storage + (size_t)s->first * s->item;
}

static u8 *place(const struct seq *s, u32 index)
{
	return s->storage + (size_t)(s->first + index) * s->item;
}

/* In the middle of storage that has room for as many again, so that both ends can grow for a long time. */
int seq_reserve(struct seq *s)
{
	u32 room = MAX(s->count * 2, 32u), first = room / 4;
	u8 *larger;

	if (s->first && s->first + s->count < s->room)
		return 0;
	larger = malloc((size_t)room * s->item);
	if (!larger)
		return -ENOMEM;
	if (s->count)
		memcpy(larger + (size_t)first * s->item, seq_begin(s), (size_t)s->count * s->item);
	free(s->storage);
	s->storage = larger;
	s->room = room;
	s->first = first;
	return 0;
}

/* The shorter part moves. */
void *seq_open(struct seq *s, u32 at)
{
	if (at < s->count / 2) {
		s->first--;
		memmove(place(s, 0), place(s, 1), (size_t)at * s->item);
	} else {
		memmove(place(s, at + 1), place(s, at), (size_t)(s->count - at) * s->item);
	}
	s->count++;
	return place(s, at);
}

void seq_close(struct seq *s, u32 at)
{
	s->count--;
	if (at < s->count / 2) {
		memmove(place(s, 1), place(s, 0), (size_t)at * s->item);
		s->first++;
	} else {
		memmove(place(s, at), place(s, at + 1), (size_t)(s->count - at) * s->item);
	}
}
