/* SPDX-License-Identifier: MIT */
/*
 * What is known of a page of host memory that has code, as one word: which page, whether writes to it leave traces, and
 * since when. Private to written.c and written_keep.c.
 */
#ifndef ENGINE_MEM_WRITTEN_H
#define ENGINE_MEM_WRITTEN_H

#include "base/types.h"

#define WRITTEN_PAGES 8192 /* a power of two; a page that another one displaces is forgotten */

/*
 * OPEN: it may be written to without a trace. PROTECTING: it may change to the next state at any moment. ON_TRIAL: it is
 * protected, but may have been pinned before, or changed just before it was protected. TRUSTED: neither.
 */
enum written_state { PAGE_OPEN, PAGE_PROTECTING, PAGE_ON_TRIAL, PAGE_TRUSTED };

struct written {
	_Atomic u64 page[WRITTEN_PAGES];
	_Atomic u64 unpinned;  /* when nothing was pinned, a time; 0: something was */
	_Atomic u64 ranges_at; /* when slots were last registered */
	u64 patience;          /* for how long a page must not be written to; tests have none */
	bool eager;            /* for tests: ask the kernel however little depends on it */
};

/* Times are some 0.1 s long: the host's clock without its last 28 bits. */
#define WRITTEN_CLOCK_SHIFT 28
#define WRITTEN_PATIENCE    20
#define WRITTEN_TIME_MASK   (BIT64(27) - 1)

/* To look at the clock takes as long as much of an exit. */
#define WRITTEN_TURNS 16

static inline u64 written_now(void)
{
	return __builtin_ia32_rdtsc() >> WRITTEN_CLOCK_SHIFT & WRITTEN_TIME_MASK;
}

static inline u64 written_since(u64 time)
{
	return (written_now() - time) & WRITTEN_TIME_MASK;
}

static inline u64 written_word(u64 page, enum written_state state, u64 time)
{
	return page >> 12 << 29 | time << 2 | state;
}

static inline u64 word_page(u64 word)
{
	return word >> 29 << 12;
}

static inline enum written_state word_state(u64 word)
{
	return (enum written_state)(word & 3);
}

static inline u64 word_time(u64 word)
{
	return word >> 2 & WRITTEN_TIME_MASK;
}

static inline _Atomic u64 *word_of(struct written *w, u64 page)
{
	return &w->page[(page >> 12 ^ page >> 25) % WRITTEN_PAGES];
}

#endif
