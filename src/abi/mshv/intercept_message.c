/* SPDX-License-Identifier: MIT */
/* Exits for intercepts that were asked for, as messages; and those that turn out not to be wanted, done here. */
#include <string.h>

#include "abi/mshv/cpuid.h"
#include "abi/mshv/guest_call.h"
#include "abi/mshv/intercept.h"
#include "abi/mshv/intercept_list.h"
#include "abi/mshv/message.h"
#include "abi/mshv/property.h"
#include "abi/mshv/register.h"
#include "abi/mshv/vtl.h"
#include "engine/intercept.h"

/* ---- an instruction that the interface completes itself ---- */

static void complete(struct mshv_vp *v, struct vcpu_state *s)
{
	s->rip += vcpu_exit_insn(v->cpu)->len;
	vcpu_set(v->cpu, ST_REGS, s);
}

static void raise_fault(struct mshv_vp *v, u8 vector)
{
	struct vcpu_state s;

	vcpu_get(v->cpu, ST_EVENT, &s);
	s.events.exception.pending = true;
	s.events.exception.vector = vector;
	s.events.exception.has_error = vector == X86_GP;
	s.events.exception.error = 0;
	s.events.exception.has_payload = false;
	vcpu_set(v->cpu, ST_EVENT, &s);
}

/* ---- MSRs ---- */

static bool is_ignored(struct mshv_vp *v, u32 msr)
{
	u32 action;

	if (msr_result(v, msr, &action))
		return action == HV_MSR_RESULT_IGNORE;
	return property_value(v->partition, HV_PROPERTY_UNIMPLEMENTED_MSR_ACTION) ==
	       HV_MSR_ACTION_IGNORE;
}

/* Reads as zero, writes go nowhere, or #GP. */
static int unknown_msr(struct mshv_vp *v, const struct exit *x, u64 *value)
{
	*value = 0;
	return is_ignored(v, x->msr.index) ? 0 : -EINVAL;
}

static int known_msr(struct mshv_vp *v, const struct exit *x, u64 *value)
{
	return x->reason == EXIT_RDMSR ? vcpu_get_msr(v->cpu, x->msr.index, value, false)
				       : vcpu_set_msr(v->cpu, x->msr.index, x->msr.data, false);
}

/* An access that the VMM does not want to see. */
static void do_msr(struct mshv_vp *v, const struct exit *x)
{
	struct vcpu_state s;
	u64 value = 0;
	int r;

	r = x->msr.why == MSR_WHY_UNKNOWN ? unknown_msr(v, x, &value) : known_msr(v, x, &value);
	if (r == -ENOENT)
		r = unknown_msr(v, x, &value);
	if (r) {
		raise_fault(v, X86_GP);
		return;
	}
	vcpu_get(v->cpu, ST_REGS, &s);
	if (x->reason == EXIT_RDMSR) {
		s.gpr[RAX] = (u32)value;
		s.gpr[RDX] = value >> 32;
	}
	complete(v, &s);
}

static bool msr_wanted(const struct mshv_vp *v, const struct exit *x)
{
	u32 access = x->reason == EXIT_RDMSR ? HV_ACCESS_READ : HV_ACCESS_WRITE;

	return (atomic_load(&v->partition->intercepts->msr_class) & access) ||
	       msr_intercepted(v->partition->intercepts, x->msr.index, access);
}

static struct hv_msr_message *fill_msr(
	const struct intercept *f, u32 index, u32 access, struct hv_message *m)
{
	struct hv_msr_message *p = MESSAGE(m, HVMSG_X64_MSR_INTERCEPT, struct hv_msr_message);

	message_header(f, &p->header, access);
	p->msr = index;
	p->rdx = f->look->gpr[RDX];
	p->rax = f->look->gpr[RAX];
	return p;
}

static void read_message(const struct intercept *f, u32 index, struct hv_message *m)
{
	fill_msr(f, index, HV_INTERCEPT_READ, m);
}

/* A tool that looks into the machine may have changed the value, but not the registers. */
static void write_message(const struct intercept *f, u32 index, u64 value, struct hv_message *m)
{
	struct hv_msr_message *p = fill_msr(f, index, HV_INTERCEPT_WRITE, m);

	p->rdx = (p->rdx & ~(u64)UINT32_MAX) | value >> 32;
	p->rax = (p->rax & ~(u64)UINT32_MAX) | (u32)value;
}

void msr_message(const struct intercept *f, struct hv_message *m)
{
	const struct exit *x = f->exit;

	if (x->reason == EXIT_WRMSR)
		write_message(f, x->msr.index, x->msr.data, m);
	else
		read_message(f, x->msr.index, m);
}

/* ---- hypercalls ---- */

#define HV_CALL_RETARGET 0x7e

/* The type of intercept that this call is an instance of, beside HV_INTERCEPT_HYPERCALL. */
static unsigned type_of(u16 code)
{
	switch (code) {
	case HV_CALL_POST_MESSAGE:
	case HV_CALL_SIGNAL_EVENT: return HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION;
	case HV_CALL_RETARGET: return HV_INTERCEPT_RETARGET_INTERRUPT;
	default: return HV_INTERCEPT_HYPERCALL;
	}
}

static bool call_wanted(const struct mshv_vp *v, const struct exit *x)
{
	u32 types = BIT(HV_INTERCEPT_HYPERCALL) | BIT(type_of((u16)x->hyperv.arg[0]));

	return atomic_load(&v->partition->intercepts->hypercalls) & types;
}

/* Of a call that nobody takes. TLFS 3.9: parameters in memory are aligned, and do not cross a page. */
static u64 status_of(const struct exit *x)
{
	bool fast = x->hyperv.arg[0] & HV_CONTROL_FAST;

	if (type_of((u16)x->hyperv.arg[0]) != HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION)
		return HVS_INVALID_CODE;
	return !fast && x->hyperv.arg[1] & 7 ? HVS_INVALID_ALIGNMENT : HVS_INVALID_CONNECTION;
}

static void do_call(struct mshv_vp *v, const struct exit *x)
{
	struct vcpu_state s;

	vcpu_get(v->cpu, ST_REGS | ST_SREGS, &s);
	guest_call_result(&s, status_of(x));
	complete(v, &s);
}

/* TLFS, section on VTL calls: with anything in the control word an instruction that does not exist. */
static bool is_invalid_vtl_call(const struct mshv_vp *v, const struct exit *x)
{
	return v->partition->vtl && (u16)x->hyperv.arg[0] == HV_CALL_VTL_CALL;
}

bool vtl_take_call(struct mshv_vp *v)
{
	const struct exit *x = vcpu_exit(v->cpu);
	struct vcpu_state s;

	if (x->reason != EXIT_HYPERV || x->hyperv.arg[0] != HV_CALL_VTL_CALL)
		return false;
	vcpu_get(v->cpu, ST_REGS, &s);
	complete(v, &s);
	return true;
}

void hypercall_message(const struct intercept *f, struct hv_message *m)
{
	struct hv_hypercall_message *p =
		MESSAGE(m, HVMSG_HYPERCALL_INTERCEPT, struct hv_hypercall_message);

	message_header(f, &p->header, HV_INTERCEPT_EXECUTE);
	p->rax = f->look->gpr[RAX];
	p->rbx = f->look->gpr[RBX];
	p->rcx = f->look->gpr[RCX];
	p->rdx = f->look->gpr[RDX];
	p->r8 = f->look->gpr[R8];
	p->rsi = f->look->gpr[RSI];
	p->rdi = f->look->gpr[RDI];
	vcpu_get_xmm(f->vp->cpu, p->xmm, ARRAY_SIZE(p->xmm));
}

/* ---- what a processor has left in front of ---- */

static void cpuid_message(
	const struct intercept *f, const struct tap_event *e, struct hv_message *m)
{
	struct hv_cpuid_message *p = MESSAGE(m, HVMSG_X64_CPUID_INTERCEPT, struct hv_cpuid_message);
	u32 out[4];

	message_header(f, &p->header, HV_INTERCEPT_EXECUTE);
	p->rax = f->look->gpr[RAX];
	p->rcx = f->look->gpr[RCX];
	p->rdx = f->look->gpr[RDX];
	p->rbx = f->look->gpr[RBX];
	vcpu_read_cpuid(f->vp->cpu, e->cpuid.leaf, e->cpuid.index, out);
	p->default_rax = out[0];
	p->default_rbx = out[1];
	p->default_rcx = out[2];
	p->default_rdx = out[3];
}

/* An exception comes without its instruction: what memory has at rip. Returns how many bytes. */
static u8 bytes_at_rip(const struct intercept *f, u8 *bytes)
{
	const struct vcpu_view *s = f->look;
	bool is_64 = (s->efer & EFER_LMA) && (s->seg[SEG_CS].attr & SEG_L);
	u64 at = is_64 ? s->rip : (u32)(s->seg[SEG_CS].base + s->rip);
	struct translation to;
	u8 n = 0;

	while (n < HV_INSTRUCTION_BYTES) {
		u64 room = HV_PAGE_SIZE - (at + n) % HV_PAGE_SIZE;
		u8 more = (u8)MIN((u64)HV_INSTRUCTION_BYTES - n, room);

		if (vcpu_translate(f->vp->cpu, at + n, &to) ||
			machine_read(f->vp->partition->machine, to.gpa, bytes + n, more))
			break;
		n += more;
	}
	return n;
}

static void exception_message(
	const struct intercept *f, const struct tap_event *e, struct hv_message *m)
{
	bool soft = e->kind == TAP_SOFT_INT;
	u8 vector = soft ? e->soft_int.vector : e->exception.vector;
	bool trap = atomic_load(&f->vp->partition->intercepts->traps) >> (vector & 31) & 1;
	struct hv_exception_message *p =
		MESSAGE(m, trap ? HVMSG_X64_EXCEPTION_TRAP : HVMSG_X64_EXCEPTION_INTERCEPT,
			struct hv_exception_message);

	message_header(f, &p->header, HV_INTERCEPT_EXECUTE);
	p->vector = vector;
	p->info = soft                     ? HV_EXCEPTION_SOFTWARE
		  : e->exception.has_error ? HV_EXCEPTION_HAS_ERROR
					   : 0;
	p->byte_count = bytes_at_rip(f, p->bytes);
	p->error = soft ? 0 : e->exception.error;
	p->parameter = soft ? 0 : e->exception.payload;
	p->ds = segment_out(&f->look->seg[SEG_DS]);
	p->ss = segment_out(&f->look->seg[SEG_SS]);
	memcpy(&p->rax, f->look->gpr, GPR_COUNT * sizeof(p->rax));
}
_Static_assert(
	offsetof(struct hv_exception_message, r15) - offsetof(struct hv_exception_message, rax) ==
		15 * sizeof(u64),
	"in the encoding's order");

void processor_message(const struct intercept *f, struct hv_message *m)
{
	const struct tap_event *e = vcpu_intercepted(f->vp->cpu);

	switch (e->kind) {
	case TAP_CPUID: cpuid_message(f, e, m); break;
	case TAP_EXCEPTION:
	case TAP_SOFT_INT: exception_message(f, e, m); break;
	case TAP_MSR_READ: read_message(f, e->msr.index, m); break;
	case TAP_MSR_WRITE: write_message(f, e->msr.index, e->msr.value, m); break;
	default: break;
	}
}

/* An exception that is intercepted has not happened: if nobody gives it to the guest, the instruction is executed again. */
static void take_exception_back(struct mshv_vp *v)
{
	struct vcpu_state s;

	if (vcpu_intercepted(v->cpu)->kind != TAP_EXCEPTION)
		return;
	vcpu_get(v->cpu, ST_EVENT, &s);
	s.events.exception.injected = s.events.exception.pending = false;
	vcpu_set(v->cpu, ST_EVENT, &s);
}

bool intercept_unwanted(struct mshv_vp *v)
{
	const struct exit *x = vcpu_exit(v->cpu);

	switch (x->reason) {
	case EXIT_INTERCEPT: take_exception_back(v); return false;
	case EXIT_RDMSR:
	case EXIT_WRMSR:
		if (msr_wanted(v, x))
			return false;
		do_msr(v, x);
		return true;
	case EXIT_HYPERV:
		if (unlikely(is_invalid_vtl_call(v, x))) {
			raise_fault(v, X86_UD);
			return true;
		}
		if (guest_call_serve(v, x))
			return true;
		if (call_wanted(v, x))
			return false;
		do_call(v, x);
		return true;
	default: return false;
	}
}
