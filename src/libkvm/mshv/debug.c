/* SPDX-License-Identifier: MIT */
/*
 * Debugging the guest from outside. Exceptions that a debugger looks for are intercepted, for the whole partition; those
 * that are the guest's own are put back. Steps are made with the guest's TF, breakpoints in memory with INT3 by the
 * program, those in registers in the guest's debug registers, which are kept meanwhile.
 */
#include <errno.h>
#include <string.h>

#include "libkvm/mshv/mshv.h"

static const u32 debug_registers[] = {HV_X64_REGISTER_DR0, HV_X64_REGISTER_DR0 + 1,
	HV_X64_REGISTER_DR0 + 2, HV_X64_REGISTER_DR3, HV_X64_REGISTER_DR6, HV_X64_REGISTER_DR7};
#define DR_COUNT ARRAY_SIZE(debug_registers)

/* ---- what is intercepted ---- */

static u32 vectors_of(const struct vp *v)
{
	const u32 control = v->debug.control;

	return (control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP) ? BIT(X86_DB) : 0) |
	       (control & KVM_GUESTDBG_USE_SW_BP ? BIT(X86_BP) : 0);
}

static long intercept(struct partition *p, u32 vector, bool on, struct refusal *why)
{
	const struct hv_install_intercept in = {
		.access = on ? HV_ACCESS_EXECUTE : 0,
		.type = HV_INTERCEPT_EXCEPTION,
		.parameter = vector,
	};

	return hvcall_in(p->mshv, p->fd, HVCALL_INSTALL_INTERCEPT, &in, sizeof(in), why);
}

/* Under the lock: what any of the VM's vCPUs is debugged with. */
static long intercept_all(struct partition *p, struct refusal *why)
{
	u32 wanted = 0, changed;
	long r = 0;

	for (unsigned i = 0; i < MAX_VPS; i++)
		wanted |= p->vps[i] ? vectors_of(p->vps[i]) : 0;
	changed = wanted ^ p->intercepted;
	for (u32 vector = X86_DB; r >= 0 && vector <= X86_BP; vector++)
		if (changed & BIT(vector)) {
			r = intercept(p, vector, wanted & BIT(vector), why);
			if (r >= 0)
				p->intercepted ^= BIT(vector);
		}
	return r;
}

/* ---- registers ---- */

static long read_registers(struct vp *v, u64 ret[DR_COUNT], struct refusal *why)
{
	struct hv_value128 values[DR_COUNT];
	long r = vp_read(v, debug_registers, values, DR_COUNT, why);

	for (unsigned i = 0; r >= 0 && i < DR_COUNT; i++)
		ret[i] = values[i].low;
	return r;
}

static long write_registers(struct vp *v, const u64 values[DR_COUNT], struct refusal *why)
{
	struct hv_register registers[DR_COUNT] = {{.name = 0}};

	for (unsigned i = 0; i < DR_COUNT; i++) {
		registers[i].name = debug_registers[i];
		registers[i].value.low = values[i];
	}
	return vp_write(v, registers, DR_COUNT, why);
}

/* The program's instead of the guest's, or the guest's again. DR6 stays the guest's. */
static long exchange_registers(struct vp *v, const struct kvm_guest_debug *new, struct refusal *why)
{
	const bool had = debug_has_breakpoints(v), has = new->control &KVM_GUESTDBG_USE_HW_BP;
	const __u64 *dr = new->arch.debugreg;
	long r = 0;

	if (has && !had)
		r = read_registers(v, v->own_debugregs, why);
	if (r >= 0 && has)
		return write_registers(
			v, (u64[]){dr[0], dr[1], dr[2], dr[3], v->own_debugregs[4], dr[7]}, why);
	return r >= 0 && had ? write_registers(v, v->own_debugregs, why) : r;
}

long serve_get_debugregs(struct ask *c)
{
	struct kvm_debugregs *k = c->arg;
	u64 values[DR_COUNT];
	long r = read_registers(c->v, values, c->why);

	if (r < 0)
		return r;
	if (debug_has_breakpoints(c->v))
		memcpy(values, c->v->own_debugregs, sizeof(values));
	memset(k, 0, sizeof(*k));
	memcpy(k->db, values, sizeof(k->db));
	k->dr6 = values[4];
	k->dr7 = values[5];
	return 0;
}

/* ---- the request ---- */

static long inject(struct vp *v, u8 vector, struct refusal *why)
{
	const struct emu_fault fault = {.vector = vector};
	u64 pending;
	long r = vp_read_one(v, HV_REGISTER_PENDING_EVENT0, &pending, why);

	if (r < 0)
		return r;
	if (pending & HV_PENDING)
		return refuse(why, -EBUSY, "an exception is already pending");
	return vp_inject(v, &fault, why);
}

#define INJECTS (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)
#define KNOWN                                                                                      \
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP |                  \
		KVM_GUESTDBG_USE_HW_BP | INJECTS)

static long set_debug(struct vp *v, const struct kvm_guest_debug *new, struct refusal *why)
{
	const struct kvm_guest_debug before = v->debug;
	long r = exchange_registers(v, new, why);

	if (r < 0)
		return r;
	v->debug = *new;
	pthread_mutex_lock(&v->p->lock);
	r = intercept_all(v->p, why);
	pthread_mutex_unlock(&v->p->lock);
	if (r < 0)
		v->debug = before;
	return r;
}

long serve_set_guest_debug(struct ask *c)
{
	struct kvm_guest_debug new = *(struct kvm_guest_debug *)c->arg;
	long r = 0;

	if (new.control & ~(u32)KNOWN)
		return refuse(c->why, -EINVAL, "control 0x%lx: 0x%lx are known", (u64) new.control,
			(u64)KNOWN);
	if (new.control & INJECTS)
		r = inject(c->v, new.control &KVM_GUESTDBG_INJECT_DB ? X86_DB : X86_BP, c->why);
	if (r < 0)
		return r;
	new.control &= ~(u32)INJECTS;
	if (!(new.control &KVM_GUESTDBG_ENABLE))
		new.control = 0;
	return set_debug(c->v, &new, c->why);
}

/* ---- running ---- */

static long show(struct vp *v, u32 vector, u64 dr6)
{
	struct kvm_debug_exit_arch *arch = &v->run->debug.arch;
	struct hv_segment segments[6];
	struct refusal unsaid;
	struct emu_regs regs;

	if (vp_load(v, &regs, &unsaid) < 0 || vp_segments(v, segments, &unsaid) < 0)
		return -EIO;
	v->run->exit_reason = KVM_EXIT_DEBUG;
	memset(arch, 0, sizeof(*arch));
	arch->exception = vector;
	arch->pc = segments[SEG_CS].attr & SEG_L ? regs.rip : segments[SEG_CS].base + regs.rip;
	arch->dr6 = dr6 | DR6_FIXED;
	arch->dr7 = debug_has_breakpoints(v) ? v->debug.arch.debugreg[7] : DR7_FIXED;
	return 1;
}

static long set_trap(struct vp *v, bool on, bool *ret_before, struct refusal *why)
{
	struct emu_regs regs;
	long r = vp_load(v, &regs, why);

	if (r < 0)
		return r;
	*ret_before = regs.rflags & FL_TF;
	if (*ret_before == on)
		return 0;
	regs.rflags = on ? regs.rflags | FL_TF : regs.rflags & ~FL_TF;
	return vp_store(v, &regs, why);
}

long debug_before_run(struct vp *v, struct refusal *why)
{
	if (unlikely(v->stepped)) {
		v->stepped = false;
		return show(v, X86_DB, DR6_BS);
	}
	return likely(!debug_steps(v)) ? 0 : set_trap(v, true, &v->own_trap, why);
}

/* The program sees the guest's own. */
void debug_after_run(struct vp *v)
{
	struct refusal unsaid;
	bool before;

	if (debug_steps(v))
		set_trap(v, v->own_trap, &before, &unsaid);
}

/* INT3 is over when its exception is delivered, so rip is moved behind it (SDM 3:6.5). */
static long put_back(struct vp *v, const struct hv_exception_message *m, struct refusal *why)
{
	const struct emu_fault fault = {
		.vector = (u8)m->vector,
		.has_error = m->info & HV_EXCEPTION_HAS_ERROR,
		.error = m->error,
		.address = m->parameter,
	};
	struct emu_regs regs;
	long r = 0;

	if (m->info & HV_EXCEPTION_SOFTWARE) {
		r = vp_load(v, &regs, why);
		regs.rip += m->header.length_cr8 & 15;
		if (r >= 0)
			r = vp_store(v, &regs, why);
	}
	return r < 0 ? r : vp_inject(v, &fault, why);
}

long debug_intercept(struct vp *v, struct refusal *why)
{
	const struct hv_exception_message *m =
		(const struct hv_exception_message *)v->message.payload;

	/* It may wait to be delivered. The guest is not to have it, or not twice. */
	long r = vp_write_one(v, HV_REGISTER_PENDING_INTERRUPTION, 0, why);

	if (r < 0)
		return r;
	return vectors_of(v) & BIT64(m->vector & 31) ? show(v, m->vector, m->parameter)
						     : put_back(v, m, why);
}
