/* SPDX-License-Identifier: MIT */
/* A table of guest-physical ranges that do not overlap, in their order. Each item begins with a struct gpa_range. */
#ifndef LIBKVM_RANGES_H
#define LIBKVM_RANGES_H

#include <stddef.h>

#include "base/types.h"

struct gpa_range {
	u64 gpa;
	u64 len; /* > 0, and the end does not wrap around */
};

struct ranges {
	u8 *items;
	size_t item_size;
	int n, room;
};

static inline u64 range_end(const struct gpa_range *r)
{
	return r->gpa + r->len;
}

/* The i-th, or NULL beyond the last. */
static inline void *ranges_at(const struct ranges *t, int i)
{
	return i < t->n ? t->items + (size_t)i * t->item_size : NULL;
}

/* Index of the first that ends behind gpa: it contains gpa or lies behind it. */
int ranges_from(const struct ranges *t, u64 gpa);
/* The first that has something of [gpa, gpa + len), or NULL. */
void *ranges_overlapping(const struct ranges *t, u64 gpa, u64 len);
/* The one that contains all of [gpa, gpa + len), len > 0, or NULL. */
void *ranges_containing(const struct ranges *t, u64 gpa, u64 len);
/* The next n insertions do not fail. -ENOMEM. */
int ranges_reserve(struct ranges *t, size_t n);
/* Copies the item in; it must overlap no other. -ENOMEM. Pointers into the table do not survive. */
int ranges_insert(struct ranges *t, const void *item);
/* *to is empty; -ENOMEM. */
int ranges_copy(struct ranges *to, const struct ranges *from);
void ranges_remove(struct ranges *t, const void *item);
/* Removes those from index `from` up to but not including `to`, at once. */
void ranges_cut(struct ranges *t, int from, int to);
void ranges_free(struct ranges *t);

#endif
