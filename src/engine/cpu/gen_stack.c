/* SPDX-License-Identifier: MIT */
/*
 * push, pop, leave. The stack pointer (host r11) moves last, so a fault leaves it as it was (SDM 2: PUSH,
 * POP). Only the full width of the mode: other operand sizes go through step().
 */
#include "engine/cpu/gen.h"
#include "engine/cpu/layout.h"
#include "engine/cpu/rewrite.h"

static unsigned width(const struct gen *g)
{
	return g->long_mode ? 8 : 4;
}

static bool full_width(const struct gen *g, const struct insn *in)
{
	return in->op_size == width(g) && (g->long_mode || (g->t.key & BK_STACK32));
}

/* REX.W in long mode only; op of memory [r9 + r10 + disp] with host register reg */
static void gen_access(struct gen *g, u8 op, unsigned reg, s32 disp)
{
	emit8(&g->e, 0x40 | (g->long_mode ? 8 : 0) | (reg >= 8 ? 4 : 0) | 2 | 1);
	emit8(&g->e, op);
	emit_modrm_mem(&g->e, reg, H_R9, H_R10, 1, disp);
}

static void gen_move_sp(struct gen *g, s32 by)
{
	emit_lea(&g->e, g->long_mode, H_R11, H_R11, REG_NONE, 1, by);
}

static void gen_push_check(struct gen *g, s32 *disp)
{
	gen_stack_operand(g, -(s32)width(g), TLB_WRITE, width(g), disp);
}

/* [r9 + r10 + disp] = r10 loaded by the caller's next instruction; the address moves to r9. */
static void gen_fold_address(struct gen *g, s32 disp)
{
	emit_lea(&g->e, true, H_R9, H_R9, H_R10, 1, disp);
}

/* [r9] = r10 */
static void gen_store_r10(struct gen *g)
{
	emit8(&g->e, g->long_mode ? 0x4d : 0x45);
	emit8(&g->e, 0x89);
	emit_modrm_mem(&g->e, H_R10, H_R9, REG_NONE, 1, 0);
}

/* [r9 + r10 + disp] = guest register; afterwards the address may be gone. */
static void gen_store_reg(struct gen *g, unsigned reg, s32 disp)
{
	if (!reg_displaced(reg)) {
		gen_access(g, 0x89, reg == RSP ? H_R11 : reg, disp);
		return;
	}
	gen_fold_address(g, disp);
	emit_load_frame(&g->e, H_R10, FRAME_GPR(reg));
	gen_store_r10(g);
}

/* [r9 + r10 + disp] = sign-extended imm32 */
static void gen_store_imm(struct gen *g, s32 imm, s32 disp)
{
	emit8(&g->e, 0x40 | (g->long_mode ? 8 : 0) | 2 | 1);
	emit8(&g->e, 0xc7);
	emit_modrm_mem(&g->e, 0, H_R9, H_R10, 1, disp);
	emit32(&g->e, (u32)imm);
}

void gen_push_const(struct gen *g, u64 value)
{
	s32 disp;

	gen_push_check(g, &disp);
	if (!g->long_mode || (s64)value == (s32)value) {
		gen_store_imm(g, (s32)value, disp);
	} else {
		gen_fold_address(g, disp);
		emit_mov_imm(&g->e, H_R10, value);
		gen_store_r10(g);
	}
	gen_move_sp(g, -(s32)width(g));
}

void gen_push_r9(struct gen *g)
{
	s32 disp;

	emit_store_frame(&g->e, H_R9, FRAME_CALL);
	gen_push_check(g, &disp);
	gen_fold_address(g, disp);
	emit_load_frame(&g->e, H_R10, FRAME_CALL);
	gen_store_r10(g);
	gen_move_sp(g, -8);
}

bool gen_push(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (!full_width(g, in))
		return false;
	if (in->desc->op == OP_PUSH_IMM) {
		gen_push_const(g, in->imm);
		return true;
	}
	gen_push_check(g, &disp);
	gen_store_reg(g, in->desc->op == OP_PUSH_REG ? in->reg : in->rm, disp);
	gen_move_sp(g, -(s32)width(g));
	return true;
}

bool gen_push_mem(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (!g->long_mode || !full_width(g, in) || !gen_operand(g, in, TLB_READ, 8, &disp))
		return false;
	gen_access(g, 0x8b, H_R9, disp);
	gen_push_r9(g);
	return true;
}

bool gen_pop(struct gen *g, const struct insn *in)
{
	unsigned reg = in->desc->op == OP_POP_REG ? in->reg : in->rm;
	s32 disp;

	if (!full_width(g, in))
		return false;
	gen_stack_operand(g, 0, TLB_READ, width(g), &disp);
	if (reg == RSP) {
		gen_access(g, 0x8b, H_R11, disp);
		return true;
	}
	if (reg_displaced(reg)) {
		gen_access(g, 0x8b, H_R10, disp);
		emit_store_frame(&g->e, H_R10, FRAME_GPR(reg));
	} else {
		gen_access(g, 0x8b, reg, disp);
	}
	gen_move_sp(g, (s32)width(g));
	return true;
}

bool gen_leave(struct gen *g, const struct insn *in)
{
	if (!full_width(g, in))
		return false;
	emit_lea(&g->e, g->long_mode, H_R10, RBP, REG_NONE, 1, 0);
	gen_check(g, TLB_READ, width(g));
	gen_access(g, 0x8b, H_R10, 0); /* the host may refuse it */
	emit_lea(&g->e, g->long_mode, H_R11, RBP, REG_NONE, 1, (s32)width(g));
	emit_mov_rr(&g->e, RBP, H_R10);
	return true;
}
