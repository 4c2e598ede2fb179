/* SPDX-License-Identifier: MIT */
/* Memory for the slots' tables: arrays that cost only what is touched, and sorted sequences. See pool.c. */
#ifndef ENGINE_MEM_POOL_H
#define ENGINE_MEM_POOL_H

#include "base/types.h"

/* Sizes of 64 bytes to 128 KiB are kept; larger arrays are mappings. A zeroed struct is an empty pool. */
#define POOL_CLASSES 12
struct pool {
	struct pool_chunk *chunks;
	u64 used; /* of the latest chunk */
	void **free[POOL_CLASSES];
};

/* Zeroed, or NULL. */
void *pool_take(struct pool *p, u64 size);
/* With the size that was asked for. NULL is allowed. */
void pool_give(struct pool *p, void *a, u64 size);
void pool_destroy(struct pool *p);

/* Items in order, in one piece. item is set by the owner; the rest begins as zero. Free storage at the end. */
struct seq {
	u8 *storage;
	u32 item; /* bytes */
	u32 room, first, count;
};
void *seq_begin(const struct seq *s);
/* Make sure of room for one more. -ENOMEM. */
int seq_reserve(struct seq *s);
/* Room at index at, moving the others; it was reserved. */
void *seq_open(struct seq *s, u32 at);
void seq_close(struct seq *s, u32 at);

#endif
