/* SPDX-License-Identifier: MIT */
/*
 * LAPIC timer, SDM 3:10.5.4: one-shot, periodic, TSC deadline.
 *
 * Nothing counts: the vcpu's thread keeps the time of the first expiry and the period, by machine_ns(), and the
 * current count is a function of them. fire() runs on the helper thread and only reads these, as
 * they change only while the timer is cancelled. A period that is too short for a host thread is
 * served at a lower rate, as the interrupts of a slow machine would be.
 *
 * fire() marks the timer as due; the request is made by the vcpu's thread, in KVM_RUN or where somebody looks at the
 * timer. So what a VMM reads of a stopped vcpu lacks nothing, in whichever order: a deadline stays in its MSR until
 * the request is in IRR, whenever it has passed (as in KVM), and the page never has a count that has run out without
 * the request that this made, however late the helper thread is.
 */
#include "engine/irq/lapic.h"
#include "engine/request/post.h"
#include "engine/time/clock.h"

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

static u64 now_ns(const struct lapic *l)
{
	return machine_ns(l->vcpu->machine);
}

static void arm_at(struct lapic *l, u64 ns)
{
	atomic_store(&l->timer_at, ns);
	timer_arm(l->vcpu->machine, &l->timer, ns);
}

/* 0: there is no other. */
static u64 next_expiry(const struct lapic *l)
{
	u64 now = now_ns(l), period = MAX(l->timer_period, MIN_PERIOD_NS), next = l->timer_first;

	if (mode_of(l) != TIMER_PERIODIC)
		return 0;
	return now < next ? next : next + ((now - next) / period + 1) * period;
}

/* Due first: who finds the next expiry in timer_at finds that this one is due, see lapic_timer_settle(). */
static void fire(struct timer *t)
{
	struct lapic *l = container_of(t, struct lapic, timer);
	u64 next = next_expiry(l);

	atomic_store(&l->timer_due, true);
	atomic_store(&l->timer_at, next);
	if (next)
		timer_arm(l->vcpu->machine, t, next);
	vcpu_post_event(l->vcpu);
}

static void cancel(struct lapic *l)
{
	timer_cancel(l->vcpu->machine, &l->timer);
}

/* The request first, so that nobody can find neither. */
static void expire(struct lapic *l)
{
	lapic_local(l, R_LVT_TIMER);
	if (lapic_deadline_mode(l))
		atomic_store(&l->tsc_deadline, 0);
}

void lapic_timer_serve(struct vcpu *v)
{
	if (v->lapic && unlikely(atomic_load(&v->lapic->timer_due)) &&
		atomic_exchange(&v->lapic->timer_due, false))
		expire(v->lapic);
}

void lapic_timer_settle(struct lapic *l)
{
	u64 at = atomic_load(&l->timer_at), next;

	if (!atomic_load(&l->timer_due) && (!at || now_ns(l) < at))
		return;
	cancel(l); /* fire() has ended, or will not come */
	atomic_store(&l->timer_due, false);
	atomic_store(&l->timer_at, 0);
	expire(l);
	next = next_expiry(l);
	if (next)
		arm_at(l, next);
}

void lapic_timer_init(struct lapic *l)
{
	l->timer.fire = fire;
	l->timer.guest = true;
}

void lapic_timer_stop(struct lapic *l)
{
	cancel(l);
	l->timer_first = l->timer_period = 0;
	atomic_store(&l->timer_at, 0);
	atomic_store(&l->timer_due, false);
	atomic_store(&l->tsc_deadline, 0);
}

/* first: counts until the first expiry; later ones are R_TIMER_INITIAL apart. */
static void start(struct lapic *l, u32 first)
{
	l->timer_first = now_ns(l) + first * tick_ns(l);
	l->timer_period = reg_get(l, R_TIMER_INITIAL) * tick_ns(l);
	arm_at(l, l->timer_first);
}

void lapic_timer_start(struct lapic *l, u32 count)
{
	if (lapic_deadline_mode(l))
		return; /* writes of the initial count are ignored */
	lapic_timer_settle(l);
	lapic_timer_stop(l);
	reg_set(l, R_TIMER_INITIAL, count);
	if (count)
		start(l, count);
}

u32 lapic_timer_current(const struct lapic *l)
{
	u64 now = now_ns(l), left;

	if (!l->timer_period || lapic_deadline_mode(l))
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
	bool runs;
	u32 current;

	lapic_timer_settle(l);
	runs = atomic_load(&l->timer_at) && !lapic_deadline_mode(l);
	current = lapic_timer_current(l);
	if (runs)
		cancel(l);
	reg_set(l, R_TIMER_DIVIDE, value & 0xb);
	if (runs)
		start(l, MAX(current, 1u));
}

/*
 * Going to or from TSC-deadline mode disarms (SDM 3:10.5.4.1); between the others the count goes on, and one that has
 * run out stays at 0 until the initial count is written.
 */
static void change_mode(struct lapic *l, u32 value)
{
	enum timer_mode old = mode_of(l), new = value >> 17 & 3;

	cancel(l);
	reg_set(l, R_LVT_TIMER, value);
	if (old == TIMER_TSC_DEADLINE || new == TIMER_TSC_DEADLINE) {
		lapic_timer_stop(l);
		reg_set(l, R_TIMER_INITIAL, 0);
		return;
	}
	l->timer_first = atomic_load(&l->timer_at);
	if (l->timer_first)
		arm_at(l, l->timer_first);
	else
		l->timer_period = 0;
}

void lapic_timer_set_lvt(struct lapic *l, u32 value)
{
	lapic_timer_settle(l); /* by the old entry */
	if (mode_of(l) == (value >> 17 & 3))
		reg_set(l, R_LVT_TIMER, value);
	else
		change_mode(l, value);
}

/* After all registers have been set from outside. A one-shot count of 0 has expired already. */
void lapic_timer_restore(struct lapic *l, u32 current)
{
	u32 initial = reg_get(l, R_TIMER_INITIAL);

	if (lapic_deadline_mode(l) || !initial)
		return;
	if (!current && mode_of(l) == TIMER_PERIODIC)
		current = initial;
	if (current)
		start(l, MIN(current, initial));
}

/* Nanoseconds until the guest's TSC is there. Beyond some centuries is never. */
static u64 ns_until(const struct lapic *l, u64 ticks)
{
	return (u64)MIN((unsigned __int128)ticks * NS_PER_SEC / vcpu_tsc_hz(l->vcpu),
		(unsigned __int128)1 << 62);
}

/* One that has passed is due. What the last one may still have been due for is over: guests settle that before. */
void lapic_set_deadline(struct lapic *l, u64 tsc)
{
	u64 now = cpu_tsc_now(&l->vcpu->cpu);

	if (!lapic_deadline_mode(l))
		return;
	lapic_timer_stop(l);
	atomic_store(&l->tsc_deadline, tsc);
	if (tsc > now) {
		arm_at(l, now_ns(l) + ns_until(l, tsc - now));
	} else if (tsc) {
		atomic_store(&l->timer_due, true);
		vcpu_post_event(l->vcpu);
	}
}

u64 lapic_get_deadline(const struct lapic *l)
{
	return lapic_deadline_mode(l) ? atomic_load(&l->tsc_deadline) : 0;
}
