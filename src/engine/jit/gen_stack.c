/* SPDX-License-Identifier: MIT */
/*
 * push, pop, leave and their kin. The stack pointer (host r11) moves last, so a fault leaves it as it was (SDM 2:
 * PUSH, POP). Several words at once are checked as one range; what leaves its page or segment
 * goes through step(), and so do 16-bit operands in 64-bit code.
 */
#include "engine/jit/gen.h"
#include "engine/core/layout.h"
#include "engine/code/rewrite.h"

bool gen_stack_fits(const struct gen *g, unsigned size)
{
	return g->long_mode ? size == 8 : size == 2 || size == 4;
}

void gen_load(struct gen *g, unsigned reg, s32 disp, unsigned size)
{
	emit_mov_rm(&g->e, size, reg, at_sum(H_R9, H_R10, disp));
}

void gen_store(struct gen *g, unsigned reg, s32 disp, unsigned size)
{
	emit_mov_mr(&g->e, size, at_sum(H_R9, H_R10, disp), reg);
}

/* r11 = base + by, as much of it as is the stack pointer */
static void gen_set_sp(struct gen *g, unsigned base, s32 by)
{
	if (g->stack_width == 2)
		emit_lea16(&g->e, H_R11, base, REG_NONE, by);
	else
		emit_lea(&g->e, g->long_mode, H_R11, base, REG_NONE, 1, by);
}

void gen_move_sp(struct gen *g, s32 by)
{
	gen_set_sp(g, H_R11, by);
}

static void gen_push_check(struct gen *g, unsigned size, s32 *disp)
{
	gen_stack_operand(g, -(s32)size, TLB_WRITE, size, disp);
}

void gen_fold(struct gen *g, s32 disp)
{
	emit_lea(&g->e, true, H_R9, H_R9, H_R10, 1, disp);
}

void gen_store_r10(struct gen *g, s32 disp, unsigned size)
{
	emit_mov_mr(&g->e, size, at_reg(H_R9, disp), H_R10);
}

/* [r9 + r10 + disp] = guest register; afterwards the address may be gone. */
static void gen_store_reg(struct gen *g, unsigned reg, s32 disp, unsigned size)
{
	if (!reg_displaced(reg)) {
		gen_store(g, reg == RSP ? H_R11 : reg, disp, size);
		return;
	}
	gen_fold(g, disp);
	emit_load(&g->e, H_R10, FRAME_GPR(reg));
	gen_store_r10(g, 0, size);
}

void gen_push_const(struct gen *g, u64 value, unsigned size)
{
	s32 disp;

	gen_push_check(g, size, &disp);
	if (size != 8 || (s64)value == (s32)value) {
		emit_mov_mi(&g->e, size, at_sum(H_R9, H_R10, disp), (u32)value);
	} else {
		gen_fold(g, disp);
		emit_mov_ri(&g->e, H_R10, value);
		gen_store_r10(g, 0, size);
	}
	gen_move_sp(g, -(s32)size);
}

void gen_push_next_rip(struct gen *g, unsigned size)
{
	s32 disp;

	if (!g->t.movable) {
		gen_push_const(g, gen_next_rip(g), size);
		return;
	}
	gen_push_check(g, size, &disp);
	gen_fold(g, disp);
	gen_rip(g, H_R10, gen_next_rip(g), g->long_mode);
	gen_store_r10(g, 0, size);
	gen_move_sp(g, -(s32)size);
}

void gen_push_r9(struct gen *g, unsigned size)
{
	s32 disp;

	emit_store(&g->e, H_R9, FRAME_CALL);
	gen_push_check(g, size, &disp);
	gen_fold(g, disp);
	emit_load(&g->e, H_R10, FRAME_CALL);
	gen_store_r10(g, 0, size);
	gen_move_sp(g, -(s32)size);
}

/* A register; size is that of the operand. */
static bool gen_push(struct gen *g, unsigned reg, unsigned size)
{
	s32 disp;

	if (!gen_stack_fits(g, size))
		return false;
	gen_push_check(g, size, &disp);
	gen_store_reg(g, reg, disp, size);
	gen_move_sp(g, -(s32)size);
	return true;
}

bool gen_push_reg(struct gen *g, const struct insn *in)
{
	return gen_push(g, in->reg, in->op_size);
}

bool gen_push_imm(struct gen *g, const struct insn *in)
{
	if (!gen_stack_fits(g, in->op_size))
		return false;
	gen_push_const(g, in->imm, in->op_size);
	return true;
}

static bool gen_push_mem(struct gen *g, const struct insn *in)
{
	unsigned size = in->op_size;
	s32 disp;

	if (!gen_stack_fits(g, size) || !gen_operand(g, in, TLB_READ, size, &disp))
		return false;
	gen_load(g, H_R9, disp, size);
	gen_push_r9(g, size);
	return true;
}

bool gen_push_rm(struct gen *g, const struct insn *in)
{
	return in->is_mem ? gen_push_mem(g, in) : gen_push(g, in->rm, in->op_size);
}

void gen_load_selector(struct gen *g, unsigned seg)
{
	emit_load16(&g->e, H_R10, SELECTOR(seg));
}

bool gen_push_seg(struct gen *g, const struct insn *in)
{
	unsigned size = in->op_size, written = pushed_of_selector(g->cpu, size);
	s32 disp;

	if (!gen_stack_fits(g, size))
		return false;
	gen_stack_operand(g, -(s32)size, TLB_WRITE, written, &disp);
	gen_fold(g, disp);
	gen_load_selector(g, in->reg);
	gen_store_r10(g, 0, written);
	gen_move_sp(g, -(s32)size);
	return true;
}

/* A popped stack pointer wins; a part of it would go on top of a carry of the increment. */
static bool gen_pop_sp(struct gen *g, unsigned size)
{
	s32 disp;

	if (size < g->stack_width)
		return false;
	gen_stack_operand(g, 0, TLB_READ, size, &disp);
	gen_load(g, H_R11, disp, size);
	return true;
}

static bool gen_pop(struct gen *g, unsigned reg, unsigned size)
{
	s32 disp;

	if (!gen_stack_fits(g, size))
		return false;
	if (reg == RSP)
		return gen_pop_sp(g, size);
	gen_stack_operand(g, 0, TLB_READ, size, &disp);
	if (reg_displaced(reg)) {
		gen_load(g, H_R10, disp, size);
		emit_store(&g->e, H_R10, FRAME_GPR(reg));
	} else {
		gen_load(g, reg, disp, size);
	}
	gen_move_sp(g, (s32)size);
	return true;
}

bool gen_pop_reg(struct gen *g, const struct insn *in)
{
	return gen_pop(g, in->reg, in->op_size);
}

bool gen_pop_rm(struct gen *g, const struct insn *in)
{
	return !in->is_mem && gen_pop(g, in->rm, in->op_size);
}

bool gen_leave(struct gen *g, const struct insn *in)
{
	struct gen_offset at = {.seg = SEG_SS, .width = g->stack_width};
	unsigned size = in->op_size;

	if (!gen_stack_fits(g, size))
		return false;
	emit_lea(&g->e, g->long_mode, H_R10, RBP, REG_NONE, 1, 0);
	if (at.width == 2)
		gen_cut16(g, H_R10);
	if (!gen_linear(g, &at, TLB_READ, size))
		return false;
	gen_check(g, TLB_READ, size);
	gen_load(g, H_R10, 0, size); /* the host may refuse it */
	gen_set_sp(g, RBP, (s32)size);
	if (size == 2)
		emit_mov_rr16(&g->e, RBP, H_R10);
	else
		emit_mov_rr(&g->e, RBP, H_R10);
	return true;
}

/* ---- all registers: rdi is the lowest ---- */

bool gen_pusha(struct gen *g, const struct insn *in)
{
	unsigned size = in->op_size;
	s32 disp;

	gen_stack_operand(g, -8 * (s32)size, TLB_WRITE, 8 * size, &disp);
	for (unsigned reg = RAX; reg <= RDI; reg++)
		gen_store_reg(g, reg, disp + (s32)((RDI - reg) * size), size);
	gen_move_sp(g, -8 * (s32)size);
	return true;
}

bool gen_popa(struct gen *g, const struct insn *in)
{
	unsigned size = in->op_size;
	s32 disp;

	gen_stack_operand(g, 0, TLB_READ, 8 * size, &disp);
	for (unsigned reg = RAX; reg <= RDI; reg++)
		if (reg != RSP)
			gen_load(g, reg, disp + (s32)((RDI - reg) * size), size);
	gen_move_sp(g, 8 * (s32)size);
	return true;
}
