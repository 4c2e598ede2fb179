/* SPDX-License-Identifier: MIT */
/*
 * Which general registers may an instruction write? The instruction table does not say which of its operands are
 * destinations, so this knows the frequent opcodes that only read one, and answers yes for all others.
 */
#include "engine/code/rewrite.h"

/* Opcodes of map 0 whose modrm.rm, respectively modrm.reg, is only read. Everything else may write what it names. */
static bool reads_rm_only(const struct insn *in)
{
	if (in->map == 1 || in->enc != ENC_LEGACY)
		return in->map == 1 && ((in->opcode & 0xf0) == 0x40 ||
					       (in->opcode & 0xf6) == 0xb6 || in->opcode == 0xaf);
	if (in->map)
		return false;
	if (in->opcode < 0x40)
		return (in->opcode & 7) == 2 || (in->opcode & 7) == 3 ||
		       (in->opcode & 0x38) == 0x38;
	return in->opcode == 0x84 || in->opcode == 0x85 || in->opcode == 0x8a ||
	       in->opcode == 0x8b || in->opcode == 0x63;
}

static bool reads_reg_only(const struct insn *in)
{
	if (in->map || in->enc != ENC_LEGACY)
		return false;
	if (in->opcode < 0x40)
		return (in->opcode & 7) < 2 || (in->opcode & 0x38) == 0x38;
	return in->opcode == 0x84 || in->opcode == 0x85 || in->opcode == 0x88 || in->opcode == 0x89;
}

static bool is_gpr(u8 kind)
{
	return kind == RK_GPR || kind == RK_GPR8;
}

bool insn_may_write(const struct insn *in, unsigned reg)
{
	const struct insn_desc *d = in->desc;

	if (d->impl_regs & BIT(reg))
		return true;
	if (in->desc->op == OP_PUSH_REG)
		return false;
	if (is_gpr(d->vvvv) && in->vvvv == reg)
		return true;
	if (is_gpr(d->reg) && !(in->has_modrm && reads_reg_only(in)) &&
		(in->reg == reg || (d->reg == RK_GPR8 && (in->reg & 3) == reg)))
		return true;
	return in->has_modrm && !in->is_mem && is_gpr(d->rm) && !reads_rm_only(in) &&
	       (in->rm == reg || (d->rm == RK_GPR8 && (in->rm & 3) == reg));
}
