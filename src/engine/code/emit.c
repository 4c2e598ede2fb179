/* SPDX-License-Identifier: MIT */
#include "engine/code/emit.h"

#include "x86/insn.h"

static unsigned scale_bits(unsigned scale)
{
	return scale == 8 ? 3 : scale >> 1;
}

static bool fits8(s32 v)
{
	return v == (s8)v;
}

void emit_modrm_mem(
	struct emit *e, unsigned reg, unsigned base, unsigned index, unsigned scale, s32 disp)
{
	bool sib = index != REG_NONE || base == REG_NONE || (base & 7) == 4;
	unsigned mod = 0;

	if (base != REG_NONE && (disp != 0 || (base & 7) == 5))
		mod = fits8(disp) ? 1 : 2;
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
	u8 rex = 0x40 | (wide ? 8 : 0) | (dst >= 8 ? 4 : 0);

	if (index != REG_NONE && index >= 8)
		rex |= 2;
	if (base != REG_NONE && base >= 8)
		rex |= 1;
	if (rex != 0x40)
		emit8(e, rex);
	emit8(e, 0x8d);
	emit_modrm_mem(e, dst, base, index, scale, disp);
}
