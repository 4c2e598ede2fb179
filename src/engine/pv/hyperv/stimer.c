/* SPDX-License-Identifier: MIT */
/*
 * Synthetic timers (TLFS 12.3): four a processor, in reference time; one-shot at an absolute time or periodic. They
 * end in a message to a SINT, or in direct mode in an interrupt.
 *
 * fire() runs on the helper thread and only marks the timer as due; everything else is the vcpu's thread's.
 */
#include <errno.h>

#include "engine/pv/hyperv/hv.h"
#include "engine/irq/lapic.h"
#include "engine/request/post.h"

static void mark_due(struct hv_timer *t)
{
	atomic_fetch_or(&t->vcpu->hv->timers_due, BIT(t->index));
	vcpu_post_event(t->vcpu);
}

static void fire(struct timer *timer)
{
	mark_due(container_of(timer, struct hv_timer, timer));
}

void hv_timers_init(struct vcpu *v)
{
	for (unsigned i = 0; i < HV_TIMERS; i++) {
		struct hv_timer *t = &v->hv->timers[i];

		t->timer.fire = fire;
		t->timer.guest = true;
		t->vcpu = v;
		t->index = (u8)i;
	}
}

static void stop(struct hv_timer *t)
{
	timer_cancel(t->vcpu->machine, &t->timer);
	atomic_fetch_and(&t->vcpu->hv->timers_due, ~BIT(t->index));
	t->expires = 0;
	t->msg_pending = false;
}

void hv_timers_stop(struct vcpu *v)
{
	for (unsigned i = 0; i < HV_TIMERS; i++)
		stop(&v->hv->timers[i]);
}

/* ---- expiry ---- */

static int notify(struct hv_timer *t, u64 now)
{
	struct hv_timer_payload payload = {
		.index = t->index, .expiration = t->expires, .delivery = now};
	struct apic_msg msg = {.delivery = DELIVER_FIXED, .vector = HV_STIMER_VECTOR(t->config)};

	/* Ticks that nobody took do not pile up. KVM drops what finds the slot full, a partition one tick waits. */
	bool lossy = (t->config & HV_STIMER_PERIODIC) && !hv_is_partition(t->vcpu);

	if (!(t->config & HV_STIMER_DIRECT))
		return hv_message_post(t->vcpu, HV_STIMER_SINT(t->config), HV_MESSAGE_TIMER_EXPIRED,
			&payload, sizeof(payload), lossy);
	if (t->vcpu->lapic)
		lapic_accept(t->vcpu->lapic, &msg);
	return 0;
}

static void expire(struct hv_timer *t, u64 now)
{
	t->msg_pending = true;
	if (notify(t, now))
		return;
	t->msg_pending = false;
	if (!(t->config & HV_STIMER_PERIODIC))
		t->config &= ~HV_STIMER_ENABLE;
}

/* A period beyond the end of time must not come out as one that is over: the timer would be due for ever. */
static u64 later(u64 now, u64 by)
{
	return by > UINT64_MAX - now ? UINT64_MAX : now + by;
}

/* The next one of a periodic timer that is late keeps its phase. */
static u64 next_expiry(const struct hv_timer *t, u64 now)
{
	if (!(t->config & HV_STIMER_PERIODIC))
		return t->count;
	if (!t->expires || t->expires > later(now, t->count)) /* it was set back */
		return later(now, t->count);
	if (now < t->expires)
		return t->expires;
	return later(now, t->count - (now - t->expires) % t->count);
}

static void start(struct hv_timer *t, u64 now)
{
	t->expires = next_expiry(t, now);
	if (t->expires <= now)
		mark_due(t);
	else
		timer_arm(t->vcpu->machine, &t->timer,
			machine_ns(t->vcpu->machine) + MIN(t->expires - now, 1ull << 55) * 100);
}

static void serve(struct hv_timer *t)
{
	u64 now = hv_reference_time(t->vcpu->machine);

	if (!(t->config & HV_STIMER_ENABLE))
		return;
	if (t->expires && now >= t->expires)
		expire(t, now);
	if (!(t->config & HV_STIMER_ENABLE) || !t->count)
		stop(t);
	else if (!t->msg_pending)
		start(t, now);
}

void hv_timers_serve(struct vcpu *v)
{
	u32 due = atomic_exchange(&v->hv->timers_due, 0);

	for (; due; due &= due - 1)
		serve(&v->hv->timers[__builtin_ctz(due)]);
}

/* Those that run are armed anew: which ones is the vcpu's to know. */
void hv_timers_clock_set(struct vcpu *v)
{
	for (unsigned i = 0; i < HV_TIMERS && atomic_load(&v->hv->synic.active); i++)
		mark_due(&v->hv->timers[i]);
}

void hv_timers_slot_free(struct vcpu *v, unsigned sint)
{
	for (unsigned i = 0; i < HV_TIMERS; i++) {
		struct hv_timer *t = &v->hv->timers[i];

		if (t->msg_pending && (t->config & HV_STIMER_ENABLE) &&
			HV_STIMER_SINT(t->config) == sint)
			mark_due(t);
	}
}

/* ---- registers ---- */

/* There are no messages of timers to SINT 0 (TLFS 12.3). KVM finds that out only for one that runs. */
static bool sends_nowhere(u64 config)
{
	return !(config & HV_STIMER_DIRECT) && !HV_STIMER_SINT(config);
}

static int set_config(struct hv_timer *t, u64 value, bool host)
{
	const struct vcpu *v = t->vcpu;

	if (!host && (value & HV_STIMER_DIRECT) && !hv_allowed(v, HV_EDX, HVF_DIRECT_TIMERS))
		return -EINVAL;
	if (sends_nowhere(value) && ((t->config & HV_STIMER_ENABLE) || hv_is_partition(v)))
		value &= ~HV_STIMER_ENABLE;
	stop(t);
	t->config = value;
	if (value & HV_STIMER_ENABLE)
		mark_due(t);
	return 0;
}

static int set_count(struct hv_timer *t, u64 value, bool host)
{
	stop(t);
	t->count = value;
	if (!host && !value)
		t->config &= ~HV_STIMER_ENABLE;
	else if (!host && (t->config & HV_STIMER_AUTO_ENABLE) &&
		 !(sends_nowhere(t->config) && hv_is_partition(t->vcpu)))
		t->config |= HV_STIMER_ENABLE;
	if (t->config & HV_STIMER_ENABLE)
		mark_due(t);
	return 0;
}

int hv_timer_set(struct vcpu *v, u32 index, u64 value, bool host)
{
	unsigned n = index - HV_STIMER0_CONFIG;
	struct hv_timer *t = &v->hv->timers[n / 2];

	if (!atomic_load(&v->hv->synic.active) && (!host || value))
		return -EINVAL;
	return n & 1 ? set_count(t, value, host) : set_config(t, value, host);
}

int hv_timer_get(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	unsigned n = index - HV_STIMER0_CONFIG;
	const struct hv_timer *t = &v->hv->timers[n / 2];

	*ret = n & 1 ? t->count : t->config;
	return 0;
}
