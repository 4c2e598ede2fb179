/* SPDX-License-Identifier: MIT */
/* Registers of what a VP waits for, and of what it is about to be given. */
#include "abi/mshv/register.h"

/* ---- suspension ---- */

#define SUSPEND(name)                                                                              \
	u16 get_##name(                                                                            \
		struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)   \
	{                                                                                          \
		ret->low = v->name;                                                                \
		return HVS_SUCCESS;                                                                \
	}                                                                                          \
                                                                                                   \
	u16 set_##name(struct mshv_vp *v, const struct register_row *r, u32 n,                     \
		const struct hv_value128 *value)                                                   \
	{                                                                                          \
		if (value->low & ~1ull)                                                            \
			return HVS_INVALID_REGISTER_VALUE;                                         \
		v->name = value->low;                                                              \
		return HVS_SUCCESS;                                                                \
	}

SUSPEND(explicit_suspend)
SUSPEND(intercept_suspend)

u16 get_activity(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	struct vcpu_state s;

	vcpu_get(v->cpu, ST_MP, &s);
	switch (s.mp_state) {
	case MP_UNINITIALIZED:
	case MP_INIT_RECEIVED: ret->low = HV_ACTIVITY_STARTUP; break;
	case MP_HALTED: ret->low = HV_ACTIVITY_HALT; break;
	default: break;
	}
	return HVS_SUCCESS;
}

/* Who waits for a start-up interrupt needs a local APIC to get it. */
u16 set_activity(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	struct vcpu_state s = {.mp_state = MP_RUNNABLE};

	if (value->low & ~(HV_ACTIVITY_STARTUP | HV_ACTIVITY_HALT | HV_ACTIVITY_IDLE))
		return HVS_INVALID_REGISTER_VALUE;
	if ((value->low & HV_ACTIVITY_STARTUP) && !partition_has_lapic(v->partition))
		return HVS_INVALID_REGISTER_VALUE;
	if (value->low & HV_ACTIVITY_STARTUP)
		s.mp_state = MP_INIT_RECEIVED;
	else if (value->low & (HV_ACTIVITY_HALT | HV_ACTIVITY_IDLE))
		s.mp_state = MP_HALTED;
	v->awaits_rip = false;
	return vcpu_set(v->cpu, ST_MP, &s) ? HVS_INVALID_REGISTER_VALUE : HVS_SUCCESS;
}

/* ---- an event whose delivery was broken off ---- */

static u64 pending_value(unsigned type, unsigned vector)
{
	return HV_PENDING | (u64)type << 1 | (u64)vector << 16;
}

u64 pending_interruption(const struct vcpu_events *e)
{
	if (e->exception.injected)
		return pending_value(HV_PENDING_EXCEPTION, e->exception.vector) |
		       (e->exception.has_error
				       ? HV_PENDING_HAS_ERROR | (u64)e->exception.error << 32
				       : 0);
	if (e->nmi.injected)
		return pending_value(HV_PENDING_NMI, X86_NMI);
	if (e->interrupt.injected)
		return pending_value(e->interrupt.soft ? HV_PENDING_SOFT_INT : HV_PENDING_EXTINT,
			e->interrupt.vector);
	return 0;
}

u16 get_pending_interruption(
	struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	struct vcpu_state s;

	vcpu_get(v->cpu, ST_EVENT, &s);
	ret->low = pending_interruption(&s.events);
	return HVS_SUCCESS;
}

static void inject(struct vcpu_events *e, u64 value)
{
	u8 vector = (u8)HV_PENDING_VECTOR(value);

	switch (HV_PENDING_TYPE(value)) {
	case HV_PENDING_EXTINT:
	case HV_PENDING_SOFT_INT:
		e->interrupt.injected = true;
		e->interrupt.vector = vector;
		e->interrupt.soft = HV_PENDING_TYPE(value) != HV_PENDING_EXTINT;
		break;
	case HV_PENDING_NMI: e->nmi.injected = true; break;
	default:
		e->exception.injected = true;
		e->exception.vector = vector;
		e->exception.has_error = value & HV_PENDING_HAS_ERROR;
		e->exception.error = HV_PENDING_ERROR(value);
	}
}

static bool pending_valid(u64 value)
{
	unsigned type = HV_PENDING_TYPE(value);

	return !(value & HV_PENDING) || (type != 1 && type != 7 && HV_PENDING_VECTOR(value) <= 255);
}

u16 set_pending_interruption(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	struct vcpu_state s;

	if (!pending_valid(value->low))
		return HVS_INVALID_REGISTER_VALUE;
	vcpu_get(v->cpu, ST_EVENT, &s);
	s.events.exception.injected = false;
	s.events.interrupt.injected = false;
	s.events.nmi.injected = false;
	if (value->low & HV_PENDING)
		inject(&s.events, value->low);
	return vcpu_set(v->cpu, ST_EVENT, &s) ? HVS_INVALID_REGISTER_VALUE : HVS_SUCCESS;
}

u16 get_interrupt_state(
	struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	struct vcpu_state s;

	vcpu_get(v->cpu, ST_EVENT, &s);
	ret->low = interrupt_state(s.events.shadow, s.events.nmi.masked);
	return HVS_SUCCESS;
}

u16 set_interrupt_state(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	struct vcpu_state s;

	if (value->low & ~(HV_INTERRUPT_SHADOW | HV_NMI_MASKED))
		return HVS_INVALID_REGISTER_VALUE;
	vcpu_get(v->cpu, ST_EVENT, &s);
	if (!s.events.shadow != !(value->low & HV_INTERRUPT_SHADOW))
		s.events.shadow = value->low & HV_INTERRUPT_SHADOW ? SHADOW_STI : 0;
	s.events.nmi.masked = value->low & HV_NMI_MASKED;
	return vcpu_set(v->cpu, ST_EVENT, &s) ? HVS_INVALID_REGISTER_VALUE : HVS_SUCCESS;
}

/* ---- an event that is to come ---- */

u16 get_pending_event(
	struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	struct vcpu_state s;

	vcpu_get(v->cpu, ST_EVENT, &s);
	if (!s.events.exception.pending)
		return HVS_SUCCESS;
	ret->low = pending_value(HV_EVENT_EXCEPTION, s.events.exception.vector);
	if (s.events.exception.has_error)
		ret->low |= HV_EVENT_HAS_ERROR | (u64)s.events.exception.error << 32;
	if (s.events.exception.has_payload)
		ret->high = s.events.exception.payload;
	return HVS_SUCCESS;
}

static bool has_parameter(unsigned vector)
{
	return vector == X86_PF || vector == X86_DB;
}

static u16 raise_exception(struct mshv_vp *v, const struct hv_value128 *value)
{
	unsigned vector = HV_PENDING_VECTOR(value->low);
	struct vcpu_state s;

	vcpu_get(v->cpu, ST_EVENT, &s);
	s.events.exception.pending = value->low & HV_PENDING;
	s.events.exception.vector = (u8)vector;
	s.events.exception.has_error = value->low & HV_EVENT_HAS_ERROR;
	s.events.exception.error = HV_PENDING_ERROR(value->low);
	s.events.exception.has_payload = has_parameter(vector);
	s.events.exception.payload = value->high;
	return vcpu_set(v->cpu, ST_EVENT, &s) ? HVS_INVALID_REGISTER_VALUE : HVS_SUCCESS;
}

u16 set_pending_event(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	if (!(value->low & HV_PENDING))
		return raise_exception(v, &(struct hv_value128){0});
	switch (HV_PENDING_TYPE(value->low)) {
	case HV_EVENT_EXCEPTION:
		return HV_PENDING_VECTOR(value->low) < 32 ? raise_exception(v, value)
							  : HVS_INVALID_REGISTER_VALUE;
	case HV_EVENT_EXTINT:
		vcpu_interrupt(v->cpu, HV_EVENT_EXTINT_VECTOR(value->low));
		return HVS_SUCCESS;
	default: return HVS_INVALID_REGISTER_VALUE;
	}
}

u16 get_event1(struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	*ret = v->event1;
	return HVS_SUCCESS;
}

/* The other kinds of events are of nested guests and of memory that waits: none ever comes. */
u16 set_event1(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	if (value->low & HV_PENDING)
		return HVS_INVALID_REGISTER_VALUE;
	v->event1 = *value;
	return HVS_SUCCESS;
}

/* ---- being told when something can be delivered ---- */

u16 get_notifications(
	struct mshv_vp *v, const struct register_row *r, u32 n, struct hv_value128 *ret)
{
	ret->low = v->notify | (u64)vcpu_synic_notified(v->cpu) << 48;
	return HVS_SUCCESS;
}

void notify_set(struct mshv_vp *v, u64 notify)
{
	v->notify = notify;
	vcpu_request_irq_window(v->cpu, notify & HV_NOTIFY_INTERRUPT);
	vcpu_request_nmi_window(v->cpu, notify & HV_NOTIFY_NMI);
}

/* Where the hypervisor has the local APIC it delivers interrupts itself. */
u16 set_notifications(
	struct mshv_vp *v, const struct register_row *r, u32 n, const struct hv_value128 *value)
{
	u64 interrupts = HV_NOTIFY_NMI | HV_NOTIFY_INTERRUPT | HV_NOTIFY_PRIORITY;
	u64 known = interrupts | 0xffffull << 48;

	if (value->low & ~known)
		return HVS_INVALID_REGISTER_VALUE;
	if (partition_has_lapic(v->partition) && (value->low & interrupts))
		return HVS_INVALID_PARAMETER;
	notify_set(v, value->low & interrupts);
	vcpu_synic_notify(v->cpu, HV_NOTIFY_SINTS(value->low));
	return HVS_SUCCESS;
}
