/* SPDX-License-Identifier: MIT */
/* The rest of a vcpu's state: x87 and vector registers, XCR0, debug registers, events, MP state. */
#include <errno.h>
#include <string.h>

#include "abi/kvm/state.h"
#include "x86/fxsave.h"

/* ---- XSAVE image and its legacy part, SDM 1:13.4 ---- */

#define MXCSR_ANY_HOST 0xffbfu /* bits that every processor has, SDM 1:11.6.6 */

long vcpu_get_fpu(struct call *c)
{
	struct kvm_fpu *f = c->data;
	struct vcpu_state s;
	struct fxsave x;

	vcpu_get(vcpu_of(c)->cpu, ST_XSAVE, &s);
	memcpy(&x, s.xsave, sizeof(x));
	memcpy(f->fpr, x.st, sizeof(f->fpr));
	memcpy(f->xmm, x.xmm, sizeof(f->xmm));
	f->fcw = x.fcw;
	f->fsw = x.fsw;
	f->ftwx = x.ftw;
	f->last_opcode = x.opcode;
	f->last_ip = x.ip;
	f->last_dp = x.dp;
	f->mxcsr = x.mxcsr;
	return 0;
}

long vcpu_set_fpu(struct call *c)
{
	const struct kvm_fpu *f = c->data;
	struct vcpu_state s;
	struct fxsave x;
	u64 present;

	vcpu_get(vcpu_of(c)->cpu, ST_XSAVE, &s);
	memcpy(&x, s.xsave, sizeof(x));
	memcpy(x.st, f->fpr, sizeof(x.st));
	memcpy(x.xmm, f->xmm, sizeof(x.xmm));
	x.fcw = f->fcw;
	x.fsw = f->fsw;
	x.ftw = f->ftwx;
	x.opcode = f->last_opcode;
	x.ip = f->last_ip;
	x.dp = f->last_dp;
	x.mxcsr = f->mxcsr & MXCSR_ANY_HOST; /* this request never fails */
	memcpy(s.xsave, &x, sizeof(x));
	memcpy(&present, s.xsave + XSTATE_BV_OFFSET, sizeof(present));
	present |= XSTATE_X87_SSE;
	memcpy(s.xsave + XSTATE_BV_OFFSET, &present, sizeof(present));
	return vcpu_set(vcpu_of(c)->cpu, ST_XSAVE, &s);
}

_Static_assert(sizeof(struct kvm_xsave) == XSAVE_BYTES, "KVM_CAP_XSAVE2 says so");

long vcpu_get_xsave(struct call *c)
{
	struct vcpu_state s;

	vcpu_get(vcpu_of(c)->cpu, ST_XSAVE, &s);
	memcpy(c->data, s.xsave, sizeof(s.xsave));
	return 0;
}

long vcpu_set_xsave(struct call *c)
{
	struct vcpu_state s;

	memcpy(s.xsave, c->data, sizeof(s.xsave));
	return vcpu_answered(c, vcpu_set(vcpu_of(c)->cpu, ST_XSAVE, &s));
}

long vcpu_get_xcrs(struct call *c)
{
	struct kvm_xcrs *x = c->data;
	struct vcpu_state s;

	vcpu_get(vcpu_of(c)->cpu, ST_XCR, &s);
	x->nr_xcrs = 1;
	x->xcrs[0].value = s.xcr0;
	return 0;
}

long vcpu_set_xcrs(struct call *c)
{
	const struct kvm_xcrs *x = c->data;
	struct vcpu_state s;
	unsigned i;

	if (x->nr_xcrs > KVM_MAX_XCRS)
		return refuse(c->why, -EINVAL, "nr_xcrs %lu: at most %lu are allowed",
			(u64)x->nr_xcrs, (u64)KVM_MAX_XCRS);
	if (check_flags(c, x->flags, 0))
		return -EINVAL;
	for (i = 0; i < x->nr_xcrs; i++)
		if (!x->xcrs[i].xcr) {
			s.xcr0 = x->xcrs[i].value;
			return vcpu_answered(c, vcpu_set(vcpu_of(c)->cpu, ST_XCR, &s));
		}
	return 0;
}

/* ---- debug registers ---- */

long vcpu_get_debugregs(struct call *c)
{
	struct kvm_debugregs *k = c->data;
	struct vcpu_state s;

	vcpu_get(vcpu_of(c)->cpu, ST_DEBUG, &s);
	memcpy(k->db, s.dr, sizeof(k->db));
	k->dr6 = s.dr[6];
	k->dr7 = s.dr[7];
	return 0;
}

long vcpu_set_debugregs(struct call *c)
{
	const struct kvm_debugregs *k = c->data;
	struct vcpu_state s = {.dr = {0}};

	if (check_flags(c, k->flags, 0))
		return -EINVAL;
	memcpy(s.dr, k->db, sizeof(k->db));
	s.dr[6] = k->dr6;
	s.dr[7] = k->dr7;
	return vcpu_answered(c, vcpu_set(vcpu_of(c)->cpu, ST_DEBUG, &s));
}

/* ---- events ---- */

_Static_assert(KVM_X86_SHADOW_INT_MOV_SS == SHADOW_MOVSS && KVM_X86_SHADOW_INT_STI == SHADOW_STI,
	"interrupt shadows pass through");

/* Without KVM_CAP_EXCEPTION_PAYLOAD the caller knows no difference between pending and injected. */
static void exception_out(struct kvm_vcpu_events *k, const struct vcpu_events *e, bool payload)
{
	k->exception.injected = e->exception.injected || (!payload && e->exception.pending);
	k->exception.pending = payload && e->exception.pending;
	k->exception.nr = e->exception.vector;
	k->exception.has_error_code = e->exception.has_error;
	k->exception.error_code = e->exception.error;
	if (payload) {
		k->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
		k->exception_has_payload = e->exception.has_payload;
		k->exception_payload = e->exception.payload;
	}
}

void events_get(struct kvm_vcpu *v, struct kvm_vcpu_events *k)
{
	struct vcpu_state s;
	struct vcpu_events *e = &s.events;

	vcpu_get(v->cpu, ST_EVENT | ST_SMI, &s);
	memset(k, 0, sizeof(*k));
	k->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
		   KVM_VCPUEVENT_VALID_SMM;
	exception_out(k, e, v->vm->exception_payload);
	k->interrupt.injected = e->interrupt.injected && !e->interrupt.soft;
	k->interrupt.nr = e->interrupt.vector;
	k->interrupt.shadow = e->shadow;
	k->nmi.injected = e->nmi.injected;
	k->nmi.pending = !!e->nmi.pending;
	k->nmi.masked = e->nmi.masked;
	k->smi.smm = e->smi.active;
	k->smi.pending = e->smi.pending;
	k->smi.smm_inside_nmi = e->smi.inside_nmi;
	k->smi.latched_init = e->smi.latched_init;
	if (v->vm->triple_fault_event) {
		k->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
		k->triple_fault.pending = e->triple_fault;
	}
}

#define EVENT_FLAGS                                                                                \
	(KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |                       \
		KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM |                             \
		KVM_VCPUEVENT_VALID_PAYLOAD | KVM_VCPUEVENT_VALID_TRIPLE_FAULT)

static long check_events(struct call *c, const struct kvm_vcpu_events *k)
{
	bool payload = k->flags & KVM_VCPUEVENT_VALID_PAYLOAD;

	if (check_flags(c, k->flags, EVENT_FLAGS))
		return -EINVAL;
	if (payload && !vm_of(c)->exception_payload)
		return refuse(c->why, -EINVAL,
			"flags: VALID_PAYLOAD needs KVM_CAP_EXCEPTION_PAYLOAD, which is not "
			"enabled");
	if ((k->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT) && !vm_of(c)->triple_fault_event)
		return refuse(c->why, -EINVAL,
			"flags: VALID_TRIPLE_FAULT needs KVM_CAP_X86_TRIPLE_FAULT_EVENT, which is "
			"not "
			"enabled");
	return 0;
}

static void exception_in(struct vcpu_events *e, const struct kvm_vcpu_events *k)
{
	bool payload = k->flags & KVM_VCPUEVENT_VALID_PAYLOAD;

	e->exception.injected = k->exception.injected;
	e->exception.pending = payload && k->exception.pending;
	e->exception.vector = k->exception.nr;
	e->exception.has_error = k->exception.has_error_code;
	e->exception.error = k->exception.error_code;
	e->exception.has_payload = payload && k->exception_has_payload;
	e->exception.payload = payload ? k->exception_payload : 0;
}

static void smi_in(struct vcpu_events *e, const struct kvm_vcpu_events *k)
{
	e->smi.active = k->smi.smm;
	e->smi.pending = k->smi.pending;
	e->smi.inside_nmi = k->smi.smm_inside_nmi;
	e->smi.latched_init = k->smi.latched_init;
}

long events_set(struct call *c, const struct kvm_vcpu_events *k)
{
	struct kvm_vcpu *v = vcpu_of(c);
	struct vcpu_state s;
	struct vcpu_events *e = &s.events;
	u32 groups = ST_EVENT;

	if (check_events(c, k))
		return -EINVAL;
	vcpu_get(v->cpu, ST_EVENT, &s);
	exception_in(e, k);
	e->interrupt.injected = k->interrupt.injected;
	e->interrupt.vector = k->interrupt.nr;
	e->interrupt.soft = k->interrupt.soft;
	e->nmi.injected = k->nmi.injected;
	e->nmi.masked = k->nmi.masked;
	if (k->flags & KVM_VCPUEVENT_VALID_NMI_PENDING)
		e->nmi.pending = k->nmi.pending;
	if (k->flags & KVM_VCPUEVENT_VALID_SHADOW)
		e->shadow = k->interrupt.shadow & (SHADOW_MOVSS | SHADOW_STI);
	if (k->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR)
		e->sipi_vector = k->sipi_vector;
	if (k->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT)
		e->triple_fault = k->triple_fault.pending;
	if (k->flags & KVM_VCPUEVENT_VALID_SMM) {
		smi_in(e, k);
		groups |= ST_SMI;
	}
	return vcpu_answered(c, vcpu_set(v->cpu, groups, &s));
}

long vcpu_get_events(struct call *c)
{
	events_get(vcpu_of(c), c->data);
	return 0;
}

long vcpu_set_events(struct call *c)
{
	return events_set(c, c->data);
}

/* ---- MP state: KVM's numbers are the engine's ---- */

_Static_assert(KVM_MP_STATE_RUNNABLE == (int)MP_RUNNABLE && KVM_MP_STATE_HALTED == (int)MP_HALTED &&
		       KVM_MP_STATE_SIPI_RECEIVED == (int)MP_SIPI_RECEIVED,
	"MP states pass through");

long vcpu_get_mp_state(struct call *c)
{
	struct vcpu_state s;

	vcpu_get(vcpu_of(c)->cpu, ST_MP, &s);
	((struct kvm_mp_state *)c->data)->mp_state = s.mp_state;
	return 0;
}

static bool init_held_off(struct kvm_vcpu *v)
{
	struct vcpu_state s;

	vcpu_get(v->cpu, ST_SMI, &s);
	return s.events.smi.active || s.events.smi.pending;
}

/* Without a local APIC in the engine, the others are the caller's business. */
long vcpu_set_mp_state(struct call *c)
{
	struct vcpu_state s = {.mp_state = ((struct kvm_mp_state *)c->data)->mp_state};

	if (s.mp_state == KVM_MP_STATE_AP_RESET_HOLD)
		s.mp_state = MP_HALTED;
	if (s.mp_state > MP_SIPI_RECEIVED)
		return refuse(c->why, -EINVAL, "mp_state %lu: x86 has the states 0 to 4 and 9",
			(u64)s.mp_state);
	if (s.mp_state != MP_RUNNABLE && !vm_has_irqchip(vm_of(c)))
		return refuse(c->why, -EINVAL,
			"mp_state %lu: without an irqchip only 0 (runnable) is possible",
			(u64)s.mp_state);
	if ((s.mp_state == MP_INIT_RECEIVED || s.mp_state == MP_SIPI_RECEIVED) &&
		init_held_off(vcpu_of(c)))
		return refuse(c->why, -EINVAL,
			"mp_state %lu: not possible in system management mode or with a pending "
			"SMI",
			(u64)s.mp_state);
	return vcpu_answered(c, vcpu_set(vcpu_of(c)->cpu, ST_MP, &s));
}
