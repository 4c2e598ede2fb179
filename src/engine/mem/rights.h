/* SPDX-License-Identifier: MIT */
/*
 * Rights of guest-physical pages: which kinds of access are denied, by address. Inside engine/mem.
 *
 * One byte a page in leaves of 2 MiB, found through a hash table; no leaf says no denial. It changes while all cpus are paused
 * and memory.lock is held for writing. Each view of memory has its own (views.h).
 */
#ifndef ENGINE_MEM_RIGHTS_H
#define ENGINE_MEM_RIGHTS_H

#include "base/types.h"

#define RIGHTS_LEAF_SHIFT 21
#define RIGHTS_LEAF_PAGES 512

struct rights_leaf {
	u64 key; /* gpa >> RIGHTS_LEAF_SHIFT */
	u8 denied[RIGHTS_LEAF_PAGES];
};

struct rights {
	u32 count, room; /* leaves; entries of the table, a power of two */
	struct rights_leaf **table;
};

static inline u32 rights_hash(const struct rights *r, u64 key)
{
	return (u32)(key * 0x9e3779b97f4a7c15ull >> 32) & (r->room - 1);
}

static inline struct rights_leaf *rights_leaf(const struct rights *r, u64 key)
{
	u32 i = rights_hash(r, key);

	while (r->table[i] && r->table[i]->key != key)
		i = (i + 1) & (r->room - 1);
	return r->table[i];
}

/* gpa: without its address space. The table is not empty. */
static inline u8 rights_denied(const struct rights *r, u64 gpa)
{
	const struct rights_leaf *leaf = rights_leaf(r, gpa >> RIGHTS_LEAF_SHIFT);

	return leaf ? leaf->denied[gpa >> 12 & (RIGHTS_LEAF_PAGES - 1)] : 0;
}

struct page_rights; /* engine/tap.h */
/* *ret_denies is set if something is denied that was not. -ENOMEM: nothing has changed. */
int rights_set(struct rights *r, const struct page_rights *p, unsigned n, bool *ret_denies);
void rights_free(struct rights *r);

#endif
