/* SPDX-License-Identifier: MIT */
/*
 * Breakpoints for code that is not plain: a page with a few strange instructions can run as it is, if the process stops in front of
 * each of them. The processor has four, so they are for pages that have made the process stop again and again.
 */
#include "engine/direct/direct_priv.h"

#define WORTH 12u /* stops at a page: fewer than a trial without hope has */
_Static_assert(STRANGE_MAX <= CAGE_BREAKS, "a verdict that tells all can be covered");

static bool is_in(u64 at, u64 page)
{
	return at && ALIGN_DOWN(at, PAGE_SIZE) == page;
}

static bool has(const struct breaks *b, u64 at)
{
	for (unsigned i = 0; i < CAGE_BREAKS; i++)
		if (b->at[i] == at)
			return true;
	return false;
}

/* All of these, and no others in the page. */
static bool are_set(const struct breaks *b, u64 page, const struct verdict *v)
{
	unsigned there = 0;

	for (unsigned i = 0; i < CAGE_BREAKS; i++)
		there += is_in(b->at[i], page);
	for (unsigned i = 0; i < v->count && there == v->count; i++)
		if (!has(b, page + v->at[i]))
			return false;
	return there == v->count;
}

/* ---- stops ---- */

/* The page's, or the one with the fewest stops. */
static struct break_wish *wish_of(struct breaks *b, u64 page)
{
	struct break_wish *least = &b->wish[0];

	for (unsigned i = 0; i < ARRAY_SIZE(b->wish); i++) {
		if (b->wish[i].page == page)
			return &b->wish[i];
		if (b->wish[i].stops < least->stops)
			least = &b->wish[i];
	}
	return least;
}

/* Who takes another's place keeps its stops: so a page that is met often is there at last, however many others are met between. */
void direct_breaks_want(struct direct *d, u64 page)
{
	struct break_wish *w = wish_of(&d->breaks, page);

	w->page = page;
	w->stops++;
}

static bool is_wanted(struct breaks *b, u64 page)
{
	const struct break_wish *w = wish_of(b, page);

	return w->page == page && w->stops >= WORTH;
}

/* ---- setting them ---- */

static bool set(struct direct *d, unsigned i, u64 at)
{
	if (cage_break(d->cage, i, at))
		return false;
	d->breaks.at[i] = at;
	return true;
}

/* One that could not be taken away would stop what comes there later, which is then executed by the engine: no more than that. */
void direct_breaks_release(struct direct *d, u64 page)
{
	for (unsigned i = 0; i < CAGE_BREAKS; i++)
		if (is_in(d->breaks.at[i], page))
			set(d, i, 0);
}

void direct_breaks_release_all(struct direct *d)
{
	for (unsigned i = 0; i < CAGE_BREAKS; i++)
		if (d->breaks.at[i])
			set(d, i, 0);
}

static unsigned free_ones(const struct breaks *b)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CAGE_BREAKS; i++)
		n += !b->at[i];
	return n;
}

static bool claim(struct direct *d, u64 page, const struct verdict *v)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CAGE_BREAKS && n < v->count; i++)
		if (!d->breaks.at[i] && !set(d, i, page + v->at[n++]))
			break;
	if (are_set(&d->breaks, page, v))
		return true;
	d->breaks.refused = true;
	direct_breaks_release(d, page);
	return false;
}

bool direct_breaks_cover(struct direct *d, u64 page, const struct verdict *v)
{
	struct breaks *b = &d->breaks;

	if (are_set(b, page, v))
		return true;
	direct_breaks_release(d, page);
	if (!v->count)
		return true;
	return v->count <= free_ones(b) && !b->refused && is_wanted(b, page) && claim(d, page, v);
}

void direct_breaks_forget(struct direct *d)
{
	d->breaks = (struct breaks){0};
}
