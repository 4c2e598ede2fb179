/* SPDX-License-Identifier: MIT */
/*
 * Events for a processor. With local APICs in the hypervisor these deliver interrupts. Without, a vector and NMIs wait
 * here until the guest can take them: the hypervisor tells when that is, and the event is put into the processor.
 */
#include <errno.h>
#include <string.h>

#include "libkvm/mshv/mshv.h"

/* HV_REGISTER_PENDING_INTERRUPTION and PENDING_EVENT0 */
#define PENDING(type, vector) (HV_PENDING | (u64)(type) << 1 | (u64)(vector) << 16)

long vp_inject(struct vp *v, const struct emu_fault *fault, struct refusal *why)
{
	const struct hv_register event = {
		.name = HV_REGISTER_PENDING_EVENT0,
		.value.low = PENDING(HV_EVENT_EXCEPTION, fault->vector) |
			     (fault->has_error ? HV_EVENT_HAS_ERROR : 0) | (u64)fault->error << 32,
		.value.high = fault->address,
	};

	return vp_write(v, &event, 1, why);
}

/* ---- what the processor is ready for ---- */

struct readiness {
	u64 rflags, cr8, pending, state;
};

static long readiness(struct vp *v, struct readiness *ret, struct refusal *why)
{
	static const u32 names[] = {HV_X64_REGISTER_RFLAGS, HV_X64_REGISTER_CR8,
		HV_REGISTER_PENDING_INTERRUPTION, HV_REGISTER_INTERRUPT_STATE};
	const struct hv_register_page *page = v->page;
	struct hv_value128 values[ARRAY_SIZE(names)];
	long r;

	if (page && page->is_valid) {
		*ret = (struct readiness){
			page->rflags, page->cr8, page->pending_interruption, page->interrupt_state};
		return 0;
	}
	r = vp_read(v, names, values, ARRAY_SIZE(names), why);
	if (r >= 0)
		*ret = (struct readiness){
			values[0].low, values[1].low, values[2].low, values[3].low};
	return r;
}

static bool takes_interrupts(const struct readiness *s)
{
	return s->rflags & FL_IF && !(s->state & HV_INTERRUPT_SHADOW) && !(s->pending & HV_PENDING);
}

static bool takes_nmis(const struct readiness *s)
{
	return !(s->state & (HV_INTERRUPT_SHADOW | HV_NMI_MASKED)) && !(s->pending & HV_PENDING);
}

static long put_in(struct vp *v, struct readiness *s, u64 event, struct refusal *why)
{
	s->pending = event;
	return vp_write_one(v, HV_REGISTER_PENDING_INTERRUPTION, event, why);
}

/* Of what waits the NMI comes first (SDM 3:6.9). */
static long inject(struct vp *v, struct readiness *s, struct refusal *why)
{
	long r = 0;

	if (v->nmis && takes_nmis(s)) {
		r = put_in(v, s, PENDING(HV_PENDING_NMI, X86_NMI), why);
		if (r >= 0)
			v->nmis--;
	} else if (v->vector >= 0 && takes_interrupts(s)) {
		r = put_in(v, s, PENDING(HV_PENDING_EXTINT, v->vector), why);
		if (r >= 0)
			v->vector = -1;
	}
	return r;
}

static long notify(struct vp *v, struct refusal *why)
{
	const u64 wanted =
		(v->nmis ? HV_NOTIFY_NMI : 0) |
		(v->vector >= 0 || v->run->request_interrupt_window ? HV_NOTIFY_INTERRUPT : 0);
	long r = 0;

	if (wanted != v->notify)
		r = vp_write_one(v, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, wanted, why);
	if (r >= 0)
		v->notify = wanted;
	return r;
}

long events_before_run(struct vp *v, struct refusal *why)
{
	struct readiness s;
	long r;

	if (v->p->lapics)
		return 0;
	if (v->vector < 0 && !v->nmis && !v->run->request_interrupt_window && !v->notify)
		return 0;
	r = readiness(v, &s, why);
	if (r >= 0)
		r = inject(v, &s, why);
	if (r < 0)
		return r;
	if (v->run->request_interrupt_window && v->vector < 0 && takes_interrupts(&s)) {
		v->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
		return 1;
	}
	return notify(v, why);
}

/* The hypervisor tells once. */
void events_deliverable(struct vp *v)
{
	v->notify = 0;
}

long events_end_shadow(struct vp *v, struct refusal *why)
{
	struct readiness s;
	long r = readiness(v, &s, why);

	if (r < 0 || likely(!(s.state & HV_INTERRUPT_SHADOW)))
		return r;
	return vp_write_one(
		v, HV_REGISTER_INTERRUPT_STATE, s.state & ~(u64)HV_INTERRUPT_SHADOW, why);
}

/* The TPR is the program's where the local APIC is. */
long events_take_cr8(struct vp *v, struct refusal *why)
{
	const u64 cr8 = v->run->cr8;

	if (likely(cr8 == v->shown_cr8) || v->p->lapics)
		return 0;
	return vp_write_one(v, HV_X64_REGISTER_CR8, cr8, why);
}

void events_show(struct vp *v)
{
	struct refusal unsaid;
	struct readiness s;

	if (readiness(v, &s, &unsaid) < 0)
		return;
	v->run->cr8 = v->shown_cr8 = s.cr8;
	v->run->if_flag = !!(s.rflags & FL_IF);
	/* With the PIC in the VM nobody injects. */
	v->run->ready_for_interrupt_injection =
		v->p->lapics || (v->vector < 0 && takes_interrupts(&s));
}

/* ---- requests ---- */

long serve_interrupt(struct ask *c)
{
	const struct kvm_interrupt *k = c->arg;

	if (k->irq > 255)
		return refuse(c->why, -EINVAL, "irq %lu: a vector must be 0 to 255", (u64)k->irq);
	if (c->p->lapics)
		return refuse(
			c->why, -ENXIO, "the irqchip delivers interrupts: use kvm_set_irq_level()");
	c->v->vector = (int)k->irq;
	return 0;
}

long serve_nmi(struct ask *c)
{
	const struct hv_assert_interrupt nmi = {.type = HV_INTERRUPT_NMI, .dest = c->v->index};

	if (c->p->lapics)
		return hvcall_in(
			c->m, c->p->fd, HVCALL_ASSERT_VIRTUAL_INTERRUPT, &nmi, sizeof(nmi), c->why);
	c->v->nmis = MIN(c->v->nmis + 1, 2u);
	return 0;
}

long serve_get_events(struct ask *c)
{
	struct kvm_vcpu_events *k = c->arg;
	struct readiness s = {.pending = 0};
	long r = readiness(c->v, &s, c->why);
	const unsigned type = HV_PENDING_TYPE(s.pending);

	if (r < 0)
		return r;
	memset(k, 0, sizeof(*k));
	k->interrupt.shadow = s.state & HV_INTERRUPT_SHADOW
				      ? KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS
				      : 0;
	k->nmi.masked = !!(s.state & HV_NMI_MASKED);
	k->nmi.pending = (u8)c->v->nmis;
	k->interrupt.injected = c->v->vector >= 0;
	k->interrupt.nr = (u8)MAX(c->v->vector, 0);
	if (!(s.pending & HV_PENDING))
		return 0;
	k->nmi.injected = type == HV_PENDING_NMI;
	k->exception.injected = type == HV_PENDING_EXCEPTION;
	k->exception.nr = k->exception.injected ? (u8)HV_PENDING_VECTOR(s.pending) : 0;
	k->exception.has_error_code = !!(s.pending & HV_PENDING_HAS_ERROR);
	k->exception.error_code = HV_PENDING_ERROR(s.pending);
	if (type == HV_PENDING_EXTINT || type == HV_PENDING_SOFT_INT) {
		k->interrupt.injected = 1;
		k->interrupt.nr = (u8)HV_PENDING_VECTOR(s.pending);
		k->interrupt.soft = type == HV_PENDING_SOFT_INT;
	}
	return 0;
}

/* ---- MP states: what the hypervisor calls internal activity ---- */

long serve_get_mp_state(struct ask *c)
{
	struct kvm_mp_state *k = c->arg;
	u64 activity;
	long r = vp_read_one(c->v, HV_REGISTER_INTERNAL_ACTIVITY_STATE, &activity, c->why);

	if (r < 0)
		return r;
	if (activity & HV_ACTIVITY_STARTUP)
		k->mp_state = KVM_MP_STATE_UNINITIALIZED;
	else
		k->mp_state = activity & (HV_ACTIVITY_HALT | HV_ACTIVITY_IDLE)
				      ? KVM_MP_STATE_HALTED
				      : KVM_MP_STATE_RUNNABLE;
	return 0;
}

/* A SIPI that came is over at once here: the processor runs. */
static long activity_of(u32 mp_state, u64 *ret)
{
	switch (mp_state) {
	case KVM_MP_STATE_RUNNABLE:
	case KVM_MP_STATE_SIPI_RECEIVED: *ret = 0; return 0;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_INIT_RECEIVED: *ret = HV_ACTIVITY_STARTUP; return 0;
	case KVM_MP_STATE_HALTED: *ret = HV_ACTIVITY_HALT; return 0;
	default: return -EINVAL;
	}
}

long serve_set_mp_state(struct ask *c)
{
	const struct kvm_mp_state *k = c->arg;
	u64 activity;

	if (activity_of(k->mp_state, &activity) < 0)
		return refuse(
			c->why, -EINVAL, "mp_state %lu: there is no such state", (u64)k->mp_state);
	if (!c->p->lapics && k->mp_state != KVM_MP_STATE_RUNNABLE)
		return refuse(c->why, -EINVAL, "mp_state %lu: without local APICs there is only 0",
			(u64)k->mp_state);
	return vp_write_one(c->v, HV_REGISTER_INTERNAL_ACTIVITY_STATE, activity, c->why);
}
