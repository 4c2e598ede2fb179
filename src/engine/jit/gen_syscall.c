/* SPDX-License-Identifier: MIT */
/*
 * SYSCALL and SYSRET between 64-bit code of levels 3 and 0 (SDM 2 under those names): segments that are constants but for
 * their selectors, flags, and then the same as any branch to an address in a register, under the key of the other level.
 *
 * What lives of RFLAGS in memory is the same before and after: all of it is 0. Anything else is for step().
 */
#include "engine/jit/gen.h"
#include "engine/core/layout.h"
#include "engine/cpu/segment.h"
#include "engine/jit/translate.h"

#define SEGMENT(s) (FIELD(seg[0]) + (u32)sizeof(struct segment) * (s))
#define STAR_CALL  (FIELD(msr.star) + 4) /* selectors of SYSCALL and of SYSRET */
#define STAR_RET   (FIELD(msr.star) + 6)
#define NOT_WANTED (FL_TF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID)

/* To step() unless no bit of RFLAGS that lives in memory is set. */
static void gen_no_system_flags(struct gen *g)
{
	struct emit *e = &g->e;

	emit_store(e, H_RCX, FRAME_RCX);
	emit_load(e, H_RCX, CPU_SYS_FLAGS);
	emit_lea(e, true, H_RCX, H_RCX, REG_NONE, 1, -(s32)FL_FIXED);
	gen_unless_zero(g, true);
	emit_load(e, H_RCX, FRAME_RCX);
}

/* seg = s, with the selector at star and by more. Flags are lost. */
static void gen_segment(struct gen *g, unsigned seg, const struct segment *s, u32 star, u32 by)
{
	struct emit *e = &g->e;

	emit_load16(e, H_R10, star);
	if (by)
		emit_alu_ri(e, false, ALU_ADD, H_R10, by);
	emit_alu_ri(e, false, ALU_AND, H_R10, ~3u);
	emit_alu_ri(e, false, ALU_OR, H_R10, SEG_DPL(s->attr));
	emit_mov_mr(e, 2, at_field(SEGMENT(seg) + (u32)offsetof(struct segment, selector)), H_R10);
	emit_mov_mi(e, 8, at_field(SEGMENT(seg) + (u32)offsetof(struct segment, base)), 0);
	gen_set32(g, SEGMENT(seg) + (u32)offsetof(struct segment, limit), s->limit);
	gen_set32(g, SEGMENT(seg) + (u32)offsetof(struct segment, attr), s->attr);
}

static void gen_segments(struct gen *g, unsigned cpl, u32 star, u32 cs, u32 ss)
{
	struct segment s;

	segment_set_flat_code(&s, 0, cpl, true);
	gen_segment(g, SEG_CS, &s, star, cs);
	segment_set_flat_data(&s, 0, cpl);
	gen_segment(g, SEG_SS, &s, star, ss);
}

/* On to the target in r9. What cpu_update_mode() derives from the level is known; no flag changes. */
static void gen_enter_level(struct gen *g, unsigned cpl)
{
	int own = g->jump_table;
	u32 key = (g->t.key & ~(u32)(BLOCK_PLAIN | BK_CPL_MASK)) | cpl << BK_CPL_SHIFT;

	emit_mov_mi(&g->e, 1, at_field(FIELD(cpl)), cpl);
	emit_mov_mi(&g->e, 1, at_field(FIELD(view)), cpl == 3 ? TLB_USER : TLB_KERNEL);
	gen_set32(g, FIELD(block_key), key);
	g->jump_table = jump_table_for(g->cache, key);
	gen_indirect(g);
	g->jump_table = own; /* the block may be made once more, without groups */
}

/* From level 3. IF falls or stays as it is, so no interrupt has to be looked for. */
bool gen_syscall(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;

	if (!g->long_mode || gen_cpl(g) != 3 || !(g->t.key & BK_SYSCALL))
		return false;
	gen_no_system_flags(g);
	gen_flags_image(g);
	emit_store(e, H_R9, FRAME_GPR(R11));
	emit_load(e, H_R10, FIELD(msr.sfmask));
	emit_not(e, H_R10);
	emit_alu_rr(e, true, ALU_AND, H_R9, H_R10);
	gen_rip(g, H_RCX, gen_next_rip(g), true);
	gen_segments(g, 0, STAR_CALL, 0, 8);
	emit_alu_mi8(e, 4, ALU_ADD, at_field(FIELD(direct.calls)), 1);
	gen_put_flags(g);
	emit_load(e, H_R9, FIELD(msr.lstar));
	gen_enter_level(g, 0);
	return true;
}

/* From level 0 to 64-bit code; an address that is not canonical has effects that depend on the vendor. */
bool gen_sysret(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;

	if (!g->long_mode || in->op_size != 8 || gen_cpl(g) != 0 || (g->t.key & BK_VIEW_AC) ||
		!(g->t.key & BK_SYSCALL))
		return false;
	emit_mov_rr(e, H_R9, H_RCX);
	gen_canonical(g);
	gen_no_system_flags(g);
	emit_load(e, H_R9, FRAME_GPR(R11));
	emit_test_ri(e, H_R9, NOT_WANTED);
	gen_cold(g, emit_jcc32(e, CC_NE), REC_STEP, false);
	gen_new_flags(g, 8);
	gen_segments(g, 3, STAR_RET, 16, 8);
	gen_put_flags(g);
	emit_mov_rr(e, H_R9, H_RCX);
	gen_enter_level(g, 3);
	return true;
}
