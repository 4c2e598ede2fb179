/* SPDX-License-Identifier: MIT */
/* See intel.h. Measured on a Xeon of the kind with AVX-512 and AMX. */
#include <string.h>

#include "insn/intel.h"

#define FCW_MASKS 0x3f
#define XMM_FLAGS 0x3f
#define TOP_SHIFT 11

static bool is_x87_store(const struct insn *in)
{
	return (in->desc->attr & IA_X87) && in->desc->op == OP_NATIVE && in->desc->mem == MEM_WRITE;
}

static bool is_conversion(const struct insn *in)
{
	return in->desc->name && !strcmp(in->desc->name, "vcvtps2ph");
}

bool intel_skips_store(const struct insn *in, const struct outcome *a, const struct outcome *b)
{
	u16 fcw;

	memcpy(&fcw, a->regs.xsave, sizeof(fcw));
	return !host_is_amd() && is_x87_store(in) && (fcw & FCW_MASKS) != FCW_MASKS &&
	       (b->end == END_DONE || a->regs.rip != b->regs.rip);
}

/*
 * Beyond 4 GiB, where a segment has no limit: such accesses "may or may not cause the indicated exceptions" (SDM
 * 3:5.3), and these wrap around; nothing is mapped on either side of there.
 */
static bool wraps(const struct insn *in, const struct outcome *a, const struct outcome *b)
{
	return in->mode != 8 && (a->vector == X86_GP || a->vector == X86_SS) &&
	       b->vector == X86_PF && (u32)(b->cr2 + 64) < 128;
}

bool intel_other_vector(const struct insn *in, const struct outcome *a, const struct outcome *b)
{
	if (host_is_amd())
		return false;
	return wraps(in, a, b) || (is_conversion(in) && b->vector == X86_XM);
}

bool intel_has_more_flags(const struct insn *in, u32 a_mxcsr, u32 b_mxcsr)
{
	return !host_is_amd() && is_conversion(in) && (a_mxcsr & ~b_mxcsr) == 0 &&
	       ((a_mxcsr ^ b_mxcsr) & ~XMM_FLAGS) == 0;
}

void intel_restore_top(const struct insn *in, const u8 *a_xsave, u8 *b_xsave)
{
	u8 *st = b_xsave + 32, moved[8 * 16];
	u16 a, b;

	memcpy(&a, a_xsave + 2, sizeof(a));
	memcpy(&b, b_xsave + 2, sizeof(b));
	if (host_is_amd() || !(in->desc->attr & IA_MMX) || in->desc->mem != MEM_WRITE ||
		(b >> TOP_SHIFT & 7))
		return;
	memcpy(moved, st, sizeof(moved));
	for (unsigned i = 0; i < 8; i++)
		memcpy(st + i * 16, moved + (((a >> TOP_SHIFT) + i) & 7) * 16, 16);
	b |= a & 7 << TOP_SHIFT;
	memcpy(b_xsave + 2, &b, sizeof(b));
}

unsigned intel_half_written(const struct insn *in)
{
	return !host_is_amd() && is_x87_store(in) && in->mem_size == 10 ? 10 : 0;
}
