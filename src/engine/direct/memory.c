/* SPDX-License-Identifier: MIT */
/* A process for a machine: which of its memory can be had there. */
#include <errno.h>
#include <stdlib.h>

#include "base/proc.h"
#include "engine/direct/direct_priv.h"

static bool overlaps(const struct direct *d, const struct ram_region *r)
{
	const u8 *hva = r->hva;

	for (unsigned i = 0; i < d->rams; i++) {
		const u8 *ram = d->ram[i].hva;

		if (hva < ram + d->ram[i].size && ram < hva + r->size)
			return true;
	}
	return false;
}

struct sharing {
	u64 from, to, found;
};

static int add_shared(const struct proc_mapping *m, void *arg)
{
	struct sharing *s = arg;
	const u64 from = MAX(m->start, s->from), to = MIN(m->end, s->to);

	if (m->shared && from < to)
		s->found += to - from;
	return 0;
}

static bool is_shared(const struct ram_region *r)
{
	struct sharing s = {(u64)r->hva, (u64)r->hva + r->size, 0};

	return !proc_mappings(add_shared, &s) && s.found == r->size;
}

static int add(struct direct *d, const struct ram_region *r)
{
	struct cage_ram *more = realloc(d->ram, (d->rams + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	d->ram = more;
	d->ram[d->rams++] = (struct cage_ram){r->hva, r->size};
	return 0;
}

/* What is not MAP_SHARED (firmware, mostly), the engine alone reaches. */
static int find_ram(struct machine *m, struct direct *d)
{
	struct ram_region r;
	int error = 0;

	for (u64 gpa = 0; !error && !machine_ram_at(m, gpa, &r); gpa = r.gpa + r.size)
		if (!overlaps(d, &r) && is_shared(&r))
			error = add(d, &r);
	return error ? error : d->rams ? 0 : -ENOENT;
}

void direct_cage_destroy(struct direct *d)
{
	if (d->cage)
		cage_destroy(d->cage);
	free(d->ram);
	d->cage = NULL;
	d->ram = NULL;
	d->rams = 0;
	direct_pages_forget(d);
}

int direct_cage_create(struct machine *m, struct direct *d)
{
	int r;

	direct_cage_destroy(d);
	d->slots = atomic_load(&m->slot_generation);
	r = find_ram(m, d);
	if (!r)
		r = cage_create(&d->cage, d->ram, d->rams);
	if (r)
		direct_cage_destroy(d);
	return r;
}
