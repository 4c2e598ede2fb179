/* SPDX-License-Identifier: MIT */
/*
 * Control transfers. A direct branch within the page becomes a jump that is patched to its target once that
 * exists, one to another page does so behind a check of that page (pagelink.h). Everything else looks its target up in the
 * cpu's jump table. What is checked and looked up is emptied when mappings change; so no generated code outlives the address
 * translation it was made under.
 *
 * While an exit is requested jump_mask and page_mask are 0: every look-up then finds entry 0, which leads out. Loops of
 * direct branches in a page come out because the targets of backward branches poll (translate.c).
 */
#include "engine/jit/gen.h"
#include "engine/jit/pagelink.h"
#include "engine/core/layout.h"

/* By distance: a page begins where the linear address says, and rip is relative to the segment. */
static u64 offset_in_page(const struct gen *g, u64 target)
{
	return (g->t.gpa & ~PAGE_MASK) + (target - g->t.rip);
}

static bool same_page(const struct gen *g, u64 target)
{
	return offset_in_page(g, target) < PAGE_SIZE;
}

/* What may reach into the next page is entered by the jump table only. */
static bool linkable(const struct gen *g, u64 target)
{
	return offset_in_page(g, target) <= PAGE_SIZE - INSN_MAX;
}

static u64 rel_target(const struct gen *g, const struct insn *in)
{
	u64 t = gen_next_rip(g) + in->imm;

	return in->op_size == 8 ? t : in->op_size == 4 ? (u32)t : (u16)t;
}

/* In 64-bit code 66 before a near branch has no effect on some processors and cuts the target on others. */
static bool near_size(const struct gen *g, const struct insn *in)
{
	return in->op_size == 8 || !g->long_mode;
}

/* Is a constant target within the segment, or can be looked at when the time has come? */
static bool target_possible(const struct gen *g, const struct insn *in)
{
	if (g->t.movable && in->op_size == 2)
		return false; /* the target is no constant distance away */
	return near_size(g, in) && (!(g->t.key & BK_LIMIT64K) || rel_target(g, in) <= 0xffff);
}

static bool look_at_limit(const struct gen *g)
{
	return g->t.key & BK_LIMIT_ODD;
}

static void gen_target_limit(struct gen *g, u64 target)
{
	if (!look_at_limit(g))
		return;
	emit_mov_ri(&g->e, H_R9, target);
	gen_code_limit(g);
}

void gen_indirect(struct gen *g)
{
	if (!g->flat) {
		emit_load(&g->e, H_R10, offsetof(struct cpu, code_tag));
		emit_lea(&g->e, true, H_R9, H_R9, H_R10, 1, 0);
	}
	gen_indirect_tagged(g);
}

void gen_indirect_tagged(struct gen *g)
{
	if (g->jump_table < 0)
		gen_cold(g, emit_jmp32(&g->e), REC_INDIRECT, false);
	else
		gen_cold(g, emit_jump_lookup(&g->e, (unsigned)g->jump_table), REC_INDIRECT, true);
}

/*
 * Displacements of links are changed while other cpus execute them, so they must be written in one piece:
 * aligned. opcode: bytes before the displacement.
 */
static void gen_align_link(struct gen *g, unsigned opcode)
{
	emit_nop(&g->e, -((u64)g->e.p + opcode) & 3);
}

static u8 *gen_link_jmp(struct gen *g)
{
	gen_align_link(g, 1);
	return emit_jmp32(&g->e);
}

static u8 *gen_link_jcc(struct gen *g, unsigned cc)
{
	gen_align_link(g, 2);
	return emit_jcc32(&g->e, cc);
}

static void gen_link(struct gen *g, u8 *jump_disp, u64 target)
{
	gen_cold(g, jump_disp, REC_LINK, false);
	g->cold[g->cold_count - 1].target = (s32)(target - g->t.rip);
}

/*
 * To another page: by a link, if its code is the code that the link was made for (pagelink.c). Until it is linked both jumps
 * lead out.
 */
static void gen_pagelink(struct gen *g, u64 target)
{
	bool user = gen_cpl(g) == 3;
	struct emit *e = &g->e;
	u8 *token, *out, *jump;

	gen_rip(g, H_R9, target & PAGE_MASK, g->long_mode);
	emit_pext_rm(e, H_R10, H_R9, at_field(CPU_PAGE_MASK));
	emit_store(e, H_RCX, FRAME_RCX);
	emit_mov_rm(e, 8, H_RCX, at_entry(offsetof(struct cpu, pagelinks.entry[user]), H_R10));
	gen_align_link(g, PAGELINK_LEA);
	emit_lea(e, true, H_RCX, H_RCX, H_R9, 1, -PAGELINK_NONE);
	token = e->p - 4;
	out = emit_jmp32_unless_rcxz(e);
	gen_cold(g, out, REC_PAGELINK, true);
	g->cold[g->cold_count - 1].target = (s32)(target - g->t.rip);
	g->cold[g->cold_count - 1].retry = token;
	emit_load(e, H_RCX, FRAME_RCX);
	emit_store(e, H_R9, FRAME_PAGE);
	jump = gen_link_jmp(g);
	uv_assert(jump - token == PAGELINK_JUMP);
	emit_patch32(jump, out - 1);
}

void gen_goto(struct gen *g, u64 target)
{
	if (linkable(g, target))
		gen_link(g, gen_link_jmp(g), target);
	else if (g->flat && g->width != 2 && !same_page(g, target))
		gen_pagelink(g, target);
	else
		gen_goto_far(g, target);
}

void gen_goto_far(struct gen *g, u64 target)
{
	gen_rip(g, H_R9, target, g->long_mode);
	gen_indirect(g);
}

/* What comes behind it follows in the block, or translate.c leads there. */
bool gen_jcc(struct gen *g, const struct insn *in)
{
	u64 target = rel_target(g, in);
	unsigned cc = in->opcode & 15;
	u8 *over;

	if (!target_possible(g, in))
		return false;
	if (linkable(g, target) && !look_at_limit(g)) {
		gen_link(g, gen_link_jcc(g, cc), target);
	} else {
		over = emit_jcc32(&g->e, cc ^ 1);
		gen_target_limit(g, target);
		gen_goto(g, target);
		emit_patch32(over, g->e.p);
	}
	return true;
}

bool gen_jmp_rel(struct gen *g, const struct insn *in)
{
	u64 target = rel_target(g, in);

	if (!target_possible(g, in))
		return false;
	gen_target_limit(g, target);
	gen_goto(g, target);
	return true;
}

bool gen_call_rel(struct gen *g, const struct insn *in)
{
	u64 target = rel_target(g, in);

	if (!target_possible(g, in) || !gen_stack_fits(g, in->op_size))
		return false;
	gen_target_limit(g, target);
	gen_push_next_rip(g, in->op_size);
	gen_goto(g, target);
	return true;
}

/* r9 = [r9 + r10 + disp], as wide as the operand size has instruction pointers */
static void gen_load_target(struct gen *g, s32 disp, unsigned size)
{
	if (size == 2)
		emit_movzx_rm(&g->e, 2, H_R9, at_sum(H_R9, H_R10, disp));
	else
		emit_mov_rm(&g->e, size, H_R9, at_sum(H_R9, H_R10, disp));
}

static void gen_register_target(struct gen *g, const struct insn *in)
{
	unsigned reg = gen_source(g, in->rm, H_R9);

	if (in->op_size == 8)
		emit_mov_rr(&g->e, H_R9, reg);
	else if (in->op_size == 4)
		emit_mov_rr32(&g->e, H_R9, reg);
	else
		emit_movzx16(&g->e, H_R9, reg);
}

/* r9 = value of the r/m operand */
static bool gen_rm_target(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (!in->is_mem) {
		gen_register_target(g, in);
	} else {
		if (!gen_operand(g, in, TLB_READ, in->op_size, &disp))
			return false;
		gen_load_target(g, disp, in->op_size);
	}
	if (look_at_limit(g))
		gen_code_limit(g);
	return true;
}

bool gen_call_rm(struct gen *g, const struct insn *in)
{
	if (!gen_stack_fits(g, in->op_size) || !near_size(g, in) || !gen_rm_target(g, in))
		return false;
	emit_store(&g->e, H_R9, FRAME_CALL);
	gen_push_next_rip(g, in->op_size);
	emit_load(&g->e, H_R9, FRAME_CALL);
	gen_indirect(g);
	return true;
}

bool gen_jmp_rm(struct gen *g, const struct insn *in)
{
	if (!near_size(g, in) || !gen_rm_target(g, in))
		return false;
	gen_indirect(g);
	return true;
}

bool gen_ret(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (!near_size(g, in) || !gen_stack_fits(g, in->op_size))
		return false;
	gen_stack_operand(g, 0, TLB_READ, in->op_size, &disp);
	gen_load_target(g, disp, in->op_size);
	if (look_at_limit(g))
		gen_code_limit(g);
	gen_move_sp(g, in->op_size + (in->imm_len ? (u16)in->imm : 0));
	gen_indirect(g);
	return true;
}

/* ---- branches on the count register ---- */

/* rcx, as wide as addresses are, less one; r9 = rcx and rcx = the count alone, for jrcxz */
static void gen_count(struct gen *g, const struct insn *in, s32 by)
{
	struct emit *e = &g->e;

	if (by && in->addr_size == 2)
		emit_lea16(e, H_RCX, H_RCX, REG_NONE, by);
	else if (by)
		emit_lea(e, in->addr_size == 8, H_RCX, H_RCX, REG_NONE, 1, by);
	emit_mov_rr(e, H_R9, H_RCX);
	if (in->addr_size == 2)
		emit_movzx16(e, H_RCX, H_RCX);
	else if (in->addr_size == 4)
		emit_mov_rr32(e, H_RCX, H_RCX);
}

static bool countable(const struct gen *g, const struct insn *in)
{
	return target_possible(g, in) && !look_at_limit(g);
}

/* E0 LOOPNE, E1 LOOPE, E2 LOOP */
bool gen_loop(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;
	u8 *more, *over = NULL;

	if (!countable(g, in))
		return false;
	gen_count(g, in, -1);
	more = emit_jmp32_unless_rcxz(e);
	emit_mov_rr(e, H_RCX, H_R9);
	gen_goto(g, gen_next_rip(g));
	emit_patch32(more, e->p);
	emit_mov_rr(e, H_RCX, H_R9);
	if (in->opcode != 0xe2)
		over = emit_jcc32(e, in->opcode == 0xe0 ? CC_E : CC_NE);
	gen_goto(g, rel_target(g, in));
	if (over) {
		emit_patch32(over, e->p);
		gen_goto(g, gen_next_rip(g));
	}
	return true;
}

bool gen_jcxz(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;
	u8 *more;

	if (!countable(g, in))
		return false;
	gen_count(g, in, 0);
	more = emit_jmp32_unless_rcxz(e);
	emit_mov_rr(e, H_RCX, H_R9);
	gen_goto(g, rel_target(g, in));
	emit_patch32(more, e->p);
	emit_mov_rr(e, H_RCX, H_R9);
	gen_goto(g, gen_next_rip(g));
	return true;
}
