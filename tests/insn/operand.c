/* SPDX-License-Identifier: MIT */
/*
 * Operands that mostly lead to the data pages: a few in the middle, many on the edges of something.
 *
 * Registers that point to data are avoided as destinations, and not used as bases once they may have changed,
 * so that sequences get somewhere before they fault.
 */
#include <string.h>

#include "insn/generate.h"

/* ---- addresses ---- */

static u64 near(struct making *m, u64 at, unsigned spread)
{
	return at - spread + below(&m->r, 2 * spread);
}

u64 pick_address(struct making *m)
{
	const u64 data = case_data(m->c), end_rw = data + L_DATA_RW * PAGE_SIZE,
		  end = data + L_DATA_PAGES * PAGE_SIZE;
	unsigned p = below(&m->r, 1000);

	if (p < 480)
		return data + below(&m->r, DATA_BYTES / 32) * 32;
	if (p < 820)
		return data + below(&m->r, DATA_BYTES - 64);
	if (p < 880)
		return near(m, data + PAGE_SIZE, 40);
	if (p < 920)
		return near(m, end_rw, 40);
	if (p < 940)
		return end_rw + below(&m->r, PAGE_SIZE);
	if (p < 955)
		return near(m, end, 40);
	if (p < 970)
		return near(m, data, 40);
	if (p < 980)
		return rnd(&m->r) | 1ull << 63 >> below(&m->r, 15);
	if (p < 990)
		return near(m, m->c->seg[SEG_CS].base + m->c->start.rip + 8, 32);
	return interesting(&m->r);
}

u64 pick_offset(struct making *m, unsigned seg)
{
	return pick_address(m) - m->c->seg[seg].base;
}

/* ---- operands ---- */

static unsigned register_count(const struct making *m, const struct form *f, u8 kind)
{
	if (m->c->mode != 8 || kind == RK_MASK)
		return 8;
	return f->enc == ENC_EVEX && kind == RK_VEC ? 32 : 16;
}

unsigned pick_register(struct making *m, const struct form *f, u8 kind)
{
	unsigned n = register_count(m, f, kind), reg = below(&m->r, n);

	for (unsigned i = 0; i < 3 && general(kind) && m->pointer[reg]; i++)
		reg = below(&m->r, n);
	if (reg == RSP && general(kind) && percent(&m->r, 70))
		reg = RAX;
	return reg;
}

static unsigned pick_base(struct making *m)
{
	unsigned n = m->c->mode == 8 ? 16 : 8;

	for (unsigned i = 0; i < 12; i++) {
		unsigned reg = below(&m->r, n);

		if (m->pointer[reg] && m->known[reg])
			return reg;
	}
	return below(&m->r, n);
}

static unsigned put_disp(u8 *out, unsigned len, u64 v)
{
	memcpy(out, &v, len);
	return len;
}

static void memory_absolute(struct making *m, u8 reg, struct operand *o)
{
	bool sib = m->c->mode == 8 && percent(&m->r, 50);

	o->bytes[o->len++] = reg << 3 | (sib ? 4 : 5);
	if (sib)
		o->bytes[o->len++] = 0x25;
	o->relative = !sib && m->c->mode == 8;
	o->len += put_disp(o->bytes + o->len, 4, pick_offset(m, SEG_DS));
}

/* 16-bit addressing: bx or bp and si or di, or one of them, or neither */
static void memory_16(struct making *m, u8 reg, struct operand *o)
{
	static const u8 base[] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
	static const u8 index[] = {RSI, RDI, RSI, RDI};
	unsigned rm = below(&m->r, 8), mod;
	bool plain = rm == 6 && percent(&m->r, 60);
	u16 disp = pick_offset(m, !plain && base[rm] == RBP ? SEG_SS : SEG_DS);

	if (!plain)
		disp -= m->c->start.gpr[base[rm]];
	if (rm < 4)
		disp -= m->c->start.gpr[index[rm]];
	if (percent(&m->r, 15))
		disp = (s8)disp;
	mod = plain || (disp == 0 && rm != 6) ? 0 : (s16)disp == (s8)disp ? 1 : 2;
	o->bytes[o->len++] = mod << 6 | reg << 3 | rm;
	if (mod || plain)
		o->len += put_disp(o->bytes + o->len, mod == 1 ? 1 : 2, disp);
}

/* base and perhaps index, with the displacement that leads to the address wanted. */
static void memory_based(
	struct making *m, const struct form *f, u8 reg, bool vector_index, struct operand *o)
{
	unsigned base = pick_base(m), index = RSP, scale = below(&m->r, 4), mod;
	u64 disp = pick_offset(m, base == RSP || base == RBP ? SEG_SS : SEG_DS) -
		   m->c->start.gpr[base];
	bool sib = vector_index || (base & 7) == RSP;

	if (vector_index || percent(&m->r, 30)) {
		index = below(&m->r, register_count(m, f, vector_index ? RK_VEC : RK_GPR));
		sib = true;
		if (!vector_index && index != RSP)
			disp -= m->c->start.gpr[index] << scale;
	}
	if (f->enc == ENC_EVEX && percent(&m->r, 25)) /* counts operands */
		disp = below(&m->r, 4) - 2ull;
	else if (percent(&m->r, 25))
		disp = (s8)disp;
	mod = disp == 0 && (base & 7) != RBP ? 0 : (s64)disp == (s8)disp ? 1 : 2;
	o->rxb = base >> 3 | (index >> 3 & 1) << 1;
	o->v2 = index >> 4;
	o->bytes[o->len++] = mod << 6 | reg << 3 | (sib ? 4 : base & 7);
	if (sib)
		o->bytes[o->len++] = scale << 6 | (index & 7) << 3 | (base & 7);
	if (mod)
		o->len += put_disp(o->bytes + o->len, mod == 1 ? 1 : 4, disp);
}

static void memory_any(struct making *m, u8 reg, struct operand *o)
{
	u64 v = rnd(&m->r);

	memcpy(o->bytes, &v, 6);
	o->bytes[0] = below(&m->r, 3) << 6 | reg << 3 | (v & 7);
	o->rxb = rnd(&m->r) & 3;
	o->len = 6;
}

static struct operand memory_operand(
	struct making *m, const struct form *f, u8 reg, bool vector_index)
{
	struct operand o = {.len = 0};
	unsigned p = below(&m->r, 100);

	if (m->addr16 && !vector_index && p < 96)
		memory_16(m, reg & 7, &o);
	else if (vector_index || p < 85)
		memory_based(m, f, reg & 7, vector_index, &o);
	else if (p < 96)
		memory_absolute(m, reg & 7, &o);
	else
		memory_any(m, reg & 7, &o);
	if (m->c->mode != 8)
		o.rxb = 0;
	o.rxb |= (reg >> 3 & 1) << 2 | reg >> 4 << 3;
	return o;
}

struct operand operand(struct making *m, const struct form *f)
{
	const struct insn_desc *d = f->desc;
	u8 reg = f->modrm >> 3 & 7, rm = f->modrm & 7;
	struct operand o;

	if (d->reg != RK_NONE)
		reg = pick_register(m, f, d->reg);
	if (f->modrm < 0xc0)
		return memory_operand(m, f, reg, d->op == OP_GATHER || d->op == OP_SCATTER);
	if (d->rm != RK_NONE)
		rm = pick_register(m, f, d->rm);
	o = (struct operand){.len = 1,
		.rxb = (reg >> 3 & 1) << 2 | (rm >> 3 & 1) | reg >> 4 << 3 | rm >> 4 << 1};
	o.bytes[0] = 0xc0 | (reg & 7) << 3 | (rm & 7);
	return o;
}
