/* SPDX-License-Identifier: MIT */
/*
 * bt, bts, btr, btc with a register bit offset and a memory operand: the offset reaches beyond the operand (SDM
 * 2: BT), so the address is computed first, and the instruction then runs on the offset's low bits.
 */
#include "engine/jit/gen.h"

/* r9 = sign-extended bit offset shifted down to whole operands. Needs dead flags. */
static void gen_operand_index(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;
	unsigned reg = gen_source(g, in->reg, H_R9);

	emit8(e, 0x48 | 4 | (reg >= 8 ? 1 : 0)); /* mov or movsxd r9, reg */
	emit8(e, in->op_size == 8 ? 0x8b : 0x63);
	emit8(e, 0xc0 | (H_R9 & 7) << 3 | (reg & 7));
	emit8(e, 0x49); /* sar r9, log2 of the operand's bits */
	emit8(e, 0xc1);
	emit8(e, 0xf9);
	emit8(e, in->op_size == 8 ? 6 : 5);
}

/* r10d = bit within the operand */
static void gen_bit(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;
	unsigned reg = gen_source(g, in->reg, H_R10);

	if (reg != H_R10)
		emit_mov_rr(e, H_R10, reg);
	emit8(e, 0x41); /* and r10d, imm8 */
	emit8(e, 0x83);
	emit8(e, 0xe2);
	emit8(e, in->op_size * 8 - 1);
}

bool gen_bt_mem(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;

	if (!g->long_mode || in->op_size < 4 || in->addr_size != 8 || g->flags_live[g->now])
		return false;
	if (!gen_address(g, in, TLB_READ, in->op_size))
		return false;
	gen_operand_index(g, in);
	emit_lea(e, true, H_R10, H_R10, H_R9, in->op_size, 0);
	gen_check(g, in->desc->mem == MEM_READ ? TLB_READ : TLB_WRITE, in->op_size);
	emit_lea(e, true, H_R9, H_R9, H_R10, 1, 0);
	gen_bit(g, in);
	if (in->pfx & PFX_LOCK)
		emit8(e, 0xf0);
	emit8(e, (in->op_size == 8 ? 0x48 : 0x40) | 4 | 1);
	emit8(e, 0x0f);
	emit8(e, in->opcode);
	emit_modrm_mem(e, H_R10, H_R9, REG_NONE, 1, 0);
	return true;
}
