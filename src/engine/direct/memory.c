/* SPDX-License-Identifier: MIT */
/* A process for a machine: which of its memory can be had there. */
#include <errno.h>
#include <stdlib.h>

#include "base/direct.h"
#include "base/proc.h"
#include "engine/direct/direct_priv.h"
#include "engine/request/pause.h"

static bool ranges_meet(const void *a, u64 a_size, const void *b, u64 b_size)
{
	return (u64)a < (u64)b + b_size && (u64)b < (u64)a + a_size;
}

static bool overlaps(const struct direct *d, const struct ram_region *r)
{
	for (unsigned i = 0; i < d->rams; i++)
		if (ranges_meet(r->hva, r->size, d->ram[i].hva, d->ram[i].size))
			return true;
	return false;
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

/* By range of memory: how many bytes of it are in shared mappings, or in those that nobody else has. */
struct sharing {
	const struct direct *d;
	bool lone;
	u64 *found;
};

static int note_mapping(const struct proc_mapping *m, void *arg)
{
	const struct sharing *s = arg;

	for (unsigned i = 0; i < s->d->rams && (s->lone ? m->lone : m->shared); i++) {
		const u64 start = (u64)s->d->ram[i].hva;
		const u64 from = MAX(m->start, start), to = MIN(m->end, start + s->d->ram[i].size);

		if (from < to)
			s->found[i] += to - from;
	}
	return 0;
}

/* What is not MAP_SHARED (firmware, mostly), or not to be used, the engine alone reaches. */
static int keep_shared(struct direct *d, bool lone)
{
	struct sharing s = {d, lone, calloc(d->rams, sizeof(*s.found))};
	unsigned kept = 0;
	int r = s.found ? proc_mappings(note_mapping, &s) : -ENOMEM;

	for (unsigned i = 0; i < d->rams && !r; i++)
		if (s.found[i] == d->ram[i].size)
			d->ram[kept++] = d->ram[i];
	d->rams = kept;
	free(s.found);
	return r;
}

static int find_ram(struct machine *m, struct direct *d)
{
	struct ram_region r;
	int error = 0;

	for (u64 gpa = 0; !error && !machine_ram_at(m, gpa, &r); gpa = r.gpa + r.size)
		if (!overlaps(d, &r))
			error = add(d, &r);
	if (!error && d->rams)
		error = keep_shared(d, machine_option(m, OPT_DIRECT) == DIRECT_LONE);
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
	d->runs = 0;
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

static bool has_memory(struct machine *m, const void *hva, u64 size)
{
	struct ram_region r;

	for (u64 gpa = 0; !machine_ram_at(m, gpa, &r); gpa = r.gpa + r.size)
		if (ranges_meet(r.hva, r.size, hva, size))
			return true;
	return false;
}

void machine_memory_remapped(struct machine *m, const void *hva, u64 size)
{
	if (!machine_option(m, OPT_DIRECT) || !has_memory(m, hva, size))
		return;
	machine_set_option(m, OPT_DIRECT, DIRECT_NOWHERE);
	machine_pause(m);
	machine_resume(m);
}

int host_try_direct(void)
{
	return cage_try();
}
