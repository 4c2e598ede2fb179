/* SPDX-License-Identifier: MIT */
/*
 * bt, bts, btr, btc with a register bit offset and a memory operand: the offset reaches beyond the operand (SDM
 * 2: BT). So the address of the operand that has the bit is computed and checked; the host's instruction then gets the
 * whole offset, and the host address that leads from there to this operand. No flag changes but by that instruction.
 */
#include "engine/jit/gen.h"
#include "engine/core/layout.h"
#include "engine/code/rewrite.h"

/* r9 = number of the operand: the sign-extended bit offset shifted down to whole operands. */
static void gen_operand_index(struct gen *g, const struct insn *in)
{
	bool wide = in->op_size == 8;
	struct emit *e = &g->e;

	emit_mov_ri(e, H_R9, wide ? 6 : 5); /* log2 of the operand's bits */
	if (reg_displaced(in->reg))
		emit_sarx_rm(e, wide, H_R9, at_field(FRAME_GPR(in->reg)), H_R9);
	else
		emit_sarx(e, wide, H_R9, gen_source(g, in->reg, H_R9), H_R9);
	if (!wide)
		emit_movsxd(e, H_R9, H_R9);
	emit_store(e, H_R9, FRAME_CALL);
}

/* r9 = [r9 + r10] less as many operands as at FRAME_CALL */
static void gen_first_operand(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;

	gen_fold(g, 0);
	emit_load(e, H_R10, FRAME_CALL);
	emit_not(e, H_R10); /* -r10 - 1 */
	emit_lea(e, true, H_R9, H_R9, H_R10, in->op_size, in->op_size);
}

bool gen_bt_mem(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;

	if (!g->long_mode || in->op_size < 4 || in->addr_size != 8)
		return false;
	if (!gen_address(g, in, TLB_READ, in->op_size))
		return false;
	gen_operand_index(g, in);
	emit_lea(e, true, H_R10, H_R10, H_R9, in->op_size, 0);
	gen_check(g, in->desc->mem == MEM_READ ? TLB_READ : TLB_WRITE, in->op_size);
	gen_first_operand(g, in);
	emit_bt_mr(e, in->op_size == 8, in->pfx & PFX_LOCK, in->opcode, at_reg(H_R9, 0),
		gen_source(g, in->reg, H_R10));
	return true;
}
