/* SPDX-License-Identifier: MIT */
/* The random numbers of all fuzzers: xorshift64*, of Marsaglia and Vigna. The state is never 0. */
#ifndef FUZZ_RANDOM_H
#define FUZZ_RANDOM_H

#include <stdbool.h>

#include "base/types.h"

struct random {
	u64 state;
};

static inline u64 rnd(struct random *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return r->state * 0x2545f4914f6cdd1d;
}

static inline u64 rnd_below(struct random *r, u64 n)
{
	return (rnd(r) >> 11) % n;
}

static inline bool rnd_chance(struct random *r, unsigned percent)
{
	return rnd_below(r, 100) < percent;
}

#define RND_OF(r, array) ((array)[rnd_below(r, ARRAY_SIZE(array))])

#endif
