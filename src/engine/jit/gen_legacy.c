/* SPDX-License-Identifier: MIT */
/*
 * Instructions that 64-bit mode dropped or hardly uses, and that 16-bit code is full of: mov with a plain offset,
 * xlat, inc and dec in one byte.
 */
#include "engine/jit/gen.h"

/* A0-A3 */
bool gen_mov_moffs(struct gen *g, const struct insn *in)
{
	static const u8 ops[] = {0x8a, 0x8b, 0x88, 0x89};
	s32 disp;

	if (!gen_operand(g, in, in->opcode & 2 ? TLB_WRITE : TLB_READ, in->op_size, &disp))
		return false;
	gen_access(g, ops[in->opcode & 3], RAX, disp, in->op_size);
	return true;
}

bool gen_xlat(struct gen *g, const struct insn *in)
{
	struct gen_offset at = {.seg = in->seg, .width = in->addr_size};
	struct emit *e = &g->e;

	emit8(e, 0x44); /* movzx r10d, al */
	emit8(e, 0x0f);
	emit8(e, 0xb6);
	emit8(e, 0xd0);
	emit_lea(e, in->addr_size == 8, H_R10, RBX, H_R10, 1, 0);
	if (in->addr_size == 2)
		gen_cut16(g, H_R10);
	if (!gen_linear(g, &at, TLB_READ, 1))
		return false;
	gen_check(g, TLB_READ, 1);
	gen_access(g, 0x8a, RAX, 0, 1);
	return true;
}

/* 40-4F: REX prefixes on the host, which has FF /0 and /1 */
bool gen_inc_dec_short(struct gen *g, const struct insn *in)
{
	unsigned reg = in->reg == RSP ? H_R11 : in->reg;

	if (in->op_size == 2)
		emit8(&g->e, 0x66);
	if (reg >= 8)
		emit8(&g->e, 0x41);
	emit8(&g->e, 0xff);
	emit8(&g->e, 0xc0 | (in->opcode & 8) | (reg & 7));
	return true;
}
