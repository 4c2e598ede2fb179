/* SPDX-License-Identifier: MIT */
/*
 * engine/intercept.h: what the VMM of a partition wants to see. Processors look at it as they go (tap/intercept.h); of which
 * kinds there are any they take over with what the subscriber has asked for, so it is changed while all are outside.
 */
#include <errno.h>

#include "engine/core/select.h"
#include "engine/core/vcpus.h"
#include "engine/request/pause.h"

static bool has_leaf(const struct machine_intercepts *i)
{
	for (unsigned n = 0; n < INTERCEPT_LEAVES; n++)
		if (atomic_load(&i->leaf[n]))
			return true;
	return false;
}

static u32 kinds_of(const struct machine_intercepts *i)
{
	return (has_leaf(i) ? BIT(TAP_CPUID) : 0) |
	       (atomic_load(&i->exceptions) ? BIT(TAP_EXCEPTION) | BIT(TAP_SOFT_INT) : 0) |
	       (msr_selects_any(&i->msrs, false) ? BIT(TAP_MSR_READ) : 0) |
	       (msr_selects_any(&i->msrs, true) ? BIT(TAP_MSR_WRITE) : 0);
}

static struct machine_intercepts *begin_change(struct machine *m)
{
	machine_pause(m);
	return &m->intercepts;
}

static void end_change(struct machine *m)
{
	struct vcpu *v;

	atomic_store(&m->intercepts.kinds, kinds_of(&m->intercepts));
	for_each_vcpu(vcpus_paused(m), v) cpu_request(&v->cpu, REQ_TAP);
	machine_resume(m);
}

void machine_intercept_exceptions(struct machine *m, u32 vectors)
{
	struct machine_intercepts *i = begin_change(m);

	atomic_store(&i->exceptions, vectors);
	end_change(m);
}

static _Atomic u64 *find(struct machine_intercepts *i, u64 leaf)
{
	for (unsigned n = 0; n < INTERCEPT_LEAVES; n++)
		if (atomic_load(&i->leaf[n]) == leaf)
			return &i->leaf[n];
	return NULL;
}

int machine_intercept_cpuid(struct machine *m, u32 leaf, bool on)
{
	struct machine_intercepts *i = begin_change(m);
	_Atomic u64 *known = find(i, INTERCEPT_LEAF | leaf), *place = known;

	if (on && !known)
		place = find(i, 0);
	if (place)
		atomic_store(place, on ? INTERCEPT_LEAF | leaf : 0);
	end_change(m);
	return on && !place ? -ENOSPC : 0;
}

int machine_intercept_msr(struct machine *m, u32 index, bool write, bool on)
{
	struct machine_intercepts *i = begin_change(m);
	bool exists = msr_select(&i->msrs, index, write, on);

	end_change(m);
	return exists ? 0 : -EINVAL;
}

const struct tap_event *vcpu_intercepted(const struct vcpu *v)
{
	return &v->cpu.question;
}
