/* SPDX-License-Identifier: MIT */
#include "engine/code/emit.h"

static unsigned scale_bits(unsigned scale)
{
	return scale == 8 ? 3 : scale >> 1;
}

static bool fits8(s32 v)
{
	return v == (s8)v;
}

void emit_modrm_parts(
	struct emit *e, unsigned reg, u8 base, u8 index, u8 scale, s32 disp, bool whole_disp)
{
	bool sib = index != REG_NONE || base == REG_NONE || (base & 7) == 4;
	unsigned mod = 0;

	if (base != REG_NONE && (disp != 0 || (base & 7) == 5))
		mod = fits8(disp) && !whole_disp ? 1 : 2;
	emit8(e, mod << 6 | (reg & 7) << 3 | (sib ? 4 : (base & 7)));
	if (sib)
		emit8(e, scale_bits(scale) << 6 | (index == REG_NONE ? 4 : (index & 7)) << 3 |
				 (base == REG_NONE ? 5 : (base & 7)));
	if (mod == 1)
		emit8(e, (u8)disp);
	else if (mod == 2 || base == REG_NONE)
		emit32(e, (u32)disp);
}

void emit_lea(struct emit *e, bool wide, unsigned dst, unsigned base, unsigned index,
	unsigned scale, s32 disp)
{
	emit_op_rm(e, 0x8d | (wide ? EO_W : 0), dst,
		(struct emit_mem){(u8)base, (u8)index, (u8)scale, disp});
}

void emit_lea16(struct emit *e, unsigned dst, unsigned base, unsigned index, s32 disp)
{
	emit_op_rm(e, 0x8d | EO_66, dst, (struct emit_mem){(u8)base, (u8)index, 1, disp});
}

void emit_nop(struct emit *e, unsigned n)
{
	static const u8 nops[EMIT_NOP_MAX + 1][EMIT_NOP_MAX] = {{0}, {0x90}, {0x66, 0x90},
		{0x0f, 0x1f, 0x00}, {0x0f, 0x1f, 0x40, 0x00}, {0x0f, 0x1f, 0x44, 0x00, 0x00}};

	for (unsigned i = 0; i < n; i++)
		emit8(e, nops[n][i]);
}

void emit_bytes(struct emit *e, const u8 *bytes, unsigned n, u8 mask)
{
	for (unsigned i = 0; i < n; i++)
		emit8(e, bytes[i] & mask);
}

void emit_pad(struct emit *e, unsigned align)
{
	while ((u64)e->p & (align - 1))
		emit8(e, 0xcc);
}
