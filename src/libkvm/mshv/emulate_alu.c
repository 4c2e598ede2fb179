/* SPDX-License-Identifier: MIT */
/* Integer arithmetic and its flags (SDM 1:3.4.3.1, appendix A). */
#include "libkvm/mshv/emulate.h"

static u64 top(unsigned size)
{
	return BIT64(8 * size - 1);
}

static u64 of_result(unsigned size, u64 result)
{
	u64 flags = 0;

	if (!emu_cut(result, size))
		flags |= FL_ZF;
	if (result & top(size))
		flags |= FL_SF;
	if (!__builtin_parity((u8)result))
		flags |= FL_PF;
	return flags;
}

/* carry and overflow: the bit of interest is the operand's highest; changed: its bit 4. */
static void set_flags(u64 *rflags, unsigned size, u64 result, u64 carry, u64 overflow, u64 changed)
{
	u64 flags = of_result(size, result);

	if (carry & top(size))
		flags |= FL_CF;
	if (overflow & top(size))
		flags |= FL_OF;
	if (changed & 16)
		flags |= FL_AF;
	*rflags = (*rflags & ~FL_STATUS) | flags;
}

static u64 add(unsigned size, u64 a, u64 b, u64 carry, u64 *rflags)
{
	const u64 r = a + b + carry;

	set_flags(rflags, size, r, (a & b) | ((a | b) & ~r), (a ^ r) & (b ^ r), a ^ b ^ r);
	return r;
}

static u64 subtract(unsigned size, u64 a, u64 b, u64 borrow, u64 *rflags)
{
	const u64 r = a - b - borrow;

	set_flags(rflags, size, r, (~a & b) | ((~a | b) & r), (a ^ b) & (a ^ r), a ^ b ^ r);
	return r;
}

/* AF is undefined; processors clear it. */
static u64 logic(unsigned size, u64 r, u64 *rflags)
{
	set_flags(rflags, size, r, 0, 0, 0);
	return r;
}

u64 emu_alu(enum emu_alu op, unsigned size, u64 a, u64 b, u64 *rflags)
{
	const u64 carry = *rflags & FL_CF;

	switch (op) {
	case EMU_ADD: return add(size, a, b, 0, rflags);
	case EMU_ADC: return add(size, a, b, carry, rflags);
	case EMU_SUB:
	case EMU_CMP: return subtract(size, a, b, 0, rflags);
	case EMU_SBB: return subtract(size, a, b, carry, rflags);
	case EMU_OR: return logic(size, a | b, rflags);
	case EMU_AND: return logic(size, a & b, rflags);
	default: return logic(size, a ^ b, rflags);
	}
}

/* CF stays (SDM 2: INC). */
static u64 keep_carry(u64 before, u64 *rflags, u64 result)
{
	*rflags = (*rflags & ~FL_CF) | (before & FL_CF);
	return result;
}

u64 emu_increment(unsigned size, u64 a, u64 *rflags)
{
	const u64 before = *rflags;

	return keep_carry(before, rflags, add(size, a, 1, 0, rflags));
}

u64 emu_decrement(unsigned size, u64 a, u64 *rflags)
{
	const u64 before = *rflags;

	return keep_carry(before, rflags, subtract(size, a, 1, 0, rflags));
}
