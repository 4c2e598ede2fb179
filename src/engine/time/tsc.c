/* SPDX-License-Identifier: MIT */
/*
 * The guest's TSC is the host's, times a ratio if its frequency is another, plus an offset, which all vcpus of one ratio
 * share unless somebody wants otherwise.
 *
 * A VMM sets the TSCs of its vcpus one after the other and means the same point of time. So a value
 * that is within a second of what this TSC would show anyway, or 0, joins the offset in force: the
 * TSCs stay equal to the tick, and guests keep trusting them. The VMM's first value is taken as
 * it is, since a machine that is being restored has just begun at 0. This is what KVM does.
 */
#include <errno.h>

#include "engine/core/machine.h"
#include "engine/irqchip.h"
#include "engine/time/clock.h"
#include "engine/core/cpu.h"
#include "engine/core/vcpu.h"

/* ---- frequency ---- */

u64 clock_scaled_hz(const struct clock *c, u64 ratio)
{
	return tsc_scaled(ratio, atomic_load_explicit(&c->tsc_hz, memory_order_relaxed));
}

static bool is_hosts(u64 host, u32 khz)
{
	u64 slack = host * 250 / 1000000;

	return !khz || (khz + slack >= host && khz <= host + slack);
}

/* c->lock held. 0 is the host's. */
static u64 ratio_of(struct clock *c, u32 khz)
{
	u64 hz;

	if (!khz)
		return 0;
	clock_settle(c);
	hz = atomic_load(&c->tsc_hz);
	if (is_hosts(hz / 1000, khz))
		return 0;
	return (u64)(((unsigned __int128)khz * 1000 << TSC_RATIO_BITS) / hz);
}

/* The rates that are told can be a little off those that are: 250 ppm, see is_hosts(). */
u64 vcpu_tsc_hz(struct vcpu *v)
{
	return tsc_scaled(v->cpu.tsc_ratio, machine_tsc_hz(v->machine));
}

u32 machine_tsc_khz(struct machine *m)
{
	struct clock *c = machine_clock(m);
	u32 khz;

	pthread_mutex_lock(&c->lock);
	khz = c->default_khz;
	pthread_mutex_unlock(&c->lock);
	return khz ? khz : (u32)(machine_tsc_hz(m) / 1000);
}

int machine_set_tsc_khz(struct machine *m, u32 khz)
{
	struct clock *c = machine_clock(m);

	if (khz >= TSC_KHZ_MAX)
		return -EINVAL;
	pthread_mutex_lock(&c->lock);
	c->default_khz = khz;
	c->default_ratio = ratio_of(c, khz);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

u32 vcpu_tsc_khz(struct vcpu *v)
{
	return v->tsc_khz ? v->tsc_khz : (u32)(machine_tsc_hz(v->machine) / 1000);
}

/* ---- value; c->lock held ---- */

static void set_offset(struct vcpu *v, s64 offset)
{
	__atomic_store_n(&v->cpu.tsc_offset, offset, __ATOMIC_RELAXED);
}

/* From now on the TSCs of this ratio are in step with one that shows value now. */
static void lead(struct clock *c, u64 ratio, u64 value, u64 now)
{
	c->tsc_ratio = ratio;
	c->tsc_offset = (s64)(value - tsc_scaled(ratio, now));
}

void tsc_init(struct vcpu *v)
{
	struct clock *c = machine_clock(v->machine);

	pthread_mutex_lock(&c->lock);
	if (c->tsc_ratio != c->default_ratio)
		lead(c, c->default_ratio, 0, machine_host_tsc(v->machine));
	v->tsc_khz = c->default_khz;
	v->cpu.tsc_ratio = c->tsc_ratio;
	set_offset(v, c->tsc_offset);
	pthread_mutex_unlock(&c->lock);
}

/* The TSC goes on from where it is, in step with others that have been given this frequency before. */
int tsc_set_khz(struct vcpu *v, u32 khz)
{
	struct clock *c = machine_clock(v->machine);
	u64 now, ratio;

	if (khz >= TSC_KHZ_MAX)
		return refuse(&v->cpu.refusal, -EINVAL, "%lu kHz: at most %lu kHz are possible",
			(u64)khz, (u64)TSC_KHZ_MAX - 1);
	pthread_mutex_lock(&c->lock);
	now = machine_host_tsc(v->machine);
	ratio = ratio_of(c, khz);
	v->tsc_khz = khz;
	if (ratio != v->cpu.tsc_ratio) {
		if (ratio != c->tsc_ratio)
			lead(c, ratio, cpu_tsc_at(&v->cpu, now), now);
		__atomic_store_n(&v->cpu.tsc_ratio, ratio, __ATOMIC_RELAXED);
		set_offset(v, c->tsc_offset);
	}
	pthread_mutex_unlock(&c->lock);
	return 0;
}

u64 clock_guest_tsc(const struct clock *c, u64 host)
{
	return tsc_scaled(c->tsc_ratio, host) + (u64)c->tsc_offset;
}

u64 machine_guest_tsc(struct machine *m)
{
	struct clock *c = machine_clock(m);
	u64 tsc;

	pthread_mutex_lock(&c->lock);
	tsc = clock_guest_tsc(c, machine_host_tsc(m));
	pthread_mutex_unlock(&c->lock);
	return tsc;
}

u64 machine_guest_tsc_hz(struct machine *m)
{
	struct clock *c = machine_clock(m);
	u64 hz;

	pthread_mutex_lock(&c->lock);
	clock_settle(c);
	hz = clock_scaled_hz(c, c->tsc_ratio);
	pthread_mutex_unlock(&c->lock);
	return hz;
}

static bool joins(const struct clock *c, u64 ratio, u64 value, u64 now)
{
	u64 distance = value - clock_guest_tsc(c, now);
	u64 hz = clock_scaled_hz(c, ratio);

	if (ratio != c->tsc_ratio)
		return false;
	return !value || (c->tsc_was_set && distance + hz < 2 * hz);
}

void tsc_set(struct vcpu *v, u64 value)
{
	struct clock *c = machine_clock(v->machine);
	u64 now;

	pthread_mutex_lock(&c->lock);
	clock_settle(c);
	now = machine_host_tsc(v->machine);
	/* One after the other, while time is frozen, is the same point of time. */
	if (atomic_load(&v->machine->frozen_tsc) || !joins(c, v->cpu.tsc_ratio, value, now))
		lead(c, v->cpu.tsc_ratio, value, now);
	c->tsc_was_set |= value != 0;
	set_offset(v, c->tsc_offset);
	pthread_mutex_unlock(&c->lock);
}

s64 vcpu_tsc_offset(const struct vcpu *v)
{
	return v->cpu.tsc_offset;
}

/* The VMM knows exactly what it wants; TSCs that are set later join the last one. */
void tsc_set_offset(struct vcpu *v, s64 offset)
{
	struct clock *c = machine_clock(v->machine);

	pthread_mutex_lock(&c->lock);
	c->tsc_offset = offset;
	c->tsc_ratio = v->cpu.tsc_ratio;
	c->tsc_was_set = true;
	set_offset(v, offset);
	pthread_mutex_unlock(&c->lock);
}
