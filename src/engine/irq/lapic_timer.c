/* SPDX-License-Identifier: MIT */
/*
 * LAPIC timer, SDM 3:10.5.4: one-shot, periodic, TSC deadline.
 *
 * Nothing counts: the vcpu's thread keeps the time of the first expiry and the period, and the
 * current count is a function of them. fire() runs on the helper thread and only reads these, as
 * they change only while the timer is cancelled. A period that is too short for a host thread is
 * served at a lower rate, as the interrupts of a slow machine would be.
 */
#include "engine/irq/lapic.h"

#define MIN_PERIOD_NS 100000ull
#define NS_PER_SEC    1000000000ull

static enum timer_mode mode_of(const struct lapic *l)
{
	return reg_get(l, R_LVT_TIMER) >> 17 & 3;
}

/* Divide configuration: bits 0, 1 and 3; 111b means 1 (SDM 3:10.5.4 figure 10-10). */
static u64 tick_ns(const struct lapic *l)
{
	u32 d = reg_get(l, R_TIMER_DIVIDE);
	unsigned shift = ((d & 3) | (d >> 1 & 4)) + 1;

	return (u64)l->irq->apic_bus_ns << (shift & 7);
}

static void arm_at(struct lapic *l, u64 ns)
{
	timer_arm(l->vcpu->machine, &l->timer, ns);
}

static void arm_next_period(struct lapic *l)
{
	u64 now = host_ns(), period = MAX(l->timer_period, MIN_PERIOD_NS), next = l->timer_first;

	if (now >= next)
		next += ((now - next) / period + 1) * period;
	arm_at(l, next);
}

static void fire(struct timer *t)
{
	struct lapic *l = container_of(t, struct lapic, timer);
	enum timer_mode mode = mode_of(l);

	if (mode == TIMER_TSC_DEADLINE)
		atomic_store(&l->tsc_deadline, 0);
	lapic_local(l, R_LVT_TIMER);
	if (mode == TIMER_PERIODIC)
		arm_next_period(l);
}

void lapic_timer_init(struct lapic *l)
{
	l->timer.fire = fire;
}

void lapic_timer_stop(struct lapic *l)
{
	timer_cancel(l->vcpu->machine, &l->timer);
	l->timer_first = l->timer_period = 0;
	atomic_store(&l->tsc_deadline, 0);
}

/* first: counts until the first expiry; later ones are R_TIMER_INITIAL apart. */
static void start(struct lapic *l, u32 first)
{
	l->timer_first = host_ns() + first * tick_ns(l);
	l->timer_period = reg_get(l, R_TIMER_INITIAL) * tick_ns(l);
	arm_at(l, l->timer_first);
}

void lapic_timer_start(struct lapic *l, u32 count)
{
	if (mode_of(l) == TIMER_TSC_DEADLINE)
		return; /* writes of the initial count are ignored */
	lapic_timer_stop(l);
	reg_set(l, R_TIMER_INITIAL, count);
	if (count)
		start(l, count);
}

u32 lapic_timer_current(const struct lapic *l)
{
	u64 now = host_ns(), left;

	if (!l->timer_period || mode_of(l) == TIMER_TSC_DEADLINE)
		return 0;
	if (now < l->timer_first)
		left = l->timer_first - now;
	else if (mode_of(l) == TIMER_PERIODIC)
		left = l->timer_period - (now - l->timer_first) % l->timer_period;
	else
		left = 0;
	return (u32)(left / tick_ns(l));
}

/* The count goes on at the new rate. */
void lapic_timer_set_divide(struct lapic *l, u32 value)
{
	u32 current = lapic_timer_current(l);

	if (current)
		timer_cancel(l->vcpu->machine, &l->timer);
	reg_set(l, R_TIMER_DIVIDE, value & 0xb);
	if (current)
		start(l, current);
}

/* Going to or from TSC-deadline mode disarms (SDM 3:10.5.4.1); between the others the count goes on. */
void lapic_timer_set_lvt(struct lapic *l, u32 value)
{
	enum timer_mode old = mode_of(l), new = value >> 17 & 3;
	u32 current = lapic_timer_current(l);

	if (old == new) {
		reg_set(l, R_LVT_TIMER, value);
		return;
	}
	timer_cancel(l->vcpu->machine, &l->timer);
	reg_set(l, R_LVT_TIMER, value);
	if (old == TIMER_TSC_DEADLINE || new == TIMER_TSC_DEADLINE) {
		lapic_timer_stop(l);
		reg_set(l, R_TIMER_INITIAL, 0);
	} else if (current) {
		start(l, current);
	} else { /* one that has expired does so until the initial count is written */
		l->timer_first = l->timer_period = 0;
	}
}

/* After all registers have been set from outside. A one-shot count of 0 has expired already. */
void lapic_timer_restore(struct lapic *l, u32 current)
{
	u32 initial = reg_get(l, R_TIMER_INITIAL);

	if (mode_of(l) == TIMER_TSC_DEADLINE || !initial)
		return;
	if (!current && mode_of(l) == TIMER_PERIODIC)
		current = initial;
	if (current)
		start(l, MIN(current, initial));
}

void lapic_set_deadline(struct lapic *l, u64 tsc)
{
	struct machine *m = l->vcpu->machine;
	u64 now = host_tsc() + (u64)l->vcpu->cpu.tsc_offset;
	u64 ns;

	if (mode_of(l) != TIMER_TSC_DEADLINE)
		return;
	if (!tsc) {
		timer_cancel(m, &l->timer);
		atomic_store(&l->tsc_deadline, 0);
		return;
	}
	if (tsc <= now) {
		timer_cancel(m, &l->timer);
		atomic_store(&l->tsc_deadline, 0);
		lapic_local(l, R_LVT_TIMER);
		return;
	}
	/* A deadline beyond some centuries is never. */
	ns = (u64)MIN((unsigned __int128)(tsc - now) * NS_PER_SEC / machine_tsc_hz(m),
		(unsigned __int128)1 << 62);
	timer_cancel(m, &l->timer);
	atomic_store(&l->tsc_deadline, tsc);
	arm_at(l, host_ns() + ns);
}

u64 lapic_get_deadline(const struct lapic *l)
{
	return mode_of(l) == TIMER_TSC_DEADLINE ? atomic_load(&l->tsc_deadline) : 0;
}
