/* SPDX-License-Identifier: MIT */
/*
 * movs and stos of 64-bit code, with and without rep, inline as long as they stay in their pages; what does not, and
 * everything odd, goes through step(), which works page by page. Compilers clear and copy structures this way, kernels
 * pages. The host's own instruction runs on host addresses; the differences to the guest's are kept in SLOT_STRING_* so
 * that a host fault in the middle can be turned back (run.c).
 *
 * Outside 64-bit mode single elements of all string instructions are inline, and repeated ones go through step().
 */
#include "engine/jit/gen.h"
#include "engine/core/layout.h"

static bool repeated(const struct insn *in)
{
	return in->pfx & (PFX_REP | PFX_REPNE);
}

/* ---- 64-bit code ---- */

/*
 * r9 = host address of guest pointer ptr, from where the instruction goes upwards, within the page; slot = guest minus
 * host. r10 is lost, and the flags if it is repeated.
 */
static void gen_host_pointer(
	struct gen *g, const struct insn *in, unsigned ptr, unsigned kind, unsigned slot)
{
	struct emit *e = &g->e;

	emit_mov_rr(e, H_R10, ptr);
	gen_check(g, kind, in->op_size);
	gen_fold(g, 0);
	if (repeated(in)) {
		emit_lea(e, true, H_R10, H_R10, H_RCX, in->op_size, 0);
		emit_alu_ri(e, true, ALU_CMP, H_R10, PAGE_SIZE);
		gen_cold(g, emit_jcc32(e, CC_A), REC_STEP, false);
	}
	emit_mov_rr(e, H_R10, H_R9);
	emit_not(e, H_R10);
	emit_lea(e, true, H_R10, H_R10, ptr, 1, 1);
	emit_store(e, H_R10, CPU_SCRATCH(slot));
}

/* The pointers of the host, in rdi and at FRAME_CALL. */
static void gen_host_pointers(struct gen *g, const struct insn *in, bool movs)
{
	if (movs) {
		gen_host_pointer(g, in, RSI, TLB_READ, SLOT_STRING_SRC);
		emit_store(&g->e, H_R9, FRAME_CALL);
	}
	gen_host_pointer(g, in, RDI, TLB_WRITE, SLOT_STRING_DST);
	emit_mov_rr(&g->e, RDI, H_R9);
}

static void gen_flags_back(struct gen *g)
{
	emit_load(&g->e, H_R9, FRAME_FLAGS);
	emit_push(&g->e, H_R9);
	emit_popf(&g->e);
}

/*
 * Repeated upwards and at most a page. Flags that are alive are put aside meanwhile: all ways to step() from here, those
 * since cold, lead by the place where they are put back.
 */
static void gen_repeat(struct gen *g, const struct insn *in, bool movs)
{
	struct emit *e = &g->e;
	unsigned cold = g->cold_count;
	bool live = g->flags_live[g->now];
	u8 *over;

	emit_pushf(e);
	emit_pop(e, H_R9);
	emit_store(e, H_R9, FRAME_FLAGS);
	emit_test_ri(e, H_R9, FL_DF);
	gen_cold(g, emit_jcc32(e, CC_NE), REC_STEP, false);
	emit_alu_ri(e, true, ALU_CMP, H_RCX, PAGE_SIZE / in->op_size);
	gen_cold(g, emit_jcc32(e, CC_A), REC_STEP, false);
	g->flags_live[g->now] = false;
	gen_host_pointers(g, in, movs);
	g->flags_live[g->now] = live;
	if (!live)
		return;
	gen_flags_back(g);
	over = emit_jmp32(e);
	while (g->cold_count > cold)
		emit_patch32(g->cold[--g->cold_count].from, e->p);
	gen_flags_back(g);
	gen_cold(g, emit_jmp32(e), REC_STEP, false);
	emit_patch32(over, e->p);
}

/* reg = reg + slot */
static void gen_back(struct gen *g, unsigned reg, unsigned slot)
{
	emit_load(&g->e, H_R9, CPU_SCRATCH(slot));
	emit_lea(&g->e, true, reg, reg, H_R9, 1, 0);
}

/* movs, stos */
static bool gen_string64(struct gen *g, const struct insn *in, bool movs)
{
	if (in->addr_size != 8 || in->seg == SEG_FS || in->seg == SEG_GS)
		return false;
	if (repeated(in))
		gen_repeat(g, in, movs);
	else
		gen_host_pointers(g, in, movs);
	if (movs)
		emit_load(&g->e, RSI, FRAME_CALL);
	emit_string(&g->e, in->opcode, in->op_size, repeated(in));
	gen_back(g, RDI, SLOT_STRING_DST);
	if (movs)
		gen_back(g, RSI, SLOT_STRING_SRC);
	return true;
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

bool gen_movs(struct gen *g, const struct insn *in)
{
	return g->long_mode ? gen_string64(g, in, true) : gen_two_pointers(g, in, TLB_WRITE);
}

bool gen_stos(struct gen *g, const struct insn *in)
{
	return g->long_mode ? gen_string64(g, in, false)
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
