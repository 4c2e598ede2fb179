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

	if (in->op_size == 8)
		emit_mov_rr(e, H_R9, reg);
	else
		emit_movsxd(e, H_R9, reg);
	emit_sar(e, true, H_R9, in->op_size == 8 ? 6 : 5); /* log2 of the operand's bits */
}

/* r10d = bit within the operand */
static void gen_bit(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;
	unsigned reg = gen_source(g, in->reg, H_R10);

	if (reg != H_R10)
		emit_mov_rr(e, H_R10, reg);
	emit_alu_ri8(e, false, ALU_AND, H_R10, (s8)(in->op_size * 8 - 1));
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
	emit_bt_mr(e, in->op_size == 8, in->pfx & PFX_LOCK, in->opcode, at_reg(H_R9, 0), H_R10);
	return true;
}
