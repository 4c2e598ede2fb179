/* SPDX-License-Identifier: MIT */
/* One element of MOVS, CMPS, STOS, LODS, SCAS. */
#include "libkvm/mshv/emulate.h"

static bool repeats(const struct emu *e)
{
	return e->in.pfx & (PFX_REP | PFX_REPNE);
}

static void move(struct emu *e, unsigned reg)
{
	const unsigned width = e->in.addr_size;
	const u64 by = e->regs.rflags & FL_DF ? 0 - (u64)e->in.op_size : e->in.op_size;

	emu_set_reg(e, reg, width, emu_reg(e, reg, width) + by);
}

static enum emu_result source(struct emu *e, u64 *ret)
{
	enum emu_result r =
		emu_read(e, e->in.seg, emu_reg(e, RSI, e->in.addr_size), e->in.op_size, ret);

	move(e, RSI);
	return r;
}

static enum emu_result destination(struct emu *e, u64 *ret)
{
	enum emu_result r =
		emu_read(e, SEG_ES, emu_reg(e, RDI, e->in.addr_size), e->in.op_size, ret);

	move(e, RDI);
	return r;
}

static enum emu_result store(struct emu *e, u64 value)
{
	enum emu_result r =
		emu_write(e, SEG_ES, emu_reg(e, RDI, e->in.addr_size), e->in.op_size, value);

	move(e, RDI);
	return r;
}

static enum emu_result element(struct emu *e)
{
	const unsigned size = e->in.op_size;
	enum emu_result r;
	u64 a = 0, b = 0;

	switch (e->in.desc->op) {
	case OP_MOVS: r = source(e, &a); return r ? r : store(e, a);
	case OP_STOS: return store(e, emu_reg(e, RAX, size));
	case OP_LODS:
		r = source(e, &a);
		if (!r)
			emu_set_reg(e, RAX, size, a);
		return r;
	case OP_CMPS: r = source(e, &a); break;
	default: r = EMU_DONE; a = emu_reg(e, RAX, size);
	}
	if (!r)
		r = destination(e, &b);
	if (!r)
		emu_alu(EMU_CMP, size, a, b, &e->next.rflags);
	return r;
}

/* Comparisons also end with what the prefix looks for (SDM 2: REP). */
static bool found(const struct emu *e)
{
	const bool equal = e->next.rflags & FL_ZF;

	if (e->in.desc->op != OP_CMPS && e->in.desc->op != OP_SCAS)
		return false;
	return e->in.pfx & PFX_REP ? !equal : equal;
}

enum emu_result emu_string(struct emu *e)
{
	const unsigned width = e->in.addr_size;
	const u64 count = emu_reg(e, RCX, width);
	enum emu_result r;

	if (!repeats(e))
		return element(e);
	if (!count)
		return EMU_DONE;
	r = element(e);
	if (r)
		return r;
	emu_set_reg(e, RCX, width, count - 1);
	e->again = count > 1 && !found(e);
	return EMU_DONE;
}
