/* SPDX-License-Identifier: MIT */
/*
 * What instructions need to lead somewhere: branches a target in the case, far ones a selector that it has, POPF
 * flags on the stack that change nothing else. Targets are known only when the case is complete: generate.c puts
 * them in.
 */
#include <string.h>

#include "insn/generate.h"

static void aim(struct making *m, u8 len, u8 patch)
{
	m->target[m->targets++] = (struct target){.insn = m->c->count,
		.len = len,
		.patch = patch,
		.to = m->c->count + 1 + below(&m->r, 3)};
}

static int add_patch(struct making *m, u64 addr, u64 value)
{
	struct insn_case *c = m->c;

	if (c->patches == PATCHES_MAX || addr - case_data(c) > DATA_BYTES - 8)
		return -1;
	c->patch[c->patches].addr = addr;
	c->patch[c->patches].value = value;
	return c->patches++;
}

/* Linear address of the top of the stack, at the start. */
static u64 stack_address(const struct making *m)
{
	const struct insn_case *c = m->c;
	u64 sp = c->start.gpr[RSP];

	if (c->kind == KIND_FLAT)
		return sp;
	return c->seg[SEG_SS].base + (c->seg[SEG_SS].attr & SEG_DB ? sp : (u16)sp);
}

/* The flags that popf finds: nothing that changes how the rest is executed but for an occasional trap flag. */
static bool need_flags(struct making *m)
{
	u64 v = FL_FIXED | (rnd(&m->r) & (FL_STATUS | FL_DF | FL_IF | FL_IOPL | FL_ID));

	if (percent(&m->r, 10))
		v |= FL_TF;
	return !m->stack_used && m->known[RSP] && add_patch(m, stack_address(m), v) >= 0;
}

/* A selector that the case has. */
static u16 good_selector(struct making *m)
{
	return m->c->seg[percent(&m->r, 85) ? (unsigned)SEG_DS : below(&m->r, 6)].selector;
}

/* Where a memory operand with known registers lies, else 0. */
static u64 operand_address(struct making *m, const struct insn *in)
{
	const u64 *g = m->c->start.gpr;
	u64 off = (u64)in->disp;

	if (!in->is_mem || (in->base <= R15 && !m->known[in->base]) ||
		(in->index <= R15 && !m->known[in->index]))
		return 0;
	if (in->base <= R15)
		off += g[in->base];
	if (in->index <= R15)
		off += g[in->index] * in->scale;
	off = in->addr_size == 2 ? (u16)off : (u32)off;
	return (u32)(m->c->seg[in->seg].base + off);
}

/* Far pointers in memory: to a place in the case, or to data. */
static bool need_far(struct making *m, u8 *code, const struct insn *in)
{
	u64 cs = m->c->seg[SEG_CS].selector, flags = m->c->start.rflags & 0xffff;
	unsigned shift = in->op_size * 8;
	int patch;

	switch (in->desc->op) {
	case OP_JMP_FAR_IMM:
	case OP_CALL_FAR_IMM:
		memcpy(code + in->imm_off + in->op_size, &cs, 2);
		m->target[m->targets] = (struct target){.insn = m->c->count,
			.len = in->op_size + 2,
			.far = true,
			.to = m->c->count + 1 + below(&m->r, 3)};
		m->targets++;
		return true;
	case OP_LOAD_FAR:
		add_patch(m, operand_address(m, in),
			(u64)good_selector(m) << shift | (u16)pick_offset(m, SEG_DS));
		return true;
	case OP_JMP_FAR_M:
	case OP_CALL_FAR_M: patch = add_patch(m, operand_address(m, in), cs << shift); break;
	case OP_POP_SEG:
		if (!m->stack_used && m->known[RSP])
			add_patch(m, stack_address(m), good_selector(m));
		return true;
	default: /* RET_FAR, IRET */
		if (m->stack_used || !m->known[RSP])
			return percent(&m->r, 20);
		if (in->desc->op == OP_IRET && in->op_size == 4)
			add_patch(m, stack_address(m) + 8, flags);
		patch = add_patch(
			m, stack_address(m), cs << shift | (in->op_size == 2 ? flags << 32 : 0));
		break;
	}
	if (patch >= 0)
		aim(m, 0, patch);
	return true;
}

static void need_target(struct making *m, const struct insn *in)
{
	u64 addr = stack_address(m);
	int patch;

	if (percent(&m->r, 30))
		return;
	if (in->desc->op != OP_RET) {
		if (!in->is_mem || in->base > R15 || !m->known[in->base] || in->index != REG_NONE)
			return;
		addr = m->low ? operand_address(m, in) : m->c->start.gpr[in->base] + in->disp;
	} else if (m->stack_used || !m->known[RSP]) {
		return;
	}
	patch = add_patch(m, addr, 0);
	if (patch >= 0)
		aim(m, 0, patch);
}

bool prepare(struct making *m, u8 *code, const struct insn *in)
{
	switch (in->desc->op) {
	case OP_JCC:
	case OP_JMP_REL:
	case OP_CALL_REL:
	case OP_LOOP:
	case OP_JCXZ: aim(m, in->imm_len, 0); return true;
	case OP_RET:
	case OP_JMP_RM:
	case OP_CALL_RM: need_target(m, in); return true;
	case OP_POPF: return need_flags(m);
	case OP_JMP_FAR_IMM:
	case OP_CALL_FAR_IMM:
	case OP_JMP_FAR_M:
	case OP_CALL_FAR_M:
	case OP_LOAD_FAR:
	case OP_POP_SEG:
	case OP_RET_FAR:
	case OP_IRET: return need_far(m, code, in);
	case OP_ENTER:
		if (percent(&m->r, 80))
			code[in->imm_off + 2] = below(&m->r, 4);
		if (percent(&m->r, 80))
			code[in->imm_off + 1] = 0;
		return true;
	case OP_FNSTENV:
	case OP_FNSAVE:
	case OP_FXSAVE: m->c->image = true; return true;
	default: return true;
	}
}
