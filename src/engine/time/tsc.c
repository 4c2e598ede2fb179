/* SPDX-License-Identifier: MIT */
/*
 * The guest's TSC is the host's plus an offset, which all vcpus share unless somebody wants otherwise.
 *
 * A VMM sets the TSCs of its vcpus one after the other and means the same point of time. So a value
 * that is within a second of what this TSC would show anyway, or 0, joins the offset in force: the
 * TSCs stay equal to the tick, and guests keep trusting them. The VMM's first value is taken as
 * it is, since a machine that is being restored has just begun at 0. This is what KVM does.
 */
#include "engine/machine.h"
#include "engine/time/time.h"

s64 machine_tsc_offset(struct machine *m)
{
	struct clock *c = machine_clock(m);
	s64 offset;

	pthread_mutex_lock(&c->lock);
	offset = c->tsc_offset;
	pthread_mutex_unlock(&c->lock);
	return offset;
}

static bool joins(const struct clock *c, u64 value, u64 now)
{
	u64 distance = value - (now + (u64)c->tsc_offset), hz = atomic_load(&c->tsc_hz);

	return !value || (c->tsc_was_set && distance + hz < 2 * hz);
}

void vcpu_set_tsc(struct vcpu *v, u64 value)
{
	struct clock *c = machine_clock(v->machine);
	u64 now = host_tsc();

	pthread_mutex_lock(&c->lock);
	clock_settle(c);
	if (!joins(c, value, now))
		c->tsc_offset = (s64)(value - now);
	c->tsc_was_set |= value != 0;
	__atomic_store_n(&v->cpu.tsc_offset, c->tsc_offset, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&c->lock);
	pvclock_update(v);
}

s64 vcpu_tsc_offset(const struct vcpu *v)
{
	return v->cpu.tsc_offset;
}

/* The VMM knows exactly what it wants; TSCs that are set later join the last one. */
void vcpu_set_tsc_offset(struct vcpu *v, s64 offset)
{
	struct clock *c = machine_clock(v->machine);

	pthread_mutex_lock(&c->lock);
	c->tsc_offset = offset;
	c->tsc_was_set = true;
	__atomic_store_n(&v->cpu.tsc_offset, offset, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&c->lock);
	pvclock_update(v);
}
