/* SPDX-License-Identifier: MIT */
/*
 * Where the guest has RAM. The VM may tell (QUERY_PHYSICAL); otherwise pages are tried, where there was one each page, and
 * in holes one of each 16, so a region of less than 64 KiB in a hole may be missed. The end is told by the VM or the
 * user; without either, it is where 4 GiB are left behind and 1 GiB had nothing.
 */
#include <errno.h>
#include <stdlib.h>

#include "cli/inspect/inspect.h"

#define STRIDE   16ull /* pages, in holes */
#define RUN      256u  /* pages that are tried at once */
#define LONGEST  (1ull << 40)
#define HOLE_MAX (1ull << 30)
#define LOW_END  (1ull << 32)

struct search {
	struct inspect *in;
	struct ram_part *regions;
	unsigned n, room;
	u64 end;    /* of what is to be looked at; 0: not known */
	bool query; /* the VM can tell */
	u8 data[RUN * PAGE_SIZE];
};

static int add(struct search *w, u64 gpa, u64 size)
{
	struct ram_part *last = w->n ? &w->regions[w->n - 1] : NULL, *more;

	if (last && last->gpa + last->size == gpa) {
		last->size += size;
		return 0;
	}
	if (w->n == w->room) {
		more = realloc(w->regions, (w->room + 64) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		w->regions = more;
		w->room += 64;
	}
	w->regions[w->n++] = (struct ram_part){gpa, size};
	return 0;
}

static u64 end_of_last(const struct search *w)
{
	return w->n ? w->regions[w->n - 1].gpa + w->regions[w->n - 1].size : 0;
}

static bool at_end(const struct search *w, u64 gpa)
{
	if (w->end)
		return gpa >= w->end;
	return gpa >= LONGEST || (gpa >= LOW_END && gpa - MAX(end_of_last(w), LOW_END) >= HOLE_MAX);
}

/* Whether a region that the VM tells of is one: a wrong one must not send the search back or round. */
static bool is_sound(u64 gfn, u64 first, u64 pages)
{
	return pages && first <= gfn && pages <= LONGEST / PAGE_SIZE && gfn < first + pages &&
	       first + pages <= LONGEST / PAGE_SIZE;
}

/* The region at gpa, or its rest; *ret_next is where to go on. 1: there is none. */
static int ask(struct search *w, u64 gpa, u64 *ret_next)
{
	u64 first, pages;
	const int r = uvmi_query_physical(w->in->s, gpa >> PAGE_SHIFT, &first, &pages);

	if (r == -ENOSYS || r == -EOPNOTSUPP || r == -EPERM) {
		w->query = false;
		return 1;
	}
	if (r == -ENOENT || r == -EINVAL)
		return 1;
	if (r)
		return r;
	if (!is_sound(gpa >> PAGE_SHIFT, first, pages))
		return -EPROTO;
	*ret_next = (first + pages) << PAGE_SHIFT;
	return add(w, gpa, *ret_next - gpa);
}

/* Reads on from a page that has RAM, as long as there is more. */
static int try_run(struct search *w, u64 gpa, u64 *ret_next)
{
	u8 present[RUN];
	u64 n = RUN;
	int r;

	if (w->end)
		n = MIN(n, (w->end - gpa + PAGE_SIZE - 1) / PAGE_SIZE);
	r = uvmi_read_present(w->in->s, gpa, w->data, n * PAGE_SIZE, present);
	for (u64 i = 0; i < n && !r; i++) {
		*ret_next = gpa + i * PAGE_SIZE;
		if (!present[i])
			return 0;
		r = add(w, *ret_next, PAGE_SIZE);
	}
	*ret_next = gpa + n * PAGE_SIZE;
	return r;
}

/* A byte of the page. 1: there is no RAM. */
static int try_page(struct search *w, u64 gpa)
{
	u8 byte;
	const int r = uvmi_read(w->in->s, gpa, &byte, 1);

	return r == -ENOENT || r == -EINVAL ? 1 : r;
}

/* RAM was found in a hole; it may begin before, at most a stride. */
static int find_begin(struct search *w, u64 *gpa)
{
	const u64 low =
		MAX(end_of_last(w), *gpa >= STRIDE * PAGE_SIZE ? *gpa - STRIDE * PAGE_SIZE : 0);
	int r = 0;

	while (*gpa > low) {
		r = try_page(w, *gpa - PAGE_SIZE);
		if (r)
			break;
		*gpa -= PAGE_SIZE;
	}
	return r < 0 ? r : 0;
}

static int search_step(struct search *w, u64 *gpa)
{
	int r = w->query ? ask(w, *gpa, gpa) : 1;

	if (r <= 0)
		return r;
	r = w->query ? 1 : try_page(w, *gpa);
	if (r == 1) {
		/* Holes begin anywhere, strides do not. */
		*gpa = (*gpa & ~(STRIDE * PAGE_SIZE - 1)) + STRIDE * PAGE_SIZE;
		return 0;
	}
	if (!r)
		r = find_begin(w, gpa);
	return r ? r : try_run(w, *gpa, gpa);
}

static void find_end(struct search *w)
{
	u64 gfn;

	w->end = w->in->max_gpa;
	if (!w->end && !uvmi_get_max_gfn(w->in->s, &gfn) && gfn < LONGEST / PAGE_SIZE)
		w->end = (gfn + 1) << PAGE_SHIFT;
	if (!w->end && uvmi_vm(w->in->s)->max_gpa < LONGEST)
		w->end = uvmi_vm(w->in->s)->max_gpa;
}

int inspect_regions(struct inspect *in, struct ram_part **ret, unsigned *ret_n)
{
	struct search *w = calloc(1, sizeof(*w));
	u64 gpa = 0;
	int r = 0;

	if (!w)
		return -ENOMEM;
	w->in = in;
	w->query = true;
	find_end(w);
	while (!r && !at_end(w, gpa))
		r = inspect_ended(in) ? -EINTR : search_step(w, &gpa);
	if (r)
		free(w->regions);
	else {
		*ret = w->regions;
		*ret_n = w->n;
	}
	free(w);
	return r;
}
