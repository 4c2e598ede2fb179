/* SPDX-License-Identifier: MIT */
/*
 * Instructions that 64-bit mode dropped or hardly uses, and that 16-bit code is full of: mov with a plain offset,
 * xlat, inc and dec in one byte, mov of ah, ch, dh and bh.
 */
#include "engine/jit/gen.h"

/* A0-A3 */
bool gen_mov_moffs(struct gen *g, const struct insn *in)
{
	bool store = in->opcode & 2;
	s32 disp;

	if (!gen_operand(g, in, store ? TLB_WRITE : TLB_READ, in->op_size, &disp))
		return false;
	if (store)
		gen_store(g, RAX, disp, in->op_size);
	else
		gen_load(g, RAX, disp, in->op_size);
	return true;
}

bool gen_xlat(struct gen *g, const struct insn *in)
{
	struct gen_offset at = {.seg = in->seg, .width = in->addr_size};
	struct emit *e = &g->e;

	emit_movzx8(e, H_R10, RAX);
	emit_lea(e, in->addr_size == 8, H_R10, RBX, H_R10, 1, 0);
	if (in->addr_size == 2)
		gen_cut16(g, H_R10);
	if (!gen_linear(g, &at, TLB_READ, 1))
		return false;
	gen_check(g, TLB_READ, 1);
	gen_load(g, RAX, 0, 1);
	return true;
}

/* 40-4F: REX prefixes on the host, which has FF /0 and /1 */
bool gen_inc_dec_short(struct gen *g, const struct insn *in)
{
	unsigned reg = in->reg == RSP ? H_R11 : in->reg;

	emit_inc_dec(&g->e, in->op_size, in->opcode & 8, reg);
	return true;
}

/* ---- ah, ch, dh, bh and memory: there is no such register beside r9 and r10, which need REX ---- */

static bool is_high_byte(const struct insn *in)
{
	return in->desc->reg == RK_GPR8 && !(in->pfx & PFX_REX) && in->reg >= 4;
}

bool gen_is_high_mov(const struct insn *in)
{
	return in->is_mem && in->enc == ENC_LEGACY && in->map == 0 &&
	       (in->opcode == 0x88 || in->opcode == 0x8a) && is_high_byte(in);
}

bool gen_high_mov(struct gen *g, const struct insn *in)
{
	bool store = in->opcode == 0x88;
	unsigned reg = in->reg - 4u; /* whose second byte it is */
	struct emit *e = &g->e;
	s32 disp;

	if (!gen_operand(g, in, store ? TLB_WRITE : TLB_READ, 1, &disp))
		return false;
	gen_fold(g, disp);
	if (store) {
		emit_rorx(e, false, H_R10, reg, 8);
		gen_store_r10(g, 0, 1);
		return true;
	}
	emit_movzx_rm(e, 1, H_R10, at_reg(H_R9, 0)); /* the host may refuse it */
	emit_rorx(e, true, reg, reg, 8);
	emit_mov_rr8(e, reg, H_R10);
	emit_rorx(e, true, reg, reg, 56);
	return true;
}
