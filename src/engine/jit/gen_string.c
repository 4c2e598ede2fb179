/* SPDX-License-Identifier: MIT */
/*
 * Short movs and stos, with and without rep, inline; long ones and everything odd go through step(), which
 * works page by page. Compilers clear and copy small structures this way.
 *
 * At most SHORT bytes from pointers that are at least as far from both ends of their page: then the direction
 * flag does not matter. The host's own instruction runs on host addresses; the differences to the guest's are kept
 * in SLOT_STRING_* so that a host fault in the middle can be turned back (run.c).
 *
 * Outside 64-bit mode single elements of all string instructions are inline, and repeated ones go through step().
 */
#include "engine/jit/gen.h"
#include "engine/core/layout.h"

#define SHORT 128

static bool repeated(const struct insn *in)
{
	return in->pfx & (PFX_REP | PFX_REPNE);
}

/*
 * r9 = host address of guest pointer ptr; slot = guest minus host. r10 is lost. Needs dead flags.
 */
static void gen_host_pointer(struct gen *g, unsigned ptr, unsigned kind, unsigned slot)
{
	struct emit *e = &g->e;

	emit_mov_rr(e, H_R10, ptr);
	gen_check(g, kind, SHORT);
	emit_alu_ri(&g->e, true, ALU_CMP, H_R10, SHORT);
	gen_cold(g, emit_jcc32(e, CC_B), REC_STEP, false);
	emit_lea(e, true, H_R9, H_R9, H_R10, 1, 0);
	emit_mov_rr(e, H_R10, ptr);
	emit_alu_rr(e, true, ALU_SUB, H_R10, H_R9);
	emit_store(e, H_R10, CPU_SCRATCH(slot));
}

/* add reg, [slot] */
static void gen_back(struct gen *g, unsigned reg, unsigned slot)
{
	emit_alu_rm(&g->e, true, ALU_ADD, reg, at_field(CPU_SCRATCH(slot)));
}

static bool suitable(const struct gen *g, const struct insn *in)
{
	return g->long_mode && in->addr_size == 8 && !g->flags_live[g->now] && in->seg != SEG_FS &&
	       in->seg != SEG_GS;
}

/* ---- outside 64-bit mode: single elements of all of them ---- */

static bool single(const struct gen *g, const struct insn *in)
{
	return !g->long_mode && !repeated(in);
}

/* r9 = host address of the element that ptr points to. False: not possible here. */
static bool gen_element(
	struct gen *g, const struct insn *in, unsigned ptr, unsigned seg, unsigned kind)
{
	struct gen_offset at = {.seg = (u8)seg, .width = in->addr_size};

	if (in->addr_size == 2)
		emit_movzx16(&g->e, H_R10, ptr);
	else
		emit_mov_rr32(&g->e, H_R10, ptr);
	if (!gen_linear(g, &at, kind, in->op_size))
		return false;
	gen_check(g, kind, in->op_size);
	gen_fold(g, 0);
	return true;
}

/* r9, the host address that the host's instruction has moved ptr on from, becomes what it was moved by. */
static void gen_moved_by(struct gen *g, unsigned ptr)
{
	emit_not(&g->e, H_R9);
	emit_lea(&g->e, true, H_R9, ptr, H_R9, 1, 1);
}

/* Add r9 to the guest's pointer, as wide as addresses are. */
static void gen_add_pointer(struct gen *g, const struct insn *in, unsigned ptr)
{
	if (in->addr_size == 2)
		emit_lea16(&g->e, ptr, ptr, H_R9, 0);
	else
		emit_lea(&g->e, false, ptr, ptr, H_R9, 1, 0);
}

/* What locate_fault() puts back. */
static void gen_save_pointers(struct gen *g)
{
	emit_store(&g->e, RSI, CPU_SCRATCH(SLOT_STRING_SRC));
	emit_store(&g->e, RDI, CPU_SCRATCH(SLOT_STRING_DST));
}

/* lods, stos, scas: all in registers. */
static bool gen_one_pointer(
	struct gen *g, const struct insn *in, unsigned ptr, unsigned seg, unsigned kind)
{
	struct emit *e = &g->e;

	if (!single(g, in) || !gen_element(g, in, ptr, seg, kind))
		return false;
	gen_save_pointers(g);
	emit_mov_rr(e, H_R10, ptr);
	emit_mov_rr(e, ptr, H_R9);
	emit_string(&g->e, in->opcode, in->op_size, false);
	gen_moved_by(g, ptr);
	emit_mov_rr(e, ptr, H_R10);
	gen_add_pointer(g, in, ptr);
	return true;
}

/* movs, cmps */
static bool gen_two_pointers(struct gen *g, const struct insn *in, unsigned kind)
{
	struct emit *e = &g->e;

	if (!single(g, in) || !gen_element(g, in, RSI, in->seg, TLB_READ))
		return false;
	emit_store(e, H_R9, FRAME_CALL);
	if (!gen_element(g, in, RDI, SEG_ES, kind))
		return false;
	gen_save_pointers(g);
	emit_load(e, RSI, FRAME_CALL);
	emit_mov_rr(e, RDI, H_R9);
	emit_string(&g->e, in->opcode, in->op_size, false);
	gen_moved_by(g, RDI);
	emit_load(e, RDI, CPU_SCRATCH(SLOT_STRING_DST));
	gen_add_pointer(g, in, RDI);
	emit_load(e, RSI, CPU_SCRATCH(SLOT_STRING_SRC));
	gen_add_pointer(g, in, RSI);
	return true;
}

/* ---- the instructions ---- */

/* movs, stos of 64-bit code */
static bool gen_short(struct gen *g, const struct insn *in, bool movs)
{
	if (!suitable(g, in))
		return false;
	if (repeated(in)) {
		emit_alu_ri(&g->e, true, ALU_CMP, RCX, SHORT / in->op_size);
		gen_cold(g, emit_jcc32(&g->e, CC_A), REC_STEP, false);
	}
	if (movs) {
		gen_host_pointer(g, RSI, TLB_READ, SLOT_STRING_SRC);
		emit_store(&g->e, H_R9, FRAME_CALL);
	}
	gen_host_pointer(g, RDI, TLB_WRITE, SLOT_STRING_DST);
	emit_mov_rr(&g->e, RDI, H_R9);
	if (movs)
		emit_load(&g->e, RSI, FRAME_CALL);
	emit_string(&g->e, in->opcode, in->op_size, repeated(in));
	gen_back(g, RDI, SLOT_STRING_DST);
	if (movs)
		gen_back(g, RSI, SLOT_STRING_SRC);
	return true;
}

bool gen_movs(struct gen *g, const struct insn *in)
{
	return g->long_mode ? gen_short(g, in, true) : gen_two_pointers(g, in, TLB_WRITE);
}

bool gen_stos(struct gen *g, const struct insn *in)
{
	return g->long_mode ? gen_short(g, in, false)
			    : gen_one_pointer(g, in, RDI, SEG_ES, TLB_WRITE);
}

bool gen_lods(struct gen *g, const struct insn *in)
{
	return gen_one_pointer(g, in, RSI, in->seg, TLB_READ);
}

bool gen_scas(struct gen *g, const struct insn *in)
{
	return gen_one_pointer(g, in, RDI, SEG_ES, TLB_READ);
}

bool gen_cmps(struct gen *g, const struct insn *in)
{
	return gen_two_pointers(g, in, TLB_READ);
}
