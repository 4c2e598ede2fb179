/* SPDX-License-Identifier: MIT */
/*
 * Far jumps, calls and returns: direct, through call gates, through task gates and TSSs, in all
 * modes. Each path reads and checks everything, pushes, and only then changes registers.
 * Sources: SDM 2 (CALL, JMP, RET), SDM 3:5.8.
 */
#include "engine/cpu/transfer.h"
#include "engine/cpu/stack.h"
#include "engine/cpu/task.h"
#include "engine/cpu/mode.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/mem/mem.h"

struct far_target {
	u16 selector;
	u64 rip;
	unsigned size; /* operand size: of what is pushed */
	bool call;
};

static u64 truncate(u64 v, unsigned size)
{
	return size == 8 ? v : size == 4 ? (u32)v : (u16)v;
}

/* New cs at the present or a new privilege level; ss has been set by the caller if that changed. */
static void commit_code(struct cpu *cpu, const struct segment *cs, u64 rip)
{
	cpu->seg[SEG_CS] = *cs;
	cpu->next_rip = rip;
	cpu_update_mode(cpu);
}

/* ---- real and virtual-8086 mode ---- */

static int far_real(struct cpu *cpu, const struct far_target *t)
{
	u64 v[2] = {cpu->seg[SEG_CS].selector, cpu->next_rip};
	struct stack s;
	int r;

	if (t->rip > cpu->seg[SEG_CS].limit)
		return cpu_gp0(cpu);
	if (t->call) {
		stack_begin(cpu, &s);
		r = stack_push_all(cpu, &s, v, 2, t->size);
		if (r)
			return r;
		stack_commit(cpu, &s);
	}
	segment_set_real(&cpu->seg[SEG_CS], t->selector);
	cpu->next_rip = t->rip;
	cpu_update_mode(cpu);
	return CPU_OK;
}

/* ---- code segments at the same level ---- */

static int check_direct_code(struct cpu *cpu, u16 selector, u64 desc)
{
	u32 err = SEL_ERR(selector);
	unsigned dpl = DESC_DPL(desc);

	if (reserved_code_size(cpu, desc))
		return cpu_raise_err(cpu, X86_GP, err);
	if (desc_is_conforming(desc) ? dpl > cpu->cpl
				     : SEL_RPL(selector) > cpu->cpl || dpl != cpu->cpl)
		return cpu_raise_err(cpu, X86_GP, err);
	if (!(desc & DESC_P))
		return cpu_raise_err(cpu, X86_NP, err);
	return CPU_OK;
}

/* Enter cs:rip without a change of privilege; the selector's RPL becomes CPL. */
static int enter_same_level(struct cpu *cpu, const struct far_target *t, u64 desc[2])
{
	u64 v[2] = {cpu->seg[SEG_CS].selector, cpu->next_rip};
	struct segment cs;
	struct stack s;
	int r;

	segment_from_descriptor(&cs, (u16)((t->selector & ~3) | cpu->cpl), desc);
	if (!code_allows_rip(cpu, &cs, t->rip))
		return cpu_gp0(cpu);
	r = descriptor_set(cpu, t->selector, &desc[0], 1);
	if (r)
		return r;
	cs.attr |= DESC_ACCESSED >> 40;
	if (t->call) {
		stack_begin(cpu, &s);
		r = stack_push_all(cpu, &s, v, 2, t->size);
		if (r)
			return r;
		stack_commit(cpu, &s);
	}
	commit_code(cpu, &cs, t->rip);
	return CPU_OK;
}

/* ---- call gates ---- */

/* Parameters of a legacy gate are copied from the caller's stack in the order they have there. */
static int copy_parameters(struct cpu *cpu, struct stack *inner, unsigned count, unsigned size)
{
	struct stack outer;
	u64 v[31];

	stack_begin(cpu, &outer);
	for (unsigned i = count; i > 0; i--) {
		int r = stack_pop(cpu, &outer, &v[i - 1], size);
		if (r)
			return r;
	}
	return stack_push_all(cpu, inner, v, count, size);
}

static int push_gate_frame(struct cpu *cpu, struct stack *s, unsigned count, unsigned size)
{
	u64 old_stack[2] = {cpu->seg[SEG_SS].selector, cpu->gpr[RSP]};
	u64 old_code[2] = {cpu->seg[SEG_CS].selector, cpu->next_rip};
	int r = stack_push_all(cpu, s, old_stack, 2, size);

	if (!r)
		r = copy_parameters(cpu, s, count, size);
	if (!r)
		r = stack_push_all(cpu, s, old_code, 2, size);
	return r;
}

/* The stack of the inner level: ss from the TSS, or null in IA-32e mode. */
static int inner_stack(struct cpu *cpu, unsigned cpl, struct segment *ss, struct stack *s)
{
	if (!cpu_long_mode(cpu))
		return tss_stack_legacy(cpu, cpl, ss, s);
	segment_set_null(ss, (u16)cpl, cpl);
	*s = (struct stack){.ss = ss, .width = 8, .acc = ACC_SYSTEM};
	return tss_stack_long(cpu, TSS64_RSP(cpl), &s->sp);
}

static int call_inner_level(struct cpu *cpu, u64 gate, const struct far_target *t, u64 desc[2])
{
	unsigned cpl = DESC_DPL(desc[0]);
	unsigned count = cpu_long_mode(cpu) ? 0 : (unsigned)(gate >> 32) & 31;
	struct segment cs, ss;
	struct stack s;
	int r;

	segment_from_descriptor(&cs, (u16)((t->selector & ~3) | cpl), desc);
	r = inner_stack(cpu, cpl, &ss, &s);
	if (r)
		return r;
	if (!code_allows_rip(cpu, &cs, t->rip))
		return cpu_gp0(cpu);
	r = descriptor_set(cpu, t->selector, &desc[0], 1);
	if (!r)
		r = push_gate_frame(cpu, &s, count, t->size);
	if (r)
		return r;
	cs.attr |= DESC_ACCESSED >> 40;
	cpu->seg[SEG_SS] = ss;
	stack_commit(cpu, &s);
	commit_code(cpu, &cs, t->rip);
	return CPU_OK;
}

static int check_gate(struct cpu *cpu, u16 selector, u64 gate)
{
	unsigned dpl = DESC_DPL(gate);

	if (dpl < cpu->cpl || dpl < SEL_RPL(selector))
		return cpu_raise_err(cpu, X86_GP, SEL_ERR(selector));
	if (!(gate & DESC_P))
		return cpu_raise_err(cpu, X86_NP, SEL_ERR(selector));
	return CPU_OK;
}

static int far_call_gate(struct cpu *cpu, const struct far_target *from, const u64 gate[2])
{
	bool wide = DESC_TYPE(gate[0]) == SYS_CALL32;
	struct far_target t = {.selector = (u16)(gate[0] >> 16), .call = from->call};
	u64 desc[2];
	int r;

	t.size = cpu_long_mode(cpu) ? 8 : wide ? 4 : 2;
	t.rip = gate[0] & 0xffff;
	if (wide)
		t.rip |= gate[0] >> 32 & 0xffff0000;
	if (cpu_long_mode(cpu))
		t.rip |= gate[1] << 32;
	r = check_gate(cpu, from->selector, gate[0]);
	if (!r)
		r = gate_code_read(cpu, t.selector, desc);
	if (r)
		return r;
	if (gate_new_cpl(cpu, desc[0]) == cpu->cpl)
		return enter_same_level(cpu, &t, desc);
	/* A jump cannot change the level (SDM 3:5.8.4 table 5-1). */
	if (!t.call)
		return cpu_raise_err(cpu, X86_GP, SEL_ERR(t.selector));
	return call_inner_level(cpu, gate[0], &t, desc);
}

/* ---- system descriptors ---- */

static int far_task(struct cpu *cpu, const struct far_target *t, u64 desc)
{
	u16 selector = t->selector;
	int r = check_gate(cpu, selector, desc); /* a TSS descriptor has the same rules */

	if (r)
		return r;
	if (DESC_TYPE(desc) == SYS_TASK_GATE)
		selector = (u16)(desc >> 16);
	return task_switch(cpu, selector, t->call ? TASK_CALL : TASK_JMP, false, 0);
}

static int far_system(struct cpu *cpu, const struct far_target *t, const u64 desc[2])
{
	unsigned type = DESC_TYPE(desc[0]);
	bool lm = cpu_long_mode(cpu);

	if (type == SYS_CALL32 || (type == SYS_CALL16 && !lm))
		return far_call_gate(cpu, t, desc);
	if (!lm && (type == SYS_TASK_GATE || type == SYS_TSS16 || type == SYS_TSS32))
		return far_task(cpu, t, desc[0]);
	return cpu_raise_err(cpu, X86_GP, SEL_ERR(t->selector));
}

static int far_transfer(struct cpu *cpu, const struct far_target *t)
{
	u64 desc[2];
	int r;

	if (cpu_real_or_v86(cpu))
		return far_real(cpu, t);
	if (SEL_NULL(t->selector))
		return cpu_gp0(cpu);
	r = descriptor_read(cpu, t->selector, X86_GP, desc);
	if (r)
		return r;
	if (!(desc[0] & DESC_S))
		return far_system(cpu, t, desc);
	if (!desc_is_code(desc[0]))
		return cpu_raise_err(cpu, X86_GP, SEL_ERR(t->selector));
	r = check_direct_code(cpu, t->selector, desc[0]);
	return r ? r : enter_same_level(cpu, t, desc);
}

/* ---- instructions ---- */

static int far_imm(struct cpu *cpu, const struct insn *in, bool call)
{
	struct far_target t = {.selector = in->imm2,
		.rip = truncate(in->imm, in->op_size),
		.size = in->op_size,
		.call = call};

	return far_transfer(cpu, &t);
}

static int far_mem(struct cpu *cpu, const struct insn *in, bool call)
{
	struct far_target t = {.size = in->op_size, .call = call};
	u8 pointer[10] = {0};
	u64 lin;
	int r;

	r = operand_aligned(cpu, in, in->op_size + 2, in->op_size, ACC_READ, &lin);
	if (!r)
		r = mem_read(cpu, lin, pointer, in->op_size + 2, ACC_READ);
	if (r)
		return r;
	__builtin_memcpy(&t.rip, pointer, 8);
	t.rip = truncate(t.rip, in->op_size);
	__builtin_memcpy(&t.selector, pointer + in->op_size, 2);
	return far_transfer(cpu, &t);
}

int op_jmp_far_imm(struct cpu *cpu, const struct insn *in)
{
	return far_imm(cpu, in, false);
}

int op_jmp_far_m(struct cpu *cpu, const struct insn *in)
{
	return far_mem(cpu, in, false);
}

int op_call_far_imm(struct cpu *cpu, const struct insn *in)
{
	return far_imm(cpu, in, true);
}

int op_call_far_m(struct cpu *cpu, const struct insn *in)
{
	return far_mem(cpu, in, true);
}

/* ---- far return ---- */

static int ret_far_real(struct cpu *cpu, struct stack *s, u16 selector, u64 rip, u64 extra)
{
	if (rip > cpu->seg[SEG_CS].limit)
		return cpu_gp0(cpu);
	s->sp = truncate(s->sp + extra, s->width);
	stack_commit(cpu, s);
	segment_set_real(&cpu->seg[SEG_CS], selector);
	cpu->next_rip = rip;
	cpu_update_mode(cpu);
	return CPU_OK;
}

int op_ret_far(struct cpu *cpu, const struct insn *in)
{
	u64 rip, selector, outer_sp, outer_ss, extra = in->imm_len ? (u16)in->imm : 0;
	unsigned size = in->op_size;
	struct segment cs, ss;
	struct stack s;
	int r;

	stack_begin(cpu, &s);
	r = stack_pop(cpu, &s, &rip, size);
	if (!r)
		r = stack_pop(cpu, &s, &selector, size);
	if (r)
		return r;
	selector = (u16)selector;
	if (cpu_real_or_v86(cpu))
		return ret_far_real(cpu, &s, (u16)selector, rip, extra);
	r = return_code_prepare(cpu, (u16)selector, rip, &cs);
	if (r)
		return r;
	s.sp = truncate(s.sp + extra, s.width);
	if (SEL_RPL(selector) == cpu->cpl) {
		stack_commit(cpu, &s);
		commit_code(cpu, &cs, rip);
		return CPU_OK;
	}

	r = stack_pop(cpu, &s, &outer_sp, size);
	if (!r)
		r = stack_pop(cpu, &s, &outer_ss, size);
	if (!r)
		r = return_stack_prepare(cpu, &cs, (u16)outer_ss, &ss);
	if (r)
		return r;
	commit_code(cpu, &cs, rip);
	return_outer_commit(cpu, &ss, outer_sp + extra);
	return CPU_OK;
}
