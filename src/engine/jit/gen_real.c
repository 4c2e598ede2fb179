/* SPDX-License-Identifier: MIT */
/*
 * Real mode's segment registers and far transfers. Loading a segment register sets selector and base, no more. A far
 * transfer does that with cs and ends in the jump table like any other indirect branch, with the new
 * segment's tag. INT and IRET are the same with flags; what they may change beyond IF and the host's flags
 * goes through step().
 *
 * Virtual-8086 mode shares what its IOPL does not forbid.
 */
#include "engine/jit/gen.h"
#include "engine/core/layout.h"

/* ---- segment registers in real mode ---- */

/* seg = selector in r9, zero-extended; r9 = base */
static void gen_load_real(struct gen *g, unsigned seg)
{
	struct emit *e = &g->e;

	emit_mov_mr(e, 2, at_field(SELECTOR(seg)), H_R9);
	emit_lea(e, false, H_R9, REG_NONE, H_R9, 8, 0);
	emit_lea(e, false, H_R9, H_R9, H_R9, 1, 0);
	emit_store(e, H_R9, BASE(seg));
}

static bool loadable(const struct gen *g, const struct insn *in)
{
	return gen_real_segments(g) && in->reg <= SEG_GS && in->reg != SEG_CS &&
	       gen_shadow_fits(g, in);
}

/* movzx r9d, word [r9 + r10 + disp] */
static void gen_load_word(struct gen *g, s32 disp)
{
	emit_movzx_rm(&g->e, 2, H_R9, at_sum(H_R9, H_R10, disp));
}

bool gen_mov_to_seg(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (!loadable(g, in))
		return false;
	if (!in->is_mem)
		emit_movzx16(&g->e, H_R9, in->rm == RSP ? H_R11 : in->rm);
	else if (gen_operand(g, in, TLB_READ, 2, &disp))
		gen_load_word(g, disp);
	else
		return false;
	gen_load_real(g, in->reg);
	return true;
}

bool gen_pop_seg(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (!loadable(g, in) || !gen_stack_fits(g, in->op_size))
		return false;
	gen_stack_operand(g, 0, TLB_READ, in->op_size, &disp);
	gen_load_word(g, disp);
	gen_load_real(g, in->reg);
	gen_move_sp(g, in->op_size);
	return true;
}

/* LSS has no shadow (SDM 3:6.8.3). */
bool gen_load_far(struct gen *g, const struct insn *in)
{
	unsigned dst = in->reg == RSP ? H_R11 : in->reg;
	s32 disp;

	if (!gen_real_segments(g) || !gen_operand(g, in, TLB_READ, in->op_size + 2u, &disp))
		return false;
	gen_fold(g, disp);
	emit_movzx_rm(&g->e, 2, H_R10, at_reg(H_R9, in->op_size));
	emit_mov_rm(&g->e, in->op_size, dst, at_reg(H_R9, 0));
	emit_mov_rr32(&g->e, H_R9, H_R10);
	gen_load_real(g, insn_far_segment(in));
	return true;
}

/* ---- far transfers in real mode, with a code segment of 64 KiB ---- */

static bool gen_far_real(const struct gen *g)
{
	return gen_real_segments(g) && (g->t.key & BK_LIMIT64K);
}

/* cs = selector at FRAME_FAR; on to the rip at FRAME_CALL */
static void gen_enter_segment(struct gen *g)
{
	struct emit *e = &g->e;

	emit_load(e, H_R9, FRAME_FAR);
	gen_load_real(g, SEG_CS);
	emit_movzx16(e, H_R10, H_R9);
	emit_rorx(e, true, H_R9, H_R9, 32);
	emit_lea(e, true, H_R9, H_R9, H_R10, 1, 0);
	emit_store(e, H_R9, FIELD(code_tag));
	emit_load(e, H_R10, FRAME_CALL);
	emit_lea(e, true, H_R9, H_R9, H_R10, 1, 0);
	gen_indirect_tagged(g);
}

/* FRAME_CALL, FRAME_FAR = far pointer at [r9], whose offset must be below 64 KiB */
static void gen_far_pointer(struct gen *g, unsigned size)
{
	struct emit *e = &g->e;

	emit_movzx_rm(e, 2, H_R10, at_reg(H_R9, (s32)size));
	emit_store(e, H_R10, FRAME_FAR);
	if (size == 2)
		emit_movzx_rm(e, 2, H_R9, at_reg(H_R9, 0));
	else
		emit_mov_rm(e, 4, H_R9, at_reg(H_R9, 0));
	emit_store(e, H_R9, FRAME_CALL);
	if (size == 2)
		return;
	emit_store(e, H_RCX, FRAME_RCX);
	emit_rorx(e, false, H_RCX, H_R9, 16);
	emit_movzx16(e, H_RCX, H_RCX);
	gen_unless_zero(g, true);
	emit_load(e, H_RCX, FRAME_RCX);
}

static bool gen_far_pointer_imm(struct gen *g, const struct insn *in)
{
	u32 offset = in->op_size == 2 ? (u16)in->imm : (u32)in->imm;

	if (offset > 0xffff)
		return false;
	emit_mov_ri(&g->e, H_R9, offset);
	emit_store(&g->e, H_R9, FRAME_CALL);
	emit_mov_ri(&g->e, H_R9, in->imm2);
	emit_store(&g->e, H_R9, FRAME_FAR);
	return true;
}

static bool gen_far_pointer_mem(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (!gen_operand(g, in, TLB_READ, in->op_size + 2u, &disp))
		return false;
	gen_fold(g, disp);
	gen_far_pointer(g, in->op_size);
	return true;
}

/* Both words at once, so none is written if one cannot be. */
static void gen_push_far(struct gen *g, unsigned size)
{
	s32 disp;

	gen_stack_operand(g, -2 * (s32)size, TLB_WRITE, 2 * size, &disp);
	gen_fold(g, disp);
	gen_load_selector(g, SEG_CS);
	gen_store_r10(g, (s32)size, size);
	emit_mov_ri(&g->e, H_R10, gen_next_rip(g));
	gen_store_r10(g, 0, size);
	gen_move_sp(g, -2 * (s32)size);
}

static bool gen_far(struct gen *g, const struct insn *in, bool call)
{
	if (!gen_far_real(g) || !gen_stack_fits(g, in->op_size) ||
		!(in->is_mem ? gen_far_pointer_mem(g, in) : gen_far_pointer_imm(g, in)))
		return false;
	if (call)
		gen_push_far(g, in->op_size);
	gen_enter_segment(g);
	return true;
}

bool gen_jmp_far(struct gen *g, const struct insn *in)
{
	return gen_far(g, in, false);
}

bool gen_call_far(struct gen *g, const struct insn *in)
{
	return gen_far(g, in, true);
}

bool gen_ret_far(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (!gen_far_real(g) || !gen_stack_fits(g, in->op_size))
		return false;
	gen_stack_operand(g, 0, TLB_READ, 2u * in->op_size, &disp);
	gen_fold(g, disp);
	gen_far_pointer(g, in->op_size);
	gen_move_sp(g, (s32)(2u * in->op_size + (in->imm_len ? (u16)in->imm : 0)));
	gen_enter_segment(g);
	return true;
}

/* ---- interrupts ---- */

/*
 * To step() if a flag above the lowest 16 is set that lives in memory: AC, which INT clears, and rare ones.
 */
static void gen_no_high_flags(struct gen *g)
{
	struct emit *e = &g->e;

	emit_store(e, H_RCX, FRAME_RCX);
	emit_load32(e, H_RCX, CPU_SYS_FLAGS);
	emit_rorx(e, false, H_RCX, H_RCX, 16);
	emit_movzx16(e, H_RCX, H_RCX);
	gen_unless_zero(g, true);
	emit_load(e, H_RCX, FRAME_RCX);
}

/* FRAME_CALL, FRAME_FAR = entry of the vector table */
static void gen_vector(struct gen *g, u8 vector)
{
	struct emit *e = &g->e;
	s32 offset = vector * 4;

	emit_store(e, H_RCX, FRAME_RCX);
	emit_load16(e, H_RCX, FIELD(idt.limit));
	emit_mov_ri(e, H_R9, (u64)offset + 3);
	gen_unless_below(g, H_R9, 0);
	emit_load(e, H_RCX, FRAME_RCX);
	emit_load32(e, H_R10, FIELD(idt.base));
	emit_lea(e, false, H_R10, H_R10, REG_NONE, 1, offset);
	gen_check(g, TLB_READ, 4);
	gen_fold(g, 0);
	gen_far_pointer(g, 2);
}

bool gen_int_imm(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;
	s32 disp;

	if (!gen_far_real(g) || (g->t.key & (BK_V86 | BK_VIEW_AC | BK_TAP_INT)))
		return false;
	gen_no_high_flags(g);
	gen_vector(g, (u8)in->imm);
	gen_flags_image(g);
	emit_store(e, H_R9, FRAME_FLAGS);
	gen_stack_operand(g, -6, TLB_WRITE, 6, &disp);
	gen_fold(g, disp);
	emit_load(e, H_R10, FRAME_FLAGS);
	gen_store_r10(g, 4, 2);
	gen_load_selector(g, SEG_CS);
	gen_store_r10(g, 2, 2);
	emit_mov_ri(e, H_R10, gen_next_rip(g));
	gen_store_r10(g, 0, 2);
	gen_move_sp(g, -6);
	gen_set32(g, CPU_IFLAG, 0);
	gen_enter_segment(g);
	return true;
}

/* The 16-bit form. It ends the blocking of NMIs (SDM 3:6.7.1), which is step()'s business if there is any. */
bool gen_iret(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;
	s32 disp;

	if (!gen_far_real(g) || (g->t.key & BK_V86) || in->op_size != 2)
		return false;
	gen_unless_byte(g, FIELD(nmi_masked));
	gen_stack_operand(g, 0, TLB_READ, 6, &disp);
	gen_fold(g, disp);
	emit_movzx_rm(e, 2, H_R10, at_reg(H_R9, 4));
	emit_store(e, H_R10, FRAME_FLAGS);
	gen_far_pointer(g, 2);
	emit_load(e, H_R9, FRAME_FLAGS);
	gen_new_flags(g, 2);
	gen_move_sp(g, 6);
	gen_put_flags(g);
	gen_enter_segment(g);
	return true;
}
