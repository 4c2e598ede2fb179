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

void emit_modrm_mem(struct emit *e, unsigned reg, struct emit_mem m)
{
	bool sib = m.index != REG_NONE || m.base == REG_NONE || (m.base & 7) == 4;
	unsigned mod = 0;

	if (m.base != REG_NONE && (m.disp != 0 || (m.base & 7) == 5))
		mod = fits8(m.disp) && !m.whole_disp ? 1 : 2;
	emit8(e, mod << 6 | (reg & 7) << 3 | (sib ? 4 : (m.base & 7)));
	if (sib)
		emit8(e, scale_bits(m.scale) << 6 | (m.index == REG_NONE ? 4 : (m.index & 7)) << 3 |
				 (m.base == REG_NONE ? 5 : (m.base & 7)));
	if (mod == 1)
		emit8(e, (u8)m.disp);
	else if (mod == 2 || m.base == REG_NONE)
		emit32(e, (u32)m.disp);
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
