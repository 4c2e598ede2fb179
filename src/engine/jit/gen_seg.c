/* SPDX-License-Identifier: MIT */
/*
 * Segmentation in generated code. Flat code has none of it, 64-bit code only the bases of fs and gs. Everywhere else
 * bases and limits are read at run time (cpu.h: seg_last), because they change more often than code is
 * translated. With BK_WIDE a 16-bit offset needs a check only where an access may straddle 64 KiB.
 */
#include "engine/jit/gen.h"
#include "engine/core/layout.h"

#define LAST(kind, seg)                                                                            \
	((u32)(offsetof(struct cpu, seg_last) + sizeof(s64) * ((kind) * (SEG_GS + 1) + (seg))))
#define CS_LIMIT ((u32)offsetof(struct cpu, seg[SEG_CS].limit))

/* ---- checks ---- */

void gen_unless_zero(struct gen *g, bool wide)
{
	gen_cold(g, wide ? emit_jmp32_unless_rcxz(&g->e) : emit_jmp32_unless_ecxz(&g->e), REC_STEP,
		true);
}

/* r10 + size <= 64 KiB */
static void gen_limit_64k(struct gen *g, unsigned size)
{
	struct emit *e = &g->e;

	if (!g->flags_live[g->now]) {
		emit_alu_ri(e, false, ALU_CMP, H_R10, 0x10000 - size);
		gen_cold(g, emit_jcc32(e, CC_A), REC_STEP, false);
		return;
	}
	emit_store(e, H_RCX, FRAME_RCX);
	emit_lea(e, false, H_RCX, H_R10, REG_NONE, 1, (s32)size - 1);
	emit_rorx(e, false, H_RCX, H_RCX, 16);
	emit_movzx16(e, H_RCX, H_RCX);
	gen_unless_zero(g, true);
	emit_load(e, H_RCX, FRAME_RCX);
}

void gen_unless_below(struct gen *g, unsigned reg, s32 more)
{
	struct emit *e = &g->e;

	emit_not(e, reg); /* -reg - 1 */
	emit_lea(e, true, H_RCX, H_RCX, reg, 1, 1 - more);
	emit_rorx(e, true, H_RCX, H_RCX, 32);
	gen_unless_zero(g, false);
}

/* r10 + size - 1 <= the last offset that the segment allows */
static void gen_limit(struct gen *g, unsigned seg, unsigned kind, unsigned size)
{
	struct emit *e = &g->e;

	if (!g->flags_live[g->now]) {
		emit_lea(e, true, H_R9, H_R10, REG_NONE, 1, (s32)size - 1);
		emit_alu_rm(e, true, ALU_CMP, H_R9, at_field(LAST(kind, seg)));
		gen_cold(g, emit_jcc32(e, CC_G), REC_STEP, false);
		return;
	}
	emit_store(e, H_RCX, FRAME_RCX);
	emit_load(e, H_RCX, LAST(kind, seg));
	emit_mov_rr(e, H_R9, H_R10);
	gen_unless_below(g, H_R9, (s32)size - 1);
	emit_load(e, H_RCX, FRAME_RCX);
}

void gen_code_limit(struct gen *g)
{
	struct emit *e = &g->e;

	emit_store(e, H_RCX, FRAME_RCX);
	emit_load32(e, H_RCX, CS_LIMIT);
	emit_mov_rr(e, H_R10, H_R9);
	gen_unless_below(g, H_R10, 0);
	emit_load(e, H_RCX, FRAME_RCX);
}

/* Is every segment one that BK_WIDE speaks of? */
static bool wide_segment(const struct gen *g, const struct gen_offset *at)
{
	return (g->t.key & BK_WIDE) && at->width == 2 && (at->seg < SEG_FS || gen_real(g));
}

static void gen_check_segment(
	struct gen *g, const struct gen_offset *at, unsigned kind, unsigned size)
{
	if (!wide_segment(g, at))
		gen_limit(g, at->seg, kind, size);
	else if (at->known ? at->value + size > 0x10000 : size > 1)
		gen_limit_64k(g, size);
}

/* Nothing writes through cs in protected mode. */
static bool never(const struct gen *g, const struct gen_offset *at, unsigned kind)
{
	return kind == TLB_WRITE && at->seg == SEG_CS && !gen_real(g) && !g->long_mode;
}

bool gen_linear(struct gen *g, const struct gen_offset *at, unsigned kind, unsigned size)
{
	if (never(g, at, kind))
		return false;
	if (g->flat && at->seg < SEG_FS)
		return true;
	if (!g->long_mode)
		gen_check_segment(g, at, kind, size);
	emit_mov_rm(&g->e, g->long_mode ? 8 : 4, H_R9, at_field(BASE(at->seg)));
	emit_lea(&g->e, g->long_mode, H_R10, H_R10, H_R9, 1, 0);
	return true;
}
