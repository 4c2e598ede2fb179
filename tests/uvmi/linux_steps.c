/* SPDX-License-Identifier: MIT */
/*
 * Single steps of a processor of Linux, with all that comes in between: system calls, interrupts, faults, idle. Where a step must
 * lead is computed from the instruction and the registers and memory before it; else it leads to a gate of the IDT, and the frame
 * there must say a place where the step could lead, or, for a fault, the instruction itself.
 */
#include <stdio.h>
#include <string.h>

#include "linux_tool.h"
#include "x86/insn.h"
#include "x86/regs.h"

#define STEPS      10000
#define STEPS_MOST 300000

/* Where the processor may be next. */
struct targets {
	u64 at[2];
	unsigned n;
};

static struct {
	unsigned vcpu;
	u64 enough; /* where the guest looks whether to go on */
	u64 steps, branches, indirect, system, interrupts, faults, repeats;
	u64 rip;
	struct targets next;
} w;

static u64 reg(const struct kvm_regs *r, unsigned number)
{
	const u64 by_number[] = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
		r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};

	return by_number[number];
}

static u64 load(struct tool *t, u64 at)
{
	u64 value;

	good(uvmi_read_gva(t->s, w.vcpu, at, &value, sizeof(value)),
		"memory that an instruction reads");
	return value;
}

static u64 segment_base(const struct uvmi_event *e, unsigned segment)
{
	return segment == SEG_FS ? e->sregs.fs.base : segment == SEG_GS ? e->sregs.gs.base : 0;
}

static u64 address(const struct uvmi_event *e, const struct insn *in)
{
	u64 at = (u64)in->disp + segment_base(e, in->seg);

	if (in->base == BASE_RIP)
		at += e->regs.rip + in->len;
	else if (in->base != REG_NONE)
		at += reg(&e->regs, in->base);
	if (in->index != REG_NONE)
		at += reg(&e->regs, in->index) * in->scale;
	return at;
}

static u64 indirect_target(struct tool *t, const struct uvmi_event *e, const struct insn *in)
{
	w.indirect++;
	if (in->desc->op == OP_RET)
		return load(t, e->regs.rsp);
	return in->is_mem ? load(t, address(e, in)) : reg(&e->regs, in->rm);
}

static struct targets one(u64 at)
{
	return (struct targets){.at = {at}, .n = 1};
}

static struct targets branch(struct tool *t, const struct uvmi_event *e, const struct insn *in)
{
	const u64 behind = e->regs.rip + in->len;

	w.branches++;
	if (insn_class(in) & OC_INDIRECT)
		return one(indirect_target(t, e, in));
	if (in->desc->op == OP_JMP_REL || in->desc->op == OP_CALL_REL)
		return one(behind + in->imm);
	return (struct targets){.at = {behind, behind + in->imm}, .n = 2};
}

static struct targets targets(struct tool *t, const struct uvmi_event *e, const struct insn *in)
{
	const u64 behind = e->regs.rip + in->len;

	if (insn_class(in) & OC_NEAR)
		return branch(t, e, in);
	if ((insn_class(in) & OC_STRING) && in->pfx & (PFX_REP | PFX_REPNE))
		return (struct targets){.at = {behind, e->regs.rip}, .n = 2};
	w.system +=
		in->desc->op == OP_SYSCALL || in->desc->op == OP_SYSRET || in->desc->op == OP_IRET;
	switch (in->desc->op) {
	case OP_SYSCALL: return one(e->msrs.lstar);
	case OP_SYSRET: return one(e->regs.rcx);
	case OP_IRET: return one(load(t, e->regs.rsp));
	default: return one(behind);
	}
}

static struct targets next_of(struct tool *t, const struct uvmi_event *e)
{
	const u64 left = PAGE_BYTES - e->regs.rip % PAGE_BYTES;
	u8 code[INSN_MAX];
	struct insn in;
	unsigned n = left < INSN_MAX ? (unsigned)left : INSN_MAX;

	if (!uvmi_read_gva(t->s, w.vcpu, e->regs.rip, code, INSN_MAX))
		n = INSN_MAX;
	else if (uvmi_read_gva(t->s, w.vcpu, e->regs.rip, code, n))
		return (struct targets){.n = 0}; /* its fetch faults */
	if (insn_decode(&in, code, n, e->mode) != INSN_OK)
		return (struct targets){.n = 0};
	return targets(t, e, &in);
}

static bool leads_to(const struct targets *next, u64 rip)
{
	for (unsigned i = 0; i < next->n; i++)
		if (next->at[i] == rip)
			return true;
	return false;
}

/* ---- interrupts and exceptions ---- */

static u64 gate(struct tool *t, const struct uvmi_event *e, unsigned vector)
{
	u64 g[2];

	good(uvmi_read_gva(t->s, w.vcpu, e->sregs.idt.base + 16 * vector, g, sizeof(g)), "the IDT");
	return (g[0] & 0xffff) | (g[0] >> 32 & 0xffff0000) | g[1] << 32;
}

static bool has_error(unsigned vector)
{
	return vector == X86_DF || (vector >= X86_TS && vector <= X86_PF) || vector == X86_AC;
}

/* Has a gate been gone through, from where the step could lead? */
static bool delivered(struct tool *t, const struct uvmi_event *e)
{
	for (unsigned v = 0; v < 256; v++) {
		u64 from;

		if (gate(t, e, v) != e->regs.rip)
			continue;
		from = load(t, e->regs.rsp + (has_error(v) ? 8 : 0));
		w.faults += v < 32;
		w.interrupts += v >= 32;
		return leads_to(&w.next, from) || (v < 32 && from == w.rip);
	}
	return false;
}

/* ---- events ---- */

static void check_step(struct tool *t, const struct uvmi_event *e)
{
	w.steps++;
	if (leads_to(&w.next, e->regs.rip)) {
		w.repeats += e->regs.rip == w.rip;
		return;
	}
	if (!delivered(t, e))
		wrong("step %llu leads from 0x%llx to 0x%llx; it could lead to %u places: 0x%llx, "
		      "0x%llx",
			(unsigned long long)w.steps, (unsigned long long)w.rip, e->regs.rip,
			w.next.n, (unsigned long long)w.next.at[0],
			(unsigned long long)w.next.at[1]);
}

static void end(struct tool *t, const struct uvmi_event *e)
{
	const u32 yes = 1;

	good(uvmi_control_singlestep(t->s, w.vcpu, 0), "CONTROL_SINGLESTEP");
	good(uvmi_write_physical(t->s, w.enough, &yes, sizeof(yes)), "WRITE_PHYSICAL");
	printf("steps %llu branches %llu indirect %llu system %llu interrupts %llu faults %llu "
	       "repeats %llu\n",
		(unsigned long long)w.steps, (unsigned long long)w.branches,
		(unsigned long long)w.indirect, (unsigned long long)w.system,
		(unsigned long long)w.interrupts, (unsigned long long)w.faults,
		(unsigned long long)w.repeats);
	let_go(t, e);
}

/* So many, and of each kind. */
static bool enough(void)
{
	if (w.steps > STEPS_MOST)
		wrong("%llu steps with %llu system calls and returns, and %llu interrupts",
			(unsigned long long)w.steps, (unsigned long long)w.system,
			(unsigned long long)w.interrupts);
	return w.steps > STEPS && w.system > 2 && w.interrupts;
}

static void event(struct tool *t, const struct uvmi_event *e)
{
	if (e->event != UVMI_EVENT_SINGLESTEP || e->vcpu != w.vcpu || e->u.singlestep.failed)
		wrong("event %s of vcpu %u", uvmi_event_name(e->event), e->vcpu);
	check_step(t, e);
	if (enough()) {
		end(t, e);
		return;
	}
	w.rip = e->regs.rip;
	w.next = next_of(t, e);
	let_go(t, e);
}

static void begin(struct tool *t, const struct uvmi_event *e, u64 enough)
{
	memset(&w, 0, sizeof(w));
	w.vcpu = e->vcpu;
	w.rip = e->regs.rip;
	w.next = next_of(t, e);
	good(uvmi_translate_gva(t->s, e->vcpu, enough, &w.enough), "TRANSLATE_GVA");
	good(uvmi_control_events(t->s, w.vcpu, UVMI_EVENT_SINGLESTEP, 1), "CONTROL_EVENTS");
	good(uvmi_control_singlestep(t->s, w.vcpu, 1), "CONTROL_SINGLESTEP");
}

static bool mark(struct tool *t, const struct uvmi_event *e, enum linux_mark what, u64 value)
{
	if (what == MARK_STEPS)
		begin(t, e, value);
	else if (what != MARK_STEPS_END || w.steps <= STEPS)
		wrong("mark %u after %llu steps", what, (unsigned long long)w.steps);
	let_go(t, e);
	return what == MARK_STEPS_END;
}

const struct proof prove_steps = {.name = "steps", .mark = mark, .event = event};
