/* SPDX-License-Identifier: MIT */
/*
 * Control transfers. A direct branch within the page becomes a jump that is patched to its target once that
 * exists. Everything else looks its target up in the cpu's jump table, which is emptied when mappings
 * change; so no generated code outlives the address translation it was made under.
 *
 * While an exit is requested jump_mask is 0: every look-up then finds entry 0, which leads out. Loops of
 * direct branches come out because the targets of backward branches poll (translate.c).
 */
#include "engine/cpu/gen.h"
#include "engine/cpu/layout.h"
#include "engine/cpu/rewrite.h"

static bool same_page(const struct gen *g, u64 target)
{
	return (target & PAGE_MASK) == (g->t.rip & PAGE_MASK);
}

static u64 rel_target(const struct gen *g, const struct insn *in)
{
	u64 t = gen_next_rip(g) + in->imm;

	return g->long_mode ? t : (u32)t;
}

void gen_indirect(struct gen *g)
{
	struct emit *e = &g->e;
	u32 neg = offsetof(struct cpu, jump[0].neg_rip) +
		  (u32)g->jump_table * sizeof(struct jump_table);
	u32 host =
		offsetof(struct cpu, jump[0].host) + (u32)g->jump_table * sizeof(struct jump_table);

	if (g->jump_table < 0) {
		gen_cold(g, emit_jmp32(e), REC_INDIRECT, false);
		return;
	}
	emit8(e, 0x65); /* pext r10, r9, gs:[jump_mask] */
	emit8(e, 0xc4);
	emit8(e, 0x62);
	emit8(e, 0xb2);
	emit8(e, 0xf5);
	emit8(e, 0x14);
	emit8(e, 0x25);
	emit32(e, CPU_JUMP_MASK);
	emit_store_frame(e, H_RCX, FRAME_RCX);
	emit_gs_index(e, 0x8b, H_RCX, H_R10, neg);
	emit_lea(e, true, H_RCX, H_RCX, H_R9, 1, 0);
	emit8(e, 0xe3); /* jrcxz +5 */
	emit8(e, 5);
	gen_cold(g, emit_jmp32(e), REC_INDIRECT, true);
	emit_load_frame(e, H_RCX, FRAME_RCX);
	emit8(e, 0x65); /* jmp gs:[r10*8 + host] */
	emit8(e, 0x42);
	emit8(e, 0xff);
	emit8(e, 0x24);
	emit8(e, 0xd5);
	emit32(e, host);
}

/*
 * Displacements of links are changed while other cpus execute them, so they must be written in one piece:
 * aligned. opcode: bytes before the displacement.
 */
static void gen_align_link(struct gen *g, unsigned opcode)
{
	static const u8 nops[4][3] = {{0}, {0x90}, {0x66, 0x90}, {0x0f, 0x1f, 0x00}};
	unsigned n = -((u64)g->e.p + opcode) & 3;

	for (unsigned i = 0; i < n; i++)
		emit8(&g->e, nops[n][i]);
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

void gen_goto(struct gen *g, u64 target)
{
	if (same_page(g, target)) {
		gen_link(g, gen_link_jmp(g), target);
		return;
	}
	gen_goto_far(g, target);
}

void gen_goto_far(struct gen *g, u64 target)
{
	emit_mov_imm(&g->e, H_R9, target);
	gen_indirect(g);
}

static bool near_size(const struct gen *g, const struct insn *in)
{
	return in->op_size == (g->long_mode ? 8 : 4);
}

static bool gen_jcc(struct gen *g, const struct insn *in)
{
	u64 target = rel_target(g, in);
	unsigned cc = in->opcode & 15;
	u8 *over;

	if (same_page(g, target)) {
		gen_link(g, gen_link_jcc(g, cc), target);
	} else {
		over = emit_jcc32(&g->e, cc ^ 1);
		gen_goto(g, target);
		emit_patch32(over, g->e.p);
	}
	gen_goto(g, gen_next_rip(g));
	return true;
}

static bool gen_call_rel(struct gen *g, const struct insn *in)
{
	gen_push_const(g, gen_next_rip(g));
	gen_goto(g, rel_target(g, in));
	return true;
}

/* mov r9, [r9 + r10 + disp], as wide as an instruction pointer */
static void gen_load_target(struct gen *g, s32 disp)
{
	emit8(&g->e, 0x40 | (g->long_mode ? 8 : 0) | 4 | 2 | 1);
	emit8(&g->e, 0x8b);
	emit_modrm_mem(&g->e, H_R9, H_R9, H_R10, 1, disp);
}

/* r9 = value of the r/m operand */
static bool gen_rm_target(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (!in->is_mem) {
		emit_mov_rr(&g->e, H_R9, gen_source(g, in->rm, H_R9));
		return true;
	}
	if (!gen_operand(g, in, TLB_READ, g->long_mode ? 8 : 4, &disp))
		return false;
	gen_load_target(g, disp);
	return true;
}

static bool gen_call_rm(struct gen *g, const struct insn *in)
{
	if (!gen_rm_target(g, in))
		return false;
	emit_store_frame(&g->e, H_R9, FRAME_CALL);
	gen_push_const(g, gen_next_rip(g));
	emit_load_frame(&g->e, H_R9, FRAME_CALL);
	gen_indirect(g);
	return true;
}

static bool gen_jmp_rm(struct gen *g, const struct insn *in)
{
	if (!gen_rm_target(g, in))
		return false;
	gen_indirect(g);
	return true;
}

static bool gen_ret(struct gen *g, const struct insn *in)
{
	unsigned width = g->long_mode ? 8 : 4;
	s32 disp;

	gen_stack_operand(g, 0, TLB_READ, width, &disp);
	gen_load_target(g, disp);
	emit_lea(&g->e, g->long_mode, H_R11, H_R11, REG_NONE, 1,
		(s32)(width + (in->imm_len ? (u16)in->imm : 0)));
	gen_indirect(g);
	return true;
}

/* 32-bit code with a 16-bit stack: rare enough for step(). */
static bool stack_fits(const struct gen *g)
{
	return g->long_mode || (g->t.key & BK_STACK32);
}

bool gen_branch(struct gen *g, const struct insn *in)
{
	if (!near_size(g, in))
		return false;
	switch (in->desc->op) {
	case OP_JCC: return gen_jcc(g, in);
	case OP_JMP_REL: gen_goto(g, rel_target(g, in)); return true;
	case OP_JMP_RM: return gen_jmp_rm(g, in);
	case OP_CALL_REL: return stack_fits(g) && gen_call_rel(g, in);
	case OP_CALL_RM: return stack_fits(g) && gen_call_rm(g, in);
	case OP_RET: return stack_fits(g) && gen_ret(g, in);
	default: return false;
	}
}
