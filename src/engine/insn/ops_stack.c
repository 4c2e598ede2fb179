/* SPDX-License-Identifier: MIT */
/*
 * Push, pop and frames. Order rules (SDM 2, PUSH and POP): push reads its source with the old rsp,
 * pop computes a memory destination with the new one, and a popped rsp wins over the increment.
 * rsp is committed after everything that can fault; multi-word pushes probe all words first.
 */

#include "engine/cpu/iopl.h"
#include "engine/core/cpu.h"
#include "engine/cpu/segment.h"
#include "engine/cpu/stack.h"
#include "engine/cpu/mode.h"
#include "engine/engine.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/mem/mem.h"
#include "x86/regs.h"

static int push_value(struct cpu *cpu, u64 value, unsigned size)
{
	struct stack s;

	stack_begin(cpu, &s);
	int r = stack_push(cpu, &s, value, size);
	if (!r)
		stack_commit(cpu, &s);
	return r;
}

int op_push_reg(struct cpu *cpu, const struct insn *in)
{
	return push_value(cpu, cpu->gpr[in->reg], in->op_size);
}

int op_push_imm(struct cpu *cpu, const struct insn *in)
{
	return push_value(cpu, in->imm, in->op_size);
}

int op_push_rm(struct cpu *cpu, const struct insn *in)
{
	u64 value;
	int r = rm_read(cpu, in, in->op_size, &value);

	return r ? r : push_value(cpu, value, in->op_size);
}

int op_push_seg(struct cpu *cpu, const struct insn *in)
{
	struct stack s;

	stack_begin(cpu, &s);
	int r = stack_push_part(cpu, &s, cpu->seg[in->reg].selector, in->op_size,
		pushed_of_selector(cpu, in->op_size));
	if (!r)
		stack_commit(cpu, &s);
	return r;
}

int op_pop_reg(struct cpu *cpu, const struct insn *in)
{
	struct stack s;
	u64 value;

	stack_begin(cpu, &s);
	int r = stack_pop(cpu, &s, &value, in->op_size);
	if (r)
		return r;
	stack_commit(cpu, &s);
	reg_write(cpu, in->reg, in->op_size, true, value);
	return CPU_OK;
}

int op_pop_rm(struct cpu *cpu, const struct insn *in)
{
	u64 old_rsp = cpu->gpr[RSP], value;
	struct stack s;

	stack_begin(cpu, &s);
	int r = stack_pop(cpu, &s, &value, in->op_size);
	if (r)
		return r;
	stack_commit(cpu, &s);
	r = rm_write(cpu, in, in->op_size, value);
	if (r)
		cpu->gpr[RSP] = old_rsp;
	return r;
}

int op_pop_seg(struct cpu *cpu, const struct insn *in)
{
	struct stack s;
	u64 value;

	stack_begin(cpu, &s);
	int r = stack_pop(cpu, &s, &value, in->op_size);
	if (!r)
		r = seg_load(cpu, in->reg, value);
	if (r)
		return r;
	stack_commit(cpu, &s);
	cpu->shadow = op_shadow(OP_POP_SEG, in->reg);
	return CPU_OK;
}

static u64 stack_truncate(const struct stack *s, u64 off)
{
	return s->width == 8 ? off : s->width == 4 ? (u32)off : (u16)off;
}

/* Raise what a write of size bytes at offset off of the stack would raise. */
static int probe_word(struct cpu *cpu, const struct stack *s, u64 off, unsigned size)
{
	u64 lin;
	int r = seg_aligned(cpu, SEG_SS, stack_truncate(s, off), size, size, ACC_WRITE, &lin);

	return r ? r : mem_probe_write(cpu, lin, size, ACC_WRITE);
}

static int probe_pushes(struct cpu *cpu, const struct stack *s, unsigned n, unsigned size)
{
	for (unsigned i = 1; i <= n; i++) {
		int r = probe_word(cpu, s, s->sp - i * size, size);
		if (r)
			return r;
	}
	return CPU_OK;
}

int op_pusha(struct cpu *cpu, const struct insn *in)
{
	struct stack s;

	stack_begin(cpu, &s);
	int r = probe_pushes(cpu, &s, 8, in->op_size);
	for (unsigned reg = RAX; !r && reg <= RDI; reg++)
		r = stack_push(cpu, &s, cpu->gpr[reg], in->op_size);
	if (!r)
		stack_commit(cpu, &s);
	return r;
}

int op_popa(struct cpu *cpu, const struct insn *in)
{
	u64 value[8];
	struct stack s;

	stack_begin(cpu, &s);
	for (int reg = RDI; reg >= RAX; reg--) {
		int r = stack_pop(cpu, &s, &value[reg], in->op_size);
		if (r)
			return r;
	}
	stack_commit(cpu, &s);
	for (unsigned reg = RAX; reg <= RDI; reg++) {
		if (reg != RSP) /* its slot is skipped */
			reg_write(cpu, reg, in->op_size, false, value[reg]);
	}
	return CPU_OK;
}

int op_pushf(struct cpu *cpu, const struct insn *in)
{
	u64 image = (cpu->rflags & ~(FL_VM | FL_RF)) | FL_FIXED;

	if (iopl_traps_v86(cpu)) {
		if (!vme_does(cpu, in->op_size))
			return cpu_gp0(cpu);
		image = vme_image(image);
	}
	return push_value(cpu, image, in->op_size);
}

/* Bits that popf may change (SDM 2: POPF, table 4-15); RF is cleared anyway. */
static u64 popf_mask(const struct cpu *cpu, unsigned op_size)
{
	u64 mask = FL_STATUS | FL_TF | FL_DF | FL_NT | FL_AC | FL_ID;

	if (cpu->cpl == 0)
		mask |= FL_IOPL;
	if (iopl_allows(cpu))
		mask |= FL_IF;
	return op_size == 2 ? (u16)mask : mask;
}

static void set_flags(struct cpu *cpu, u64 mask, u64 value)
{
	bool mode_changes = (cpu->rflags ^ value) & mask & (FL_AC | FL_TF);

	cpu->rflags = (((cpu->rflags & ~mask) | (value & mask)) & ~FL_RF) | FL_FIXED;
	if (mode_changes) /* AC selects the view of explicit accesses, TF single steps */
		cpu_update_mode(cpu);
}

static int popf_vme(struct cpu *cpu, u64 value)
{
	if (vme_refuses(cpu, value))
		return cpu_gp0(cpu);
	set_flags(cpu, (popf_mask(cpu, 2) & ~FL_IF) | FL_VIF, vme_loaded((u16)value));
	return CPU_OK;
}

int op_popf(struct cpu *cpu, const struct insn *in)
{
	bool vme = iopl_traps_v86(cpu);
	struct stack s;
	u64 value;

	if (vme && !vme_does(cpu, in->op_size))
		return cpu_gp0(cpu);
	stack_begin(cpu, &s);
	int r = stack_pop(cpu, &s, &value, in->op_size);
	if (!r && vme)
		r = popf_vme(cpu, value);
	else if (!r)
		set_flags(cpu, popf_mask(cpu, in->op_size), value);
	if (!r)
		stack_commit(cpu, &s);
	return r;
}

/* Read the outer frames' pointers, which lie below the old rbp; they are pushed anew. */
static int enter_read_display(struct cpu *cpu, const struct stack *s, unsigned size, unsigned from,
	unsigned n, u64 *display)
{
	for (unsigned i = 0; i < n; i++) {
		u64 lin, off = stack_truncate(s, cpu->gpr[RBP] - (from + i + 1) * size);
		int r = seg_aligned(cpu, SEG_SS, off, size, size, ACC_READ, &lin);
		if (!r)
			r = mem_read_u64(cpu, lin, &display[i], size, ACC_READ);
		if (r)
			return r;
	}
	return CPU_OK;
}

int op_enter(struct cpu *cpu, const struct insn *in)
{
	unsigned size = in->op_size, level = in->imm2 & 31, outer = level ? level - 1 : 0;
	u64 display[31];
	struct stack s;

	stack_begin(cpu, &s);
	u64 frame = stack_truncate(&s, s.sp - size);
	/* SDM 2, ENTER: FrameTemp is all of ESP, also where the stack is of 16 bits. */
	u64 pointer = frame | (s.width == 2 ? cpu->gpr[RSP] & 0xffff0000 : 0);
	u64 final = stack_truncate(&s, frame - (level ? level * size : 0) - (u16)in->imm);
	int r = probe_pushes(cpu, &s, 1 + level, size);
	if (!r)
		r = enter_read_display(cpu, &s, size, 0, outer, display);
	if (!r) /* SDM 2, ENTER: faults if a write at the final rsp would */
		r = probe_word(cpu, &s, final, size);
	if (!r)
		r = stack_push(cpu, &s, cpu->gpr[RBP], size);
	/* Read again: what has been pushed may lie over what is still to be copied. */
	for (unsigned i = 0; !r && i < outer; i++) {
		r = enter_read_display(cpu, &s, size, i, 1, display);
		if (!r)
			r = stack_push(cpu, &s, display[0], size);
	}
	if (!r && level)
		r = stack_push(cpu, &s, pointer, size);
	if (r)
		return r;
	s.sp = final;
	stack_commit(cpu, &s);
	reg_write(cpu, RBP, size, true, pointer);
	return CPU_OK;
}

int op_leave(struct cpu *cpu, const struct insn *in)
{
	struct stack s;
	u64 value;

	stack_begin(cpu, &s);
	s.sp = stack_truncate(&s, cpu->gpr[RBP]);
	int r = stack_pop(cpu, &s, &value, in->op_size);
	if (r)
		return r;
	stack_commit(cpu, &s);
	reg_write(cpu, RBP, in->op_size, true, value);
	return CPU_OK;
}
