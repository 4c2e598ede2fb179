/* SPDX-License-Identifier: MIT */
/*
 * Privileged instructions that are frequent enough to be inline: interrupt flag, flags and their image, time
 * stamp, swapgs. No flag of the host changes but where the guest's would. gen_sysreg.c has those that only read.
 */
#include "engine/jit/gen.h"
#include "engine/core/layout.h"
#include "engine/code/rewrite.h"
#include "engine/jit/translate.h"

void gen_set32(struct gen *g, u32 field, u32 value)
{
	emit_mov_mi(&g->e, 4, at_field(field), value);
}

bool gen_cli(struct gen *g, const struct insn *in)
{
	if (gen_cpl(g) != 0)
		return false;
	gen_set32(g, CPU_IFLAG, 0);
	return true;
}

/*
 * If an interrupt waits the shadow matters, so step() does it. Nothing looks for interrupts within a block; but
 * between blocks, so not the last one of a block either: `sti; hlt` may straddle a page.
 */
bool gen_sti(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;

	if (gen_cpl(g) != 0 || !gen_shadow_fits(g, in))
		return false;
	emit_store(e, H_RCX, FRAME_RCX);
	emit_movzx_rm(e, 1, H_RCX, at_field(FIELD(irq_waiting)));
	gen_cold(g, emit_jmp32_unless_rcxz(e), REC_STEP, true);
	emit_load(e, H_RCX, FRAME_RCX);
	gen_set32(g, CPU_IFLAG, FLAG_IF);
	return true;
}

/* pext, then pdep keep the masked bits, and no host flag changes. */
static void gen_mask_r9(struct gen *g)
{
	emit_pext_rm(&g->e, H_R9, H_R9, at_field(FIELD(flag_mask)));
	emit_pdep_rm(&g->e, H_R9, H_R9, at_field(FIELD(flag_mask)));
}

/* The host's status flags and DF, IF, and the rest as saved on entry. */
void gen_flags_image(struct gen *g)
{
	struct emit *e = &g->e;

	emit_pushf(e);
	emit_pop(e, H_R9);
	gen_mask_r9(g);
	emit_load(e, H_R10, CPU_SYS_FLAGS);
	emit_lea(e, true, H_R9, H_R9, H_R10, 1, 0);
	emit_load32(e, H_R10, CPU_IFLAG);
	emit_lea(e, true, H_R9, H_R9, H_R10, 1, 0);
}

bool gen_pushf(struct gen *g, const struct insn *in)
{
	if (!gen_stack_fits(g, in->op_size) || (g->t.key & BK_V86))
		return false;
	gen_flags_image(g);
	gen_push_r9(g, in->op_size);
	return true;
}

/* Bits that popf may change here and that live elsewhere than in the host's flags and cpu->iflag. */
static u32 popf_system_bits(unsigned size)
{
	u32 bits = FL_TF | FL_IOPL | FL_NT;

	return size == 2 ? bits : bits | FL_RF | FL_VM | FL_AC | FL_VIF | FL_VIP | FL_ID;
}

void gen_unless_byte(struct gen *g, u32 field)
{
	struct emit *e = &g->e;

	emit_alu_mi8(e, 1, ALU_CMP, at_field(field), 0);
	gen_cold(g, emit_jcc32(e, CC_NE), REC_STEP, false);
}

void gen_new_flags(struct gen *g, unsigned size)
{
	struct emit *e = &g->e;
	u8 *off;

	emit_load32(e, H_R10, CPU_SYS_FLAGS);
	emit_alu_rr(e, false, ALU_XOR, H_R10, H_R9);
	emit_test_ri(e, H_R10, popf_system_bits(size));
	gen_cold(g, emit_jcc32(e, CC_NE), REC_STEP, false);
	emit_test_ri(e, H_R9, FL_IF);
	off = emit_jcc32(e, CC_E);
	gen_unless_byte(g, FIELD(irq_waiting));
	emit_patch32(off, e->p);
}

void gen_put_flags(struct gen *g)
{
	struct emit *e = &g->e;

	emit_mov_rr32(e, H_R10, H_R9);
	emit_alu_ri(e, false, ALU_AND, H_R10, FL_IF);
	emit_store32(e, H_R10, CPU_IFLAG);
	emit_alu_ri(e, false, ALU_AND, H_R9, HOST_FLAGS);
	emit_push(e, H_R9);
	emit_popf(e);
}

/* No flag needs to be kept: all are replaced. Like sti not at the end of a block, where interrupts are looked for. */
bool gen_popf(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (gen_cpl(g) != 0 || !gen_stack_fits(g, in->op_size) || g->now + 1 == g->count)
		return false;
	gen_stack_operand(g, 0, TLB_READ, in->op_size, &disp);
	gen_load(g, H_R9, disp, in->op_size);
	gen_new_flags(g, in->op_size);
	gen_move_sp(g, in->op_size);
	gen_put_flags(g);
	return true;
}

/* rdx:rax = host TSC + offset; one of another rate is for step(). rorx and lea leave the flags alone. */
static bool gen_time(struct gen *g, bool with_aux)
{
	struct emit *e = &g->e;

	if (((g->t.key & BK_TSD) && gen_cpl(g) != 0) || (with_aux && (g->t.key & BK_NO_RDTSCP)) ||
		(g->t.key & BK_TSC_SCALED))
		return false;
	if (with_aux)
		emit_rdtscp(e);
	else
		emit_rdtsc(e);
	emit_rorx(e, true, RDX, RDX, 32);
	emit_lea(e, true, RAX, RAX, RDX, 1, 0);
	emit_load(e, H_R9, CPU_TSC_OFFSET);
	emit_lea(e, true, RAX, RAX, H_R9, 1, 0);
	emit_rorx(e, true, RDX, RAX, 32);
	emit_mov_rr32(e, RDX, RDX);
	emit_mov_rr32(e, RAX, RAX);
	if (with_aux)
		emit_load32(e, H_RCX, FIELD(msr.tsc_aux));
	return true;
}

bool gen_rdtsc(struct gen *g, const struct insn *in)
{
	return gen_time(g, false);
}

bool gen_rdtscp(struct gen *g, const struct insn *in)
{
	return gen_time(g, true);
}

bool gen_swapgs(struct gen *g, const struct insn *in)
{
	if (!g->long_mode || gen_cpl(g) != 0)
		return false;
	emit_load(&g->e, H_R9, FIELD(seg[SEG_GS].base));
	emit_load(&g->e, H_R10, FIELD(msr.kernel_gs_base));
	emit_store(&g->e, H_R9, FIELD(msr.kernel_gs_base));
	emit_store(&g->e, H_R10, FIELD(seg[SEG_GS].base));
	return true;
}

/* mov byte [field], imm8 */
static void gen_set8(struct gen *g, u32 field, u8 value)
{
	emit_mov_mi(&g->e, 1, at_field(field), value);
}

/* Add to a 32-bit field by way of r9, flags untouched. */
static void gen_add32(struct gen *g, u32 field, s32 by)
{
	emit_load32(&g->e, H_R9, field);
	emit_lea(&g->e, false, H_R9, H_R9, REG_NONE, 1, by);
	emit_store32(&g->e, H_R9, field);
}

/*
 * stac and clac move to the same code under another key, whose accesses use another view of the TLB. The key says
 * that SMAP is on and what AC is now; where SMAP is off step() finds out.
 */
static bool gen_set_ac(struct gen *g, bool on)
{
	u32 key = g->t.key & ~BLOCK_PLAIN;
	s32 by = on ? (s32)FL_AC : -(s32)FL_AC;
	int own = g->jump_table;

	if (gen_cpl(g) != 0 || !(key & BK_SMAP))
		return false;
	if (!(key & BK_VIEW_AC) != on) { /* as it is already */
		gen_goto(g, gen_next_rip(g));
		return true;
	}
	gen_add32(g, CPU_RFLAGS, by);
	gen_add32(g, CPU_SYS_FLAGS, by);
	gen_set8(g, FIELD(view), on ? TLB_KERNEL_AC : TLB_KERNEL);
	gen_set32(g, FIELD(block_key), key ^ BK_VIEW_AC);
	g->jump_table = jump_table_for(g->cache, key ^ BK_VIEW_AC);
	gen_goto(g, gen_next_rip(g));
	g->jump_table = own; /* the block may be made once more, without groups */
	return true;
}

bool gen_stac(struct gen *g, const struct insn *in)
{
	return gen_set_ac(g, true);
}

bool gen_clac(struct gen *g, const struct insn *in)
{
	return gen_set_ac(g, false);
}
