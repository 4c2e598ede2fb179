/* SPDX-License-Identifier: MIT */
/* See ranges.h. Sorted arrays: look-ups by bisection, thousands of ranges are still one short memmove. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "libkvm/ranges.h"

int ranges_from(const struct ranges *t, u64 gpa)
{
	int low = 0, high = t->n;

	while (low < high) {
		int middle = (low + high) / 2;

		if (range_end(ranges_at(t, middle)) > gpa)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

void *ranges_overlapping(const struct ranges *t, u64 gpa, u64 len)
{
	struct gpa_range *r = ranges_at(t, ranges_from(t, gpa));

	return r && r->gpa < gpa + len ? r : NULL;
}

void *ranges_containing(const struct ranges *t, u64 gpa, u64 len)
{
	struct gpa_range *r = ranges_at(t, ranges_from(t, gpa));

	return r && r->gpa <= gpa && len <= range_end(r) - gpa ? r : NULL;
}

int ranges_reserve(struct ranges *t, size_t n)
{
	const size_t least = (size_t)t->n + n, room = MAX(least, (size_t)t->room * 2);
	u8 *items;

	if (least <= (size_t)t->room)
		return 0;
	items = room > INT_MAX ? NULL : reallocarray(t->items, room, t->item_size);
	if (!items)
		return -ENOMEM;
	t->items = items;
	t->room = (int)room;
	return 0;
}

int ranges_insert(struct ranges *t, const void *item)
{
	const struct gpa_range *new = item;
	const int i = ranges_from(t, new->gpa);
	u8 *place;

	uv_assert(!ranges_overlapping(t, new->gpa, new->len));
	if (ranges_reserve(t, 1) < 0)
		return -ENOMEM;
	place = t->items + (size_t)i * t->item_size;
	memmove(place + t->item_size, place, (size_t)(t->n - i) * t->item_size);
	memcpy(place, item, t->item_size);
	t->n++;
	return 0;
}

int ranges_copy(struct ranges *to, const struct ranges *from)
{
	*to = (struct ranges){.item_size = from->item_size};
	if (!from->n)
		return 0;
	to->items = reallocarray(NULL, (size_t)from->n, from->item_size);
	if (!to->items)
		return -ENOMEM;
	memcpy(to->items, from->items, (size_t)from->n * from->item_size);
	to->n = to->room = from->n;
	return 0;
}

void ranges_remove(struct ranges *t, const void *item)
{
	const int i = (int)((size_t)((const u8 *)item - t->items) / t->item_size);

	ranges_cut(t, i, i + 1);
}

void ranges_cut(struct ranges *t, int from, int to)
{
	if (from == to)
		return;
	memmove(t->items + (size_t)from * t->item_size, t->items + (size_t)to * t->item_size,
		(size_t)(t->n - to) * t->item_size);
	t->n -= to - from;
}

void ranges_free(struct ranges *t)
{
	free(t->items);
	t->items = NULL;
	t->n = t->room = 0;
}
