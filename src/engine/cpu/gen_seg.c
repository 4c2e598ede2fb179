/* SPDX-License-Identifier: MIT */
/*
 * Segmentation in generated code. Flat code has none of it, 64-bit code only the bases of fs and gs. Everywhere else
 * bases and limits are read at run time (cpu.h: seg_last), because they change more often than code is
 * translated. With BK_WIDE a 16-bit offset needs a check only where an access may straddle 64 KiB.
 *
 * Real mode loads segment registers here: selector and base, no more. So do far transfers, which end in the jump
 * table like any other indirect branch, with the new segment's tag.
 */
#include "engine/cpu/gen.h"
#include "engine/cpu/layout.h"
#include "engine/cpu/rewrite.h"

#define LAST(kind, seg)                                                                            \
	((u32)(offsetof(struct cpu, seg_last) + sizeof(s64) * ((kind) * (SEG_GS + 1) + (seg))))
#define SELECTOR(seg_)                                                                             \
	((u32)(offsetof(struct cpu, seg[0].selector) + sizeof(struct segment) * (seg_)))
#define BASE(seg_) ((u32)(offsetof(struct cpu, seg[0].base) + sizeof(struct segment) * (seg_)))
#define CODE_TAG   ((u32)offsetof(struct cpu, code_tag))
#define CS_LIMIT   ((u32)offsetof(struct cpu, seg[SEG_CS].limit))

/* ---- checks ---- */

/* jecxz or jrcxz over a jump to step(), which gets rcx back. */
static void gen_unless_zero(struct gen *g, bool wide)
{
	if (!wide)
		emit8(&g->e, 0x67);
	emit8(&g->e, 0xe3);
	emit8(&g->e, 5);
	gen_cold(g, emit_jmp32(&g->e), REC_STEP, true);
}

/* r10 + size <= 64 KiB */
static void gen_limit_64k(struct gen *g, unsigned size)
{
	struct emit *e = &g->e;

	if (!g->flags_live[g->now]) {
		emit8(e, 0x41); /* cmp r10d, imm32 */
		emit8(e, 0x81);
		emit8(e, 0xfa);
		emit32(e, 0x10000 - size);
		gen_cold(g, emit_jcc32(e, CC_A), REC_STEP, false);
		return;
	}
	emit_store_frame(e, H_RCX, FRAME_RCX);
	emit_lea(e, false, H_RCX, H_R10, REG_NONE, 1, (s32)size - 1);
	emit_rorx(e, false, H_RCX, H_RCX, 16);
	emit_movzx16(e, H_RCX, H_RCX);
	gen_unless_zero(g, true);
	emit_load_frame(e, H_RCX, FRAME_RCX);
}

/* rcx = rcx - reg - more, a difference of 32-bit numbers; to step() if it is negative. reg is lost. */
static void gen_unless_below(struct gen *g, unsigned reg, s32 more)
{
	struct emit *e = &g->e;

	emit8(e, 0x49); /* not reg: -reg - 1, and no flag changes */
	emit8(e, 0xf7);
	emit8(e, 0xd0 | (reg & 7));
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
		emit_gs(e, true, 0x3b, H_R9, LAST(kind, seg)); /* cmp r9, gs:[last] */
		gen_cold(g, emit_jcc32(e, CC_G), REC_STEP, false);
		return;
	}
	emit_store_frame(e, H_RCX, FRAME_RCX);
	emit_load(e, H_RCX, LAST(kind, seg));
	emit_mov_rr(e, H_R9, H_R10);
	gen_unless_below(g, H_R9, (s32)size - 1);
	emit_load_frame(e, H_RCX, FRAME_RCX);
}

void gen_code_limit(struct gen *g)
{
	struct emit *e = &g->e;

	emit_store_frame(e, H_RCX, FRAME_RCX);
	emit_load32(e, H_RCX, CS_LIMIT);
	emit_mov_rr(e, H_R10, H_R9);
	gen_unless_below(g, H_R10, 0);
	emit_load_frame(e, H_RCX, FRAME_RCX);
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
	emit_gs(&g->e, g->long_mode, 0x8b, H_R9, BASE(at->seg));
	emit_lea(&g->e, g->long_mode, H_R10, H_R10, H_R9, 1, 0);
	return true;
}

/* ---- segment registers in real mode ---- */

/* op word gs:[selector of seg], r9w or the like */
static void gen_selector(struct gen *g, u8 op, unsigned reg, unsigned seg)
{
	emit8(&g->e, 0x66);
	emit_gs(&g->e, false, op, reg, SELECTOR(seg));
}

/* seg = selector in r9, zero-extended; r9 = base */
static void gen_load_real(struct gen *g, unsigned seg)
{
	struct emit *e = &g->e;

	gen_selector(g, 0x89, H_R9, seg);
	emit_lea(e, false, H_R9, REG_NONE, H_R9, 8, 0);
	emit_lea(e, false, H_R9, H_R9, H_R9, 1, 0);
	emit_store(e, H_R9, BASE(seg));
}

/* The shadow of a new ss covers the next instruction: not at the end of a block, where interrupts are looked for. */
static bool loadable(const struct gen *g, unsigned seg)
{
	return gen_real_segments(g) && seg <= SEG_GS && seg != SEG_CS &&
	       (seg != SEG_SS || g->now + 1 < g->count);
}

/* movzx r9d, word [r9 + r10 + disp] */
static void gen_load_word(struct gen *g, s32 disp)
{
	emit8(&g->e, 0x47);
	emit8(&g->e, 0x0f);
	emit8(&g->e, 0xb7);
	emit_modrm_mem(&g->e, H_R9, H_R9, H_R10, 1, disp);
}

static bool gen_mov_to_seg(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (!loadable(g, in->reg))
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

static bool gen_pop_seg(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (!loadable(g, in->reg) || !gen_stack_fits(g, in->op_size))
		return false;
	gen_stack_operand(g, 0, TLB_READ, in->op_size, &disp);
	gen_load_word(g, disp);
	gen_load_real(g, in->reg);
	gen_move_sp(g, in->op_size);
	return true;
}

static unsigned far_load_segment(const struct insn *in)
{
	switch (in->opcode) {
	case 0xc4: return SEG_ES;
	case 0xc5: return SEG_DS;
	case 0xb2: return SEG_SS;
	case 0xb4: return SEG_FS;
	default: return SEG_GS;
	}
}

/* LSS has no shadow (SDM 3:6.8.3). */
static bool gen_load_far(struct gen *g, const struct insn *in)
{
	unsigned dst = in->reg == RSP ? H_R11 : in->reg;
	s32 disp;

	if (!gen_real_segments(g) || !gen_operand(g, in, TLB_READ, in->op_size + 2u, &disp))
		return false;
	gen_fold(g, disp);
	emit8(&g->e, 0x45); /* movzx r10d, word [r9 + op_size] */
	emit8(&g->e, 0x0f);
	emit8(&g->e, 0xb7);
	emit_modrm_mem(&g->e, H_R10, H_R9, REG_NONE, 1, in->op_size);
	if (in->op_size == 2)
		emit8(&g->e, 0x66);
	emit8(&g->e, 0x41 | (dst >= 8 ? 4 : 0)); /* mov dst, [r9] */
	emit8(&g->e, 0x8b);
	emit_modrm_mem(&g->e, dst, H_R9, REG_NONE, 1, 0);
	emit_mov_rr32(&g->e, H_R9, H_R10);
	gen_load_real(g, far_load_segment(in));
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

	emit_load_frame(e, H_R9, FRAME_FAR);
	gen_load_real(g, SEG_CS);
	emit_movzx16(e, H_R10, H_R9);
	emit_rorx(e, true, H_R9, H_R9, 32);
	emit_lea(e, true, H_R9, H_R9, H_R10, 1, 0);
	emit_store(e, H_R9, CODE_TAG);
	emit_load_frame(e, H_R10, FRAME_CALL);
	emit_lea(e, true, H_R9, H_R9, H_R10, 1, 0);
	gen_indirect_tagged(g);
}

/* FRAME_CALL, FRAME_FAR = far pointer at [r9], whose offset must be below 64 KiB */
static void gen_far_pointer(struct gen *g, unsigned size)
{
	struct emit *e = &g->e;

	emit8(e, 0x45); /* movzx r10d, word [r9 + size] */
	emit8(e, 0x0f);
	emit8(e, 0xb7);
	emit_modrm_mem(e, H_R10, H_R9, REG_NONE, 1, (s32)size);
	emit_store_frame(e, H_R10, FRAME_FAR);
	emit8(e, 0x45);
	if (size == 2) { /* movzx r9d, word [r9]; or mov r9d, [r9] */
		emit8(e, 0x0f);
		emit8(e, 0xb7);
	} else {
		emit8(e, 0x8b);
	}
	emit_modrm_mem(e, H_R9, H_R9, REG_NONE, 1, 0);
	emit_store_frame(e, H_R9, FRAME_CALL);
	if (size == 2)
		return;
	emit_store_frame(e, H_RCX, FRAME_RCX);
	emit_rorx(e, false, H_RCX, H_R9, 16);
	emit_movzx16(e, H_RCX, H_RCX);
	gen_unless_zero(g, true);
	emit_load_frame(e, H_RCX, FRAME_RCX);
}

static bool gen_far_pointer_imm(struct gen *g, const struct insn *in)
{
	u32 offset = in->op_size == 2 ? (u16)in->imm : (u32)in->imm;

	if (offset > 0xffff)
		return false;
	emit_mov_imm(&g->e, H_R9, offset);
	emit_store_frame(&g->e, H_R9, FRAME_CALL);
	emit_mov_imm(&g->e, H_R9, in->imm2);
	emit_store_frame(&g->e, H_R9, FRAME_FAR);
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
	emit8(&g->e, 0x65); /* movzx r10d, word gs:[cs] */
	emit8(&g->e, 0x44);
	emit8(&g->e, 0x0f);
	emit8(&g->e, 0xb7);
	emit8(&g->e, 0x14);
	emit8(&g->e, 0x25);
	emit32(&g->e, SELECTOR(SEG_CS));
	gen_store_r10(g, (s32)size, size);
	emit_mov_imm(&g->e, H_R10, gen_next_rip(g));
	gen_store_r10(g, 0, size);
	gen_move_sp(g, -2 * (s32)size);
}

static bool gen_far(struct gen *g, const struct insn *in, bool mem, bool call)
{
	if (!gen_far_real(g) || !gen_stack_fits(g, in->op_size) ||
		!(mem ? gen_far_pointer_mem(g, in) : gen_far_pointer_imm(g, in)))
		return false;
	if (call)
		gen_push_far(g, in->op_size);
	gen_enter_segment(g);
	return true;
}

static bool gen_ret_far(struct gen *g, const struct insn *in)
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

bool gen_segment_insn(struct gen *g, const struct insn *in)
{
	switch (in->desc->op) {
	case OP_MOV_TO_SEG: return gen_mov_to_seg(g, in);
	case OP_POP_SEG: return gen_pop_seg(g, in);
	case OP_LOAD_FAR: return gen_load_far(g, in);
	case OP_JMP_FAR_IMM: return gen_far(g, in, false, false);
	case OP_JMP_FAR_M: return gen_far(g, in, true, false);
	case OP_CALL_FAR_IMM: return gen_far(g, in, false, true);
	case OP_CALL_FAR_M: return gen_far(g, in, true, true);
	case OP_RET_FAR: return gen_ret_far(g, in);
	default: return false;
	}
}
