/* SPDX-License-Identifier: MIT */
/* A code cache whose chunks have room for little more than one block. */
#ifndef TESTS_SMALL_CACHE_H
#define TESTS_SMALL_CACHE_H

#include "engine/code/cache.h"
#include "engine/jit/gen.h"

/* chunks: no more than so many; 0: as many as guest memory is worth. Before any vcpu has run. */
static inline void small_cache(struct code_cache *c, u32 chunks)
{
	c->chunk_bytes = 2 * GEN_BYTES_MAX;
	c->chunks_max = chunks;
	cache_reset(c);
}

#endif
