/* SPDX-License-Identifier: MIT */
/*
 * Exits that the engine answers itself: its interrupt controllers, timers, MSRs and hypercalls are reached here,
 * whether the guest waits for the answer (a read leaves its instruction, which is restarted and finds the answer in
 * cpu->answers) or not (writes to devices are posted, and performed once the instruction has completed). With
 * OPT_INTERCEPTS it always waits.
 */
#include <errno.h>

#include "engine/core/answer.h"
#include "engine/msr/policy.h"
#include "engine/pv/hyperv/hv.h"
#include "engine/core/stat.h"
#include "engine/vcpu/loop.h"
#include "engine/vcpu/vapic.h"
#include "engine/irq/lapic.h"
#include "engine/msr/msr.h"
#include "engine/pv/kvm/hypercall.h"

/* ---- answers to reads ---- */

static void push_answer(struct cpu *cpu, u8 reason, u64 addr, unsigned len, u64 value, bool error)
{
	struct answers *r = &cpu->answers;

	uv_assert(r->filled < ANSWERS_MAX);
	r->answer[r->filled].reason = reason;
	r->answer[r->filled].addr = addr;
	r->answer[r->filled].len = len;
	r->answer[r->filled].value = value;
	r->answer[r->filled].error = error;
	r->answer[r->filled].verdict = TAP_GO_ON;
	r->filled++;
}

static u64 low_bytes(const void *p, unsigned n)
{
	u64 v = 0;

	__builtin_memcpy(&v, p, MIN(n, 8u));
	return v;
}

/* ---- OUT, as user space sees it ---- */

/*
 * KVM on VMX and SVM leaves for user space with rip on the OUT, and goes past it when the vcpu runs again, if it is
 * still there (Linux 5.1 and later). VMMs count on both: they reset or move the vcpu from within such an exit. An OUT
 * to PORT_PAST is over when it leaves (KVM_X86_QUIRK_OUT_7E_INC_RIP, a BIOS that changes mode there); so is OUTS.
 */
#define PORT_PAST 0x7e

void vcpu_show_out(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;

	if (cpu->out.string ||
		(cpu->exit.io.port == PORT_PAST && machine_quirk(v->machine, QUIRK_OUT_7E_INC_RIP)))
		return;
	cpu->rip = cpu->next_rip = cpu->out.rip;
	cpu->out.linear = cpu_code_linear(cpu, cpu->out.rip);
	cpu->shadow = cpu->out.shadow;
	cpu->out.waits = true;
}

/* The trap of TF goes by the flags of now; a #DB that waits is among the events, where a snapshot finds it. */
static void out_trap(struct cpu *cpu)
{
	u64 dr6 = cpu->debug_pending & ~(u64)DR6_BS;

	if (cpu->debug_step || (cpu->rflags & FL_TF))
		dr6 |= DR6_BS;
	cpu->debug_pending = 0;
	if (likely(!dr6))
		return;
	if (cpu->debug_flags & (DBG_SINGLESTEP | DBG_HW_BP)) { /* the debugger's */
		cpu->debug_pending = dr6;
		return;
	}
	__builtin_memset(&cpu->events.exception, 0, sizeof(cpu->events.exception));
	cpu->events.exception.pending = true;
	cpu->events_own = true;
	cpu->events.exception.vector = X86_DB;
	cpu->events.exception.has_payload = true;
	cpu->events.exception.payload = dr6;
}

/* Whoever has sent the processor elsewhere has ended the OUT himself, and there is no trap after it. */
static void complete_out(struct cpu *cpu)
{
	cpu->out.waits = false;
	if (cpu_code_linear(cpu, cpu->rip) != cpu->out.linear) {
		cpu->debug_pending = 0;
		return;
	}
	cpu->rip = cpu->next_rip = cpu->out.next;
	cpu->shadow = 0;
	out_trap(cpu);
}

const struct exit_insn *vcpu_exit_insn(const struct vcpu *v)
{
	static const struct exit_insn none;

	return cpu_left_in_front(&v->cpu) ? &v->cpu.exit_insn : &none;
}

void vcpu_take_user_answer(struct cpu *cpu)
{
	if (cpu_left_in_front(cpu)) {
		answers_drop(cpu);
		cpu->exit.reason = EXIT_NONE;
	}
	vcpu_take_answer(cpu);
}

void vcpu_take_answer(struct cpu *cpu)
{
	const struct exit *x = &cpu->exit;

	if (cpu->out.waits)
		complete_out(cpu);
	switch (x->reason) {
	case EXIT_IO_IN:
		cpu->answers.io_count = x->io.count;
		push_answer(cpu, EXIT_IO_IN, x->io.port, x->io.size,
			low_bytes(cpu->io_data, x->io.size), false);
		break;
	case EXIT_MMIO_READ:
		push_answer(cpu, EXIT_MMIO_READ, x->mmio.gpa, x->mmio.len,
			low_bytes(x->mmio.data, x->mmio.len), false);
		break;
	case EXIT_MMIO_WRITE: /* the owner has done it; OPT_INTERCEPTS */
		if (machine_intercepts(cpu->machine))
			push_answer(cpu, EXIT_MMIO_WRITE, x->mmio.gpa, x->mmio.len, 0, false);
		break;
	case EXIT_RDMSR:
	case EXIT_WRMSR:
		push_answer(cpu, x->reason, x->msr.index, 8, x->msr.data, x->msr.error);
		break;
	case EXIT_HYPERCALL:
		push_answer(cpu, EXIT_HYPERCALL, x->hypercall.nr, 8, x->hypercall.ret, false);
		break;
	case EXIT_HYPERV:
		if (x->hyperv.kind == HYPERV_CALL)
			push_answer(cpu, EXIT_HYPERV, x->hyperv.arg[0], 8, x->hyperv.result,
				x->hyperv.undefined);
		else
			hv_exit_answered(cpu->vcpu, x);
		break;
	case EXIT_XEN: push_answer(cpu, EXIT_XEN, x->xen.nr, 8, x->xen.result, false); break;
	default: break;
	}
	cpu->exit.reason = EXIT_NONE;
}

/* ---- engine devices ---- */

static bool is_tpr(const struct vcpu *v, u64 gpa)
{
	return lapic_is_mapped(v->lapic) && gpa == (lapic_base(v->lapic) & PAGE_MASK) + 0x80;
}

/* rip: of the instruction. */
static bool device_mmio(struct vcpu *v, u64 gpa, unsigned len, void *data, bool write, u64 rip)
{
	if (write && ioevent_write(v->machine, false, gpa, len, data))
		return true;
	if (!v->lapic || !lapic_mmio(v, gpa, len, data, write))
		return irq_mmio(v->machine, gpa, len, data, write);
	if (unlikely(v->tpr.report) && is_tpr(v, gpa))
		tpr_accessed(v, rip, write);
	return true;
}

static bool device_pio(struct vcpu *v, struct exit *x, bool write)
{
	for (u32 i = 0; i < x->io.count; i++) {
		u8 *item = v->cpu.io_data + (size_t)i * x->io.size;

		if (write && ioevent_write(v->machine, true, x->io.port, x->io.size, item))
			continue;
		if (!irq_pio(v->machine, x->io.port, x->io.size, item, write))
			return false;
	}
	return true;
}

/* MSRs whose owner is outside of the cpu. Sets the answer; false: the VMM wants to see what is refused. */
static bool device_msr(struct vcpu *v, struct exit *x)
{
	u32 why;
	int r;

	lapic_timer_before_msr(v, x->msr.index);
	r = x->reason == EXIT_RDMSR ? outer_msr_get(v, x->msr.index, &x->msr.data, false)
				    : outer_msr_set(v, x->msr.index, x->msr.data, false);
	why = r == -ENOENT ? MSR_WHY_UNKNOWN : MSR_WHY_INVALID;
	x->msr.error = r != 0;
	if (!r || !msr_exit_wanted(&v->cpu, why))
		return true;
	x->msr.why = why;
	x->msr.error = false;
	return false;
}

/* What has come ends one. */
static void end_idle(struct vcpu *v)
{
	v->idles = false;
	if (v->lapic)
		atomic_store(&v->lapic->missed, false);
}

/* Nothing is answered before it wakes up. Who is called out meanwhile has not begun, and asks again. */
static bool msr_idles(struct vcpu *v, struct exit *x)
{
	if (x->reason != EXIT_RDMSR || likely(!hv_msr_idles(v, x->msr.index)))
		return false;
	if (idle_is_over(v)) {
		end_idle(v);
		return false;
	}
	v->idles = true;
	x->reason = EXIT_NONE;
	return true;
}

void vcpu_answer_idle(struct vcpu *v)
{
	end_idle(v);
	push_answer(&v->cpu, EXIT_RDMSR, HV_GUEST_IDLE, 8, 0, false);
}

/* ---- exits ---- */

static const u8 inside_stat[EXIT_COUNT] = {
	[EXIT_IO_IN] = STAT_IO_EXITS + 1,
	[EXIT_IO_OUT] = STAT_IO_EXITS + 1,
	[EXIT_HLT] = STAT_HALT_EXITS + 1,
	[EXIT_HYPERCALL] = STAT_HYPERCALLS + 1,
};

/* True if the exit has been dealt with. */
static bool handle_inside(struct vcpu *v)
{
	struct exit *x = &v->cpu.exit;

	stat_inc_exit(&v->cpu, inside_stat, x->reason);
	switch (x->reason) {
	case EXIT_MMIO_READ:
	case EXIT_MMIO_WRITE:
		return !x->mmio.walk && device_mmio(v, x->mmio.gpa, x->mmio.len, x->mmio.data,
						x->reason == EXIT_MMIO_WRITE, v->cpu.rip);
	case EXIT_IO_IN:
	case EXIT_IO_OUT:
		return !machine_intercepts(v->machine) &&
		       device_pio(v, x, x->reason == EXIT_IO_OUT);
	case EXIT_RDMSR:
	case EXIT_WRMSR: return x->msr.why == 0 && (msr_idles(v, x) || device_msr(v, x));
	case EXIT_HYPERCALL: return hypercall_inside(v, x);
	case EXIT_HYPERV: return hv_hypercall(v, x);
	case EXIT_TAP: return vcpu_tap_answer(v);
	case EXIT_HLT:
		if (!v->lapic && !(machine_option(v->machine, OPT_EXITS_OFF) & NO_EXIT_HLT))
			return false;
		atomic_store(&v->mp_state, MP_HALTED);
		return true;
	default: return false;
	}
}

bool vcpu_answer_inside(struct vcpu *v)
{
	if (!handle_inside(v))
		return false;
	vcpu_take_answer(&v->cpu);
	return true;
}

bool vcpu_post_writes(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;

	while (cpu->posted_next < cpu->posted_count) {
		struct posted_write *w = &cpu->posted[cpu->posted_next++];

		if (device_mmio(v, w->gpa, w->len, w->data, true, w->rip))
			continue;
		cpu_exit_begin(cpu, EXIT_MMIO_WRITE);
		cpu->exit.mmio.gpa = w->gpa;
		cpu->exit.mmio.len = w->len;
		__builtin_memcpy(cpu->exit.mmio.data, w->data, 8);
		cpu->exit.mmio.gva_valid = cpu->exit.mmio.rmw = cpu->exit.mmio.walk = false;
		cpu->exit.mmio.denied = false;
		return true;
	}
	cpu->posted_count = cpu->posted_next = 0;
	return false;
}
