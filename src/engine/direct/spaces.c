/* SPDX-License-Identifier: MIT */
/*
 * A process for each of the address spaces that a vcpu has run last. One that comes again has its pages still: they are looked at, but
 * need not be brought anew. (A load of CR3 flushes the TLB, so they are looked at.)
 */
#include "base/hostcpu.h"
#include "base/reserve.h"
#include "engine/core/xsave.h"
#include "engine/direct/direct.h"
#include "engine/direct/direct_priv.h"

bool direct_spaces_make(struct vcpu *v)
{
	struct direct_spaces *s = v->direct;

	if (likely(s))
		return true;
	s = reserve(sizeof(*s));
	if (!s)
		return false;
	s->verdicts.beyond = host_xcr0() & ~XSTATE_OFFERED;
	for (unsigned i = 0; i < ARRAY_SIZE(s->of); i++)
		s->of[i].verdicts = &s->verdicts;
	v->direct = s;
	return true;
}

/* They would keep memory that the machine has no longer. */
static void end_old(struct direct_spaces *s, u32 slots)
{
	for (unsigned i = 0; i < ARRAY_SIZE(s->of); i++)
		if (s->of[i].cage && s->of[i].slots != slots)
			direct_cage_destroy(&s->of[i]);
}

/* A process has three threads, and the user's limits are for all of them. */
#define PROCESSES 16u

static unsigned spaces_of(const struct machine *m)
{
	const unsigned vcpus = MAX(atomic_load(&m->vcpu_high), 1u);

	return MIN(MAX(PROCESSES / vcpus, 1u), SPACES);
}

/* Its own, or that of the one that has not run for longest. */
static struct direct *choose(struct direct_spaces *s, unsigned spaces, u64 root)
{
	struct direct *oldest = &s->of[0];

	for (unsigned i = 0; i < spaces; i++) {
		if (s->of[i].fresh && s->of[i].root == root)
			return &s->of[i];
		if (s->of[i].ran_at < oldest->ran_at)
			oldest = &s->of[i];
	}
	return oldest;
}

struct direct *direct_space(struct vcpu *v)
{
	struct direct_spaces *s = v->direct;
	struct direct *d = choose(s, spaces_of(v->machine), direct_root(&v->cpu));

	end_old(s, atomic_load(&v->machine->slot_generation));
	d->ran_at = ++s->runs;
	return d;
}

void direct_destroy(struct vcpu *v)
{
	struct direct_spaces *s = v->direct;

	if (!s)
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(s->of); i++)
		direct_cage_destroy(&s->of[i]);
	sys_munmap(s, sizeof(*s));
	v->direct = NULL;
}
