/* SPDX-License-Identifier: MIT */
/*
 * Has the guest's memory changed under the blocks of a page? Asked for each page that runs after each interrupt of
 * a device (recheck.c), so it is most of what a short transfer costs. A page of a kernel has some hundred blocks,
 * which overlap and lie scattered among all others; their bytes put together, the copy, are compared as a few
 * runs instead.
 *
 * Lists grow at their head, so an copy stays good for the tail that it was made from, and newer blocks are compared
 * one by one until they are worth a new copy. Equal to the copy means equal to each block of the tail. Not equal
 * may also be due to a block that has died since; then the blocks are asked.
 *
 * Called with the cache lock held. Inner code.
 */
#include <string.h>

#include "engine/code/block.h"
#include "engine/host/raw.h"

#define FEW_BLOCKS 4 /* are compared faster than looked up in an copy */

static const u8 *place_in(const u8 *page, const struct block *t)
{
	return page + (t->gpa & ~PAGE_MASK);
}

/* The blocks from first to before end: is memory what they were made from? */
static bool list_differs(
	const struct blocks *b, u32 first, u32 end, const u8 *page, unsigned *ret_count)
{
	for (u32 i = first; i != end; i = block_at(b, i)->next_in_page) {
		const struct block *t = block_at(b, i);

		if (ret_count)
			++*ret_count;
		if (!t->dead && guest_compare(block_guest_bytes(b, t), place_in(page, t),
					block_bytes_in_page(t)))
			return true;
	}
	return false;
}

static bool copy_differs(const struct page_copy *copy, const u8 *hva)
{
	for (unsigned i = 0; i < copy->runs; i++) {
		unsigned from = copy->run[i].from;

		if (guest_compare(copy->byte + from, hva + from, copy->run[i].to - from))
			return true;
	}
	return false;
}

/* ---- making one ---- */

struct covered {
	u64 bits[PAGE_SIZE / 64];
};

static void cover(struct covered *c, unsigned from, unsigned to)
{
	while (from < to) {
		unsigned n = MIN(64 - from % 64, to - from);

		c->bits[from / 64] |= (~0ull >> (64 - n)) << from % 64;
		from += n;
	}
}

/* The first place at or after from that is covered, or is not; PAGE_SIZE if there is none. */
static unsigned next_place(const struct covered *c, unsigned from, bool is_covered)
{
	while (from < PAGE_SIZE) {
		u64 word = c->bits[from / 64] ^ (is_covered ? 0 : ~0ull);

		word >>= from % 64;
		if (word)
			return from + (unsigned)__builtin_ctzll(word);
		from = (from | 63) + 1;
	}
	return PAGE_SIZE;
}

/* False: there are too many. */
static bool store_runs(struct page_copy *copy, const struct covered *c)
{
	unsigned from = next_place(c, 0, true);

	for (copy->runs = 0; from < PAGE_SIZE; copy->runs++) {
		unsigned to = next_place(c, from, false);

		if (copy->runs == COPY_RUNS)
			return false;
		copy->run[copy->runs].from = (u16)from;
		copy->run[copy->runs].to = (u16)to;
		from = next_place(c, to, true);
	}
	return true;
}

/* Returns how many blocks, the dead ones included. */
static u32 store_bytes(struct blocks *b, u32 first, struct page_copy *copy, struct covered *covered)
{
	u32 count = 0;

	for (u32 i = first; i != BLOCK_NONE; i = block_at(b, i)->next_in_page, count++) {
		const struct block *t = block_at(b, i);
		unsigned at = (unsigned)(t->gpa & ~PAGE_MASK), n = block_bytes_in_page(t);

		if (t->dead)
			continue;
		memcpy(copy->byte + at, block_guest_bytes(b, t), n);
		cover(covered, at, at + n);
	}
	return count;
}

static struct page_copy *copy_of(struct page_table *t, struct page_blocks *page)
{
	if (!page->copy && t->copies_used + 1 < COPIES_MAX)
		page->copy = ++t->copies_used;
	return page->copy ? &t->copy[page->copy] : NULL;
}

/*
 * There is none if the page has too many runs, or if overlapping blocks were made from different bytes, because
 * memory was changing meanwhile. The next try is after the list has grown, as when there is one.
 */
static void make_copy(struct blocks *b, struct page_blocks *page)
{
	struct page_copy *copy = copy_of(&b->page, page);
	struct covered covered = {0};
	bool good = false;

	if (copy) {
		page->copy_blocks = store_bytes(b, page->first, copy, &covered);
		good = store_runs(copy, &covered) &&
		       !list_differs(b, page->first, BLOCK_NONE, copy->byte, NULL);
	}
	page->copy_first = good ? page->first : BLOCK_NONE;
}

bool page_differs(struct blocks *b, struct page_blocks *page, const u8 *hva)
{
	u32 known = page->copy_first;
	unsigned news = 0;
	bool renew;

	if (list_differs(b, page->first, known, hva, &news))
		return true;
	if (!known)
		news -= MIN(page->copy_blocks, news);
	renew = news > FEW_BLOCKS + page->copy_blocks / 8;
	if (known && copy_differs(&b->page.copy[page->copy], hva)) {
		if (list_differs(b, known, BLOCK_NONE, hva, NULL))
			return true;
		renew = true;
	}
	if (renew)
		make_copy(b, page);
	return false;
}
