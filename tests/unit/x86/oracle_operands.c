/* SPDX-License-Identifier: MIT */
/*
 * Comparison of operands: memory, immediates, and registers, explicit and implicit.
 */
#include "oracle.h"

#include "x86/regs.h"
#include "x86/insn.h"

static const ZydisDecodedOperand *by_encoding(const struct oracle_case *c, ZydisOperandEncoding e)
{
	for (unsigned i = 0; i < c->z.operand_count; i++) {
		if (c->op[i].encoding == e)
			return &c->op[i];
	}
	return NULL;
}

/* Number of a general register of any width within the sixteen, ah..bh as 4..7; -1 for others. */
static int gpr_number(ZydisRegister r)
{
	ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);

	if (ZydisRegisterGetClass(full) != ZYDIS_REGCLASS_GPR64)
		return -1;
	return ZydisRegisterGetId(full) +
	       (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH ? 4 : 0);
}

static unsigned reg_number(ZydisRegister r)
{
	int n = gpr_number(r);

	return n >= 0 ? n : ZydisRegisterGetId(r);
}

static unsigned address_number(ZydisRegister r)
{
	if (r == ZYDIS_REGISTER_NONE)
		return REG_NONE;
	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP || r == ZYDIS_REGISTER_IP)
		return BASE_RIP;
	return reg_number(r);
}

static u32 compare_action(const struct oracle_case *c, const ZydisDecodedOperand *m)
{
	bool rd = m->actions & ZYDIS_OPERAND_ACTION_MASK_READ;
	bool wr = m->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	u8 want = rd && wr ? MEM_RW : rd ? MEM_READ : wr ? MEM_WRITE : MEM_NONE;

	if (m->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
		want = MEM_ADDR;
	return want == c->in.desc->mem ? 0 : BIT(O_MEM_ACTION);
}

/* Zydis sign-extends an absolute address of less than 64 bits. */
static bool moffs_differs(const struct insn *in, s64 theirs)
{
	u64 mask = in->addr_size == 8 ? ~0ull : (1ull << (in->addr_size * 8)) - 1;

	return (u64)in->disp != (theirs & mask) || in->imm != (u64)in->disp;
}

static u32 compare_address(const struct oracle_case *c, const ZydisDecodedOperand *m)
{
	const struct insn *in = &c->in;
	u32 bad = 0;

	if (address_number(m->mem.base) != in->base)
		bad |= BIT(O_MEM_BASE);
	if (address_number(m->mem.index) != in->index ||
		(in->index != REG_NONE && m->mem.scale != in->scale))
		bad |= BIT(O_MEM_INDEX);
	if (c->in.desc->op == OP_MOV_MOFFS
			? moffs_differs(in, m->mem.disp.value)
			: (m->mem.disp.has_displacement ? m->mem.disp.value : 0) != in->disp)
		bad |= BIT(O_MEM_DISP);
	if (ZydisRegisterGetId(m->mem.segment) != in->seg && m->mem.type != ZYDIS_MEMOP_TYPE_AGEN)
		bad |= BIT(O_MEM_SEG);
	return bad;
}

static u32 compare_memory(const struct oracle_case *c)
{
	const ZydisDecodedOperand *m = by_encoding(c, ZYDIS_OPERAND_ENCODING_MODRM_RM);
	u32 bad;

	if (!m || m->type != ZYDIS_OPERAND_TYPE_MEMORY)
		m = by_encoding(c, ZYDIS_OPERAND_ENCODING_DISP16_32_64);
	if (!m || m->type != ZYDIS_OPERAND_TYPE_MEMORY)
		return c->in.is_mem ? BIT(O_MEM_PRESENT) : 0;
	if (!c->in.is_mem)
		return BIT(O_MEM_PRESENT);
	bad = compare_address(c, m) | compare_action(c, m);
	if (c->in.desc->msize != MS_STATE && m->mem.type != ZYDIS_MEMOP_TYPE_AGEN &&
		c->in.mem_size * 8 != m->size)
		bad |= BIT(O_MEM_SIZE);
	return bad;
}

static bool same_immediate(const struct insn *in, const ZydisDecodedOperandImm *imm, u64 ours)
{
	unsigned bits = in->op_size * 8;
	u64 mask = imm->is_relative || bits == 64 ? ~0ull : (1ull << bits) - 1;

	if (in->desc->imm == IMM_8 || in->desc->imm == IMM_ENTER || in->desc->imm == IMM_16)
		mask = in->desc->imm == IMM_8 ? 0xff : 0xffff;
	return (imm->value.u & mask) == (ours & mask) && !(ours & ~mask);
}

static u32 compare_immediate(const struct oracle_case *c)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < c->z.operand_count; i++) {
		const ZydisDecodedOperand *o = &c->op[i];

		if (o->visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
			continue;
		if (o->type == ZYDIS_OPERAND_TYPE_POINTER)
			return o->ptr.offset == c->in.imm && o->ptr.segment == c->in.imm2
				       ? 0
				       : BIT(O_IMM);
		if (o->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
			continue;
		if (!same_immediate(&c->in, &o->imm, seen++ ? c->in.imm2 : c->in.imm))
			return BIT(O_IMM);
	}
	return !seen != (c->in.desc->imm == IMM_NONE || c->in.desc->imm == IMM_MOFFS) ? BIT(O_IMM)
										      : 0;
}

static bool kind_matches(u8 kind, ZydisRegister r)
{
	switch (ZydisRegisterGetClass(r)) {
	case ZYDIS_REGCLASS_GPR8: return kind == RK_GPR8;
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64: return kind == RK_GPR;
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_YMM:
	case ZYDIS_REGCLASS_ZMM: return kind == RK_VEC;
	case ZYDIS_REGCLASS_MASK: return kind == RK_MASK;
	case ZYDIS_REGCLASS_MMX: return kind == RK_MMX;
	case ZYDIS_REGCLASS_X87: return kind == RK_X87;
	case ZYDIS_REGCLASS_SEGMENT: return kind == RK_SEG;
	case ZYDIS_REGCLASS_CONTROL: return kind == RK_CR;
	case ZYDIS_REGCLASS_DEBUG: return kind == RK_DR;
	default: return false;
	}
}

/* A register operand must be of our kind and number, and there must be one if and only if we say so. */
static bool same_register(const ZydisDecodedOperand *o, u8 kind, unsigned number)
{
	if (!o || o->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return kind == RK_NONE;
	return kind_matches(kind, o->reg.value) && reg_number(o->reg.value) == number;
}

static u32 compare_registers(const struct oracle_case *c)
{
	const struct insn *in = &c->in;
	const struct insn_desc *d = in->desc;
	const ZydisDecodedOperand *reg = by_encoding(c, ZYDIS_OPERAND_ENCODING_MODRM_REG);
	u32 bad = 0;

	if (!in->has_modrm)
		reg = by_encoding(c, ZYDIS_OPERAND_ENCODING_OPCODE);
	if ((in->has_modrm || d->reg != RK_SEG) && !same_register(reg, d->reg, in->reg))
		bad |= BIT(O_REG);
	if (in->has_modrm && !in->is_mem &&
		!same_register(by_encoding(c, ZYDIS_OPERAND_ENCODING_MODRM_RM), d->rm, in->rm))
		bad |= BIT(O_RM);
	if (!same_register(by_encoding(c, ZYDIS_OPERAND_ENCODING_NDSNDD), d->vvvv, in->vvvv))
		bad |= BIT(O_VVVV);
	return bad;
}

static void add_gpr(u32 *set, ZydisRegister r)
{
	int n = gpr_number(r);

	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		n -= 4;
	if (n >= 0 && n != RSP)
		*set |= BIT(n);
}

/* General registers that no field of the encoding names. */
static u32 compare_implicit(const struct oracle_case *c)
{
	u32 set = 0;

	for (unsigned i = 0; i < c->z.operand_count; i++) {
		const ZydisDecodedOperand *o = &c->op[i];

		if (o->encoding != ZYDIS_OPERAND_ENCODING_NONE)
			continue;
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER)
			add_gpr(&set, o->reg.value);
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY)
			add_gpr(&set, o->mem.base);
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY)
			add_gpr(&set, o->mem.index);
	}
	return set == c->in.desc->impl_regs ? 0 : BIT(O_IMPLICIT);
}

/* Widths of general registers say what an operand size is; stack and string operands do without. */
static u32 compare_sizes(const struct oracle_case *c)
{
	const struct insn_desc *d = c->in.desc;
	u32 bad = c->in.addr_size * 8 == c->z.address_width ? 0 : BIT(O_ADDR_SIZE);
	const ZydisDecodedOperand *o = by_encoding(c, ZYDIS_OPERAND_ENCODING_MODRM_REG);

	if (!o || d->reg != RK_GPR)
		o = by_encoding(c, ZYDIS_OPERAND_ENCODING_OPCODE);
	if (o && d->reg == RK_GPR && o->size != c->in.op_size * 8)
		bad |= BIT(O_OP_SIZE);
	o = by_encoding(c, ZYDIS_OPERAND_ENCODING_MODRM_RM);
	if (o && o->type == ZYDIS_OPERAND_TYPE_REGISTER && d->msize == MS_OP &&
		o->size != c->in.op_size * 8)
		bad |= BIT(O_OP_SIZE);
	if (!(d->attr & (IA_OP48 | IA_X87)) && c->z.operand_width != c->in.op_size * 8)
		bad |= BIT(O_OP_SIZE);
	return bad;
}

u32 oracle_compare_operands(const struct oracle_case *c)
{
	return compare_memory(c) | compare_immediate(c) | compare_registers(c) |
	       compare_implicit(c) | compare_sizes(c);
}
