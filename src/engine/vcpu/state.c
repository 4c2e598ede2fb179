/* SPDX-License-Identifier: MIT */
/*
 * The door's view of a vcpu that does not run: reading and writing its registers, vector state,
 * events, MSRs and debug settings. CPUID: cpuid.c.
 *
 * A write is checked as a whole before the first field changes, and leaves the processor as if the
 * values had always been there: mode recomputed, TLB empty.
 */
#include <errno.h>
#include <string.h>

#include "engine/core/answer.h"
#include "engine/cpu/segment.h"
#include "engine/cpu/smm.h"
#include "engine/cpu/mode.h"
#include "engine/cpu/valid.h"
#include "engine/cpuid/cpuid.h"
#include "engine/core/machine.h"
#include "engine/core/xsave.h"
#include "engine/irq/lapic.h"
#include "engine/msr/msr.h"
#include "engine/request/post.h"
#include "engine/vcpu/state.h"
#include "engine/mem/mem.h"

/* ---- reading ---- */

static void get_regs(const struct cpu *cpu, struct vcpu_state *s)
{
	memcpy(s->gpr, cpu->gpr, sizeof(s->gpr));
	s->rip = cpu->rip;
	s->rflags = cpu->rflags | FL_FIXED;
}

static void get_sregs(struct vcpu *v, struct vcpu_state *s)
{
	const struct cpu *cpu = &v->cpu;

	memcpy(s->seg, cpu->seg, sizeof(s->seg));
	s->gdt = cpu->gdt;
	s->idt = cpu->idt;
	s->cr0 = cpu->cr0;
	s->cr2 = cpu->cr2;
	s->cr3 = cpu->cr3;
	s->cr4 = cpu->cr4;
	s->cr8 = vcpu_cr8(v);
	s->efer = cpu->efer;
	s->apic_base = cpu_apic_base(cpu);
}

/* x87 and SSE are always said to be present, as a kernel's KVM does. */
static void get_xsave(struct cpu *cpu, struct vcpu_state *s)
{
	struct fpu_image *image = (struct fpu_image *)s->xsave;
	u32 size = xsave_size(&cpu->xstate, cpu->xstate.features);

	memcpy(s->xsave, cpu->xsave_area, size);
	memset(s->xsave + size, 0, sizeof(s->xsave) - size);
	image->xstate_bv |= XSTATE_X87 | XSTATE_SSE;
}

static void get_events(const struct vcpu *v, struct vcpu_state *s)
{
	s->events = v->cpu.events;
	if (!v->lapic && v->user_irq >= 0) { /* what KVM_INTERRUPT has queued */
		s->events.interrupt.injected = true;
		s->events.interrupt.vector = (u8)v->user_irq;
	}
	s->events.shadow = v->cpu.shadow;
	s->events.nmi.masked = v->cpu.nmi_masked;
	s->events.nmi.pending = atomic_load(&v->pending_nmi);
	s->events.sipi_vector = atomic_load(&v->sipi_vector);
}

static void get_smi(const struct vcpu *v, struct vcpu_state *s)
{
	s->events.smi.active = cpu_in_smm(&v->cpu);
	s->events.smi.inside_nmi = v->cpu.smm_inside_nmi;
	s->events.smi.pending = atomic_load(&v->pending_smi);
	s->events.smi.latched_init = atomic_load(&v->pending_init);
}

/* Who has been kicked is not halted any more, though it has not run since. */
static u32 get_mp(struct vcpu *v)
{
	u32 state = atomic_load(&v->mp_state);

	return state == MP_HALTED && atomic_load(&v->unhalted) ? MP_RUNNABLE : state;
}

void vcpu_get(struct vcpu *v, u32 groups, struct vcpu_state *ret)
{
	struct cpu *cpu = &v->cpu;

	if (groups & ST_REGS)
		get_regs(cpu, ret);
	if (groups & ST_SREGS)
		get_sregs(v, ret);
	if (groups & ST_XSAVE)
		get_xsave(cpu, ret);
	if (groups & ST_XCR)
		ret->xcr0 = cpu->xcr0;
	if (groups & ST_DEBUG)
		memcpy(ret->dr, cpu->dr, sizeof(ret->dr));
	if (groups & ST_EVENT)
		get_events(v, ret);
	if (groups & ST_SMI)
		get_smi(v, ret);
	if (groups & ST_MP)
		ret->mp_state = get_mp(v);
}

void vcpu_get_xmm(const struct vcpu *v, void *ret, unsigned n)
{
	memcpy(ret, ((const struct fpu_image *)v->cpu.xsave_area)->xmm, n * 16ul);
}

void vcpu_look(const struct vcpu *v, struct vcpu_view *ret)
{
	const struct cpu *cpu = &v->cpu;
	const struct vcpu_events *e = &cpu->events;

	*ret = (struct vcpu_view){.gpr = cpu->gpr,
		.seg = cpu->seg,
		.rip = cpu->rip,
		.rflags = cpu->rflags | FL_FIXED,
		.cr0 = cpu->cr0,
		.cr3 = cpu->cr3,
		.cr4 = cpu->cr4,
		.cr8 = vcpu_cr8(v),
		.efer = cpu->efer,
		.xcr0 = cpu->xcr0,
		.dr7 = cpu->dr[7],
		.shadow = cpu->shadow,
		.nmi_masked = cpu->nmi_masked,
		.event = e->exception.injected || e->interrupt.injected || e->nmi.injected ||
			 (!v->lapic && v->user_irq >= 0)};
}

/* ---- what can be a processor state ---- */

static int check_sregs(const struct cpu *cpu, struct refusal *why, const struct vcpu_state *s)
{
	const struct control c = {.cr0 = s->cr0,
		.cr3 = s->cr3 & ~CR3_NOFLUSH,
		.cr4 = s->cr4,
		.efer = s->efer,
		.cs_l = s->seg[SEG_CS].attr & SEG_L};

	return valid_control(cpu, why, &c, BY_VMM);
}

/* Without any component MXCSR is not looked at, as in Linux. */
static int check_xsave(struct cpu *cpu, struct refusal *why, const struct vcpu_state *s)
{
	const struct fpu_image *image = (const struct fpu_image *)s->xsave;
	u32 mxcsr = image->mxcsr & ~fpu_mxcsr_mask(fpu_image(cpu));

	if (xstate_check_bv(why, image->xstate_bv, cpu->xstate.features))
		return -EINVAL;
	if (image->xcomp_bv)
		return refuse(why, -EINVAL,
			"xcomp_bv 0x%lx: the image must have the standard format", image->xcomp_bv);
	for (unsigned i = 0; i < ARRAY_SIZE(image->header); i++)
		if (image->header[i])
			return refuse(why, -EINVAL, "bytes 528 to 575 of the image are reserved");
	if ((image->xstate_bv & XSTATE_OFFERED) && mxcsr)
		return refuse(why, -EINVAL, "mxcsr: the processor does not have the bits 0x%lx",
			(u64)mxcsr);
	return 0;
}

static int check_debug(struct refusal *why, const struct vcpu_state *s)
{
	if (!valid_dr67(s->dr[6]) || !valid_dr67(s->dr[7]))
		return refuse(why, -EINVAL, "dr6 0x%lx, dr7 0x%lx: bits 63 to 32 are reserved",
			s->dr[6], s->dr[7]);
	return 0;
}

/* Who waits for SIPI cannot be in system management mode: INIT waits until that ends. */
static int check_smi(const struct vcpu *v, struct refusal *why, const struct vcpu_state *s)
{
	if ((s->events.smi.active || s->events.smi.pending) &&
		atomic_load(&v->mp_state) == MP_INIT_RECEIVED)
		return refuse(
			why, -EINVAL, "smi: the vCPU waits for SIPI, KVM_MP_STATE_INIT_RECEIVED");
	return 0;
}

static int check_state(struct vcpu *v, struct refusal *why, u32 groups, const struct vcpu_state *s)
{
	struct cpu *cpu = &v->cpu;

	if ((groups & ST_SREGS) && check_sregs(cpu, why, s))
		return -EINVAL;
	if ((groups & ST_XSAVE) && check_xsave(cpu, why, s))
		return -EINVAL;
	if ((groups & ST_XCR) && valid_xcr0(cpu, why, s->xcr0, BY_VMM))
		return -EINVAL;
	if ((groups & ST_DEBUG) && check_debug(why, s))
		return -EINVAL;
	if ((groups & ST_EVENT) && valid_exception(why, &s->events))
		return -EINVAL;
	if ((groups & ST_SMI) && check_smi(v, why, s))
		return -EINVAL;
	if ((groups & ST_MP) && s->mp_state > MP_SIPI_RECEIVED)
		return refuse(why, -EINVAL, "mp_state: there is no state %lu", (u64)s->mp_state);
	return 0;
}

const struct refusal *vcpu_refusal(const struct vcpu *v)
{
	return &v->cpu.refusal;
}

/* ---- writing ---- */

/* OPT_INTERCEPTS: has the caller done the instruction that left in front? */
static bool has_done(const struct cpu *cpu, u64 rip)
{
	return cpu_left_in_front(cpu) && cpu->exit_insn.len && rip == cpu->rip + cpu->exit_insn.len;
}

/*
 * Whoever loads new code sends the processor there. The VMM of a partition sets registers at every exit, and then it goes on
 * where it was.
 */
static bool may_have_loaded(const struct cpu *cpu, u64 rip, bool done)
{
	if (!machine_intercepts(cpu->machine))
		return true;
	return rip != cpu->rip && !done;
}

static void go_to(struct cpu *cpu, u64 rip)
{
	bool done = has_done(cpu, rip);

	if (may_have_loaded(cpu, rip, done))
		mmu_recheck_code(cpu);
	if (done)
		cpu->shadow = 0;
	if (rip != cpu->rip) { /* the instruction that waited for an answer is gone */
		cpu->exit.reason = EXIT_NONE;
		answers_drop(cpu);
		cpu->answers.io_count = 0;
		cpu->debug_pending = 0;
	}
	cpu->rip = cpu->next_rip = rip;
	cpu->events.exception.pending = false;
}

/* What the mode depends on (cpu_update_mode()). */
#define FL_MODE (FL_VM | FL_AC | FL_TF | FL_RF)

static void set_regs(struct cpu *cpu, const struct vcpu_state *s)
{
	go_to(cpu, s->rip);
	memcpy(cpu->gpr, s->gpr, sizeof(cpu->gpr));
	cpu->rflags = s->rflags | FL_FIXED;
}

static void set_sregs(struct vcpu *v, const struct vcpu_state *s)
{
	struct cpu *cpu = &v->cpu;

	memcpy(cpu->seg, s->seg, sizeof(cpu->seg));
	cpu->gdt = s->gdt;
	cpu->idt = s->idt;
	cpu->cr0 = s->cr0 | CR0_ET;
	cpu->cr2 = s->cr2;
	cpu->cr3 = s->cr3 & ~CR3_NOFLUSH;
	cpu->cr4 = s->cr4;
	cpu->efer = s->efer;
	if (valid_cr8(s->cr8)) /* Linux takes the rest */
		lapic_set_cr8(v, s->cr8);
}

/* The image keeps initial values for what the caller says is absent; handlers read it as it is. */
static void set_xsave(struct cpu *cpu, const struct vcpu_state *s)
{
	struct fpu_image *image = fpu_image(cpu);
	u32 mask = image->mxcsr_mask;

	memcpy(cpu->xsave_area, s->xsave, xsave_size(&cpu->xstate, cpu->xstate.features));
	image->mxcsr_mask = mask;
	fpu_clear_absent(cpu);
	if (!(image->xstate_bv & (XSTATE_SSE | XSTATE_AVX)))
		image->mxcsr = MXCSR_RESET;
}

static void set_events(struct vcpu *v, const struct vcpu_state *s)
{
	struct cpu *cpu = &v->cpu;

	cpu->events = s->events;
	cpu->events_own = cpu->events_resume = false;
	if (!v->lapic) /* it is among them */
		v->user_irq = -1;
	cpu->shadow = s->events.shadow;
	cpu->nmi_masked = s->events.nmi.masked;
	atomic_store(&v->pending_nmi, MIN(s->events.nmi.pending, 2u));
	atomic_store(&v->sipi_vector, (u8)s->events.sipi_vector);
}

static void set_smi(struct vcpu *v, const struct vcpu_state *s)
{
	struct cpu *cpu = &v->cpu;

	if (s->events.smi.active != cpu_in_smm(cpu)) {
		cpu_set_smm(cpu, s->events.smi.active);
		cpu_request(cpu, REQ_FLUSH);
	}
	cpu->smm_inside_nmi = s->events.smi.active && s->events.smi.inside_nmi;
	atomic_store(&v->pending_smi, s->events.smi.pending);
	if (v->lapic)
		atomic_store(&v->pending_init, s->events.smi.latched_init);
}

/* SIPI_RECEIVED is a start-up interrupt to take now: the vcpu runs at vector:0000 (SDM 3:8.4.4). */
static void set_mp(struct vcpu *v, const struct vcpu_state *s)
{
	cpu_request(&v->cpu, REQ_TAP); /* a birth may wait for it */
	if (s->mp_state != MP_SIPI_RECEIVED) {
		atomic_store(&v->mp_state, s->mp_state);
		return;
	}
	segment_set_real(&v->cpu.seg[SEG_CS], (u16)atomic_load(&v->sipi_vector) << 8);
	v->cpu.rip = v->cpu.next_rip = 0;
	atomic_store(&v->mp_state, MP_RUNNABLE);
}

int vcpu_set(struct vcpu *v, u32 groups, const struct vcpu_state *s)
{
	struct cpu *cpu = &v->cpu;
	u64 flags = cpu->rflags;

	if (check_state(v, refusal_begin(v), groups, s))
		return -EINVAL;
	if ((groups & ST_SREGS) && lapic_set_base(v, s->apic_base))
		return -EINVAL;
	if (groups & ST_REGS)
		set_regs(cpu, s);
	if (groups & ST_SREGS)
		set_sregs(v, s);
	if (groups & ST_XSAVE)
		set_xsave(cpu, s);
	if (groups & ST_XCR)
		cpu->xcr0 = s->xcr0;
	if (groups & ST_DEBUG)
		memcpy(cpu->dr, s->dr, sizeof(cpu->dr));
	if (groups & ST_EVENT)
		set_events(v, s);
	if (groups & ST_SMI)
		set_smi(v, s);
	if (groups & ST_MP)
		set_mp(v, s);
	if (groups & ST_SREGS)
		cpu_request(cpu, REQ_FLUSH); /* inside: slots may change while we are outside */
	if (groups != ST_REGS || ((cpu->rflags ^ flags) & FL_MODE))
		cpu_update_mode(cpu);
	/* The loop looks at what may be injected whenever it begins. */
	if (groups != ST_REGS || !machine_intercepts(v->machine))
		vcpu_post_event(v);
	return 0;
}

void vcpu_set_rip(struct vcpu *v, u64 rip)
{
	refusal_begin(v);
	go_to(&v->cpu, rip);
	if (!machine_intercepts(v->machine))
		vcpu_post_event(v);
}

/* ---- MSRs ---- */

int vcpu_get_msr(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	struct refusal *why = refusal_begin(v);
	u64 value;
	int r = msr_get(&v->cpu, index, &value, host);

	if (r == MSR_IS_OUTER)
		r = outer_msr_get(v, index, &value, host);
	if (!r)
		*ret = value;
	else if (!why->why)
		refuse(why, r, "there is no such MSR, or CPUID does not offer it");
	return r;
}

/* Where the MSR's own rule has said nothing. */
static int msr_refused(struct refusal *why, int error, u64 value)
{
	if (why->why)
		return error;
	if (error == -ENOENT)
		return refuse(why, error, "there is no such MSR");
	return refuse(why, error, "0x%lx is not a valid value for this MSR", value);
}

int vcpu_set_msr(struct vcpu *v, u32 index, u64 value, bool host)
{
	struct refusal *why = refusal_begin(v);
	int r = msr_set(&v->cpu, index, value, host);

	if (r == MSR_IS_OUTER)
		r = outer_msr_set(v, index, value, host);
	return likely(!r) ? 0 : msr_refused(why, r, value);
}

/* ---- debugging ---- */

int vcpu_set_debug(struct vcpu *v, u32 flags, const u64 dr[8])
{
	struct cpu *cpu = &v->cpu;

	cpu->debug_flags = flags;
	cpu->debug_step = flags & DBG_SINGLESTEP;
	if (dr && (flags & DBG_HW_BP))
		memcpy(cpu->debug_dr, dr, sizeof(cpu->debug_dr));
	else
		memset(cpu->debug_dr, 0, sizeof(cpu->debug_dr));
	cpu_update_mode(cpu);
	return 0;
}

int vcpu_inject_exception(struct vcpu *v, u8 vector)
{
	struct vcpu_events *e = &v->cpu.events;

	if (e->exception.pending || e->exception.injected)
		return refuse(&v->cpu.refusal, -EBUSY, "exception %lu is already pending",
			(u64)e->exception.vector);
	memset(&e->exception, 0, sizeof(e->exception));
	e->exception.pending = true;
	e->exception.vector = vector;
	vcpu_post_event(v);
	return 0;
}
