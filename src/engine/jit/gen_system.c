/* SPDX-License-Identifier: MIT */
/*
 * Privileged instructions that are frequent enough to be inline: interrupt flag, flags and their image, time
 * stamp, swapgs, segment register reads. No flag of the host changes but where the guest's would.
 */
#include "engine/jit/gen.h"
#include "engine/core/layout.h"
#include "engine/code/rewrite.h"
#include "engine/jit/translate.h"

#define FIELD(f) ((u32)offsetof(struct cpu, f))

static unsigned cpl(const struct gen *g)
{
	return (g->t.key & BK_CPL_MASK) >> BK_CPL_SHIFT;
}

void gen_set32(struct gen *g, u32 field, u32 value)
{
	emit8(&g->e, 0xc7);
	emit_field(&g->e, 0, field);
	emit32(&g->e, value);
}

static bool gen_cli(struct gen *g)
{
	if (cpl(g) != 0)
		return false;
	gen_set32(g, CPU_IFLAG, 0);
	return true;
}

/*
 * If an interrupt waits the shadow matters, so step() does it. Nothing looks for interrupts within a block; but
 * between blocks, so not the last one of a block either: `sti; hlt` may straddle a page.
 */
static bool gen_sti(struct gen *g, const struct insn *in)
{
	struct emit *e = &g->e;

	if (cpl(g) != 0 || !gen_shadow_fits(g, in))
		return false;
	emit_store(e, H_RCX, FRAME_RCX);
	emit8(e, 0x0f); /* movzx ecx, byte [irq_waiting] */
	emit8(e, 0xb6);
	emit_field(e, H_RCX, FIELD(irq_waiting));
	emit8(e, 0xe3); /* jrcxz +5 */
	emit8(e, 5);
	gen_cold(g, emit_jmp32(e), REC_STEP, true);
	emit_load(e, H_RCX, FRAME_RCX);
	gen_set32(g, CPU_IFLAG, FLAG_IF);
	return true;
}

/* op r9, r9, [flag_mask]: pext (0xb3 prefix byte f3) then pdep (f2) keep the masked bits and no host flag changes */
static void gen_mask_r9(struct gen *g)
{
	static const u8 second[] = {0xb2, 0xb3};

	for (unsigned i = 0; i < 2; i++) {
		emit8(&g->e, 0xc4);
		emit8(&g->e, 0x62);
		emit8(&g->e, second[i]);
		emit8(&g->e, 0xf5);
		emit_field(&g->e, H_R9, FIELD(flag_mask));
	}
}

/* The host's status flags and DF, IF, and the rest as saved on entry. */
void gen_flags_image(struct gen *g)
{
	struct emit *e = &g->e;

	emit8(e, 0x9c); /* pushfq; pop r9 */
	emit8(e, 0x41);
	emit8(e, 0x59);
	gen_mask_r9(g);
	emit_load(e, H_R10, CPU_SYS_FLAGS);
	emit_lea(e, true, H_R9, H_R9, H_R10, 1, 0);
	emit_load32(e, H_R10, CPU_IFLAG);
	emit_lea(e, true, H_R9, H_R9, H_R10, 1, 0);
}

static bool gen_pushf(struct gen *g, const struct insn *in)
{
	if (!gen_stack_fits(g, in->op_size) || (g->t.key & BK_V86))
		return false;
	gen_flags_image(g);
	gen_push_r9(g, in->op_size);
	return true;
}

/* test r32, imm32; for r9 and r10 */
static void gen_test(struct gen *g, unsigned reg, u32 imm)
{
	emit8(&g->e, 0x41);
	emit8(&g->e, 0xf7);
	emit8(&g->e, 0xc0 | (reg & 7));
	emit32(&g->e, imm);
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

	emit8(e, 0x80); /* cmp byte [field], 0 */
	emit_field(e, 7, field);
	emit8(e, 0);
	gen_cold(g, emit_jcc32(e, CC_NE), REC_STEP, false);
}

void gen_new_flags(struct gen *g, unsigned size)
{
	struct emit *e = &g->e;
	u8 *off;

	emit_load32(e, H_R10, CPU_SYS_FLAGS);
	emit8(e, 0x45); /* xor r10d, r9d */
	emit8(e, 0x31);
	emit8(e, 0xca);
	gen_test(g, H_R10, popf_system_bits(size));
	gen_cold(g, emit_jcc32(e, CC_NE), REC_STEP, false);
	gen_test(g, H_R9, FL_IF);
	off = emit_jcc32(e, CC_E);
	gen_unless_byte(g, FIELD(irq_waiting));
	emit_patch32(off, e->p);
}

/* and r32, imm32; for r9 and r10 */
static void gen_and(struct gen *g, unsigned reg, u32 imm)
{
	emit8(&g->e, 0x41);
	emit8(&g->e, 0x81);
	emit8(&g->e, 0xe0 | (reg & 7));
	emit32(&g->e, imm);
}

void gen_put_flags(struct gen *g)
{
	struct emit *e = &g->e;

	emit_mov_rr32(e, H_R10, H_R9);
	gen_and(g, H_R10, FL_IF);
	emit_cpu(e, false, 0x89, H_R10, CPU_IFLAG);
	gen_and(g, H_R9, HOST_FLAGS);
	emit8(e, 0x41); /* push r9; popfq */
	emit8(e, 0x51);
	emit8(e, 0x9d);
}

/* No flag needs to be kept: all are replaced. Like sti not at the end of a block, where interrupts are looked for. */
static bool gen_popf(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (cpl(g) != 0 || !gen_stack_fits(g, in->op_size) || g->now + 1 == g->count)
		return false;
	gen_stack_operand(g, 0, TLB_READ, in->op_size, &disp);
	gen_access(g, 0x8b, H_R9, disp, in->op_size);
	gen_new_flags(g, in->op_size);
	gen_move_sp(g, in->op_size);
	gen_put_flags(g);
	return true;
}

/* rdx:rax = host TSC + offset; one of another rate is for step(). rorx and lea leave the flags alone. */
static bool gen_rdtsc(struct gen *g, bool with_aux)
{
	static const u8 combine[] = {0xc4, 0xe3, 0xfb, 0xf0, 0xd2, 0x20, /* rorx rdx, rdx, 32 */
		0x48, 0x8d, 0x04, 0x10};                                 /* lea rax, [rax + rdx] */
	static const u8 split[] = {0x4a, 0x8d, 0x04, 0x08,               /* lea rax, [rax + r9] */
		0xc4, 0xe3, 0xfb, 0xf0, 0xd0, 0x20,                      /* rorx rdx, rax, 32 */
		0x89, 0xd2, 0x89, 0xc0}; /* mov edx, edx; mov eax, eax */
	struct emit *e = &g->e;

	if (((g->t.key & BK_TSD) && cpl(g) != 0) || (with_aux && (g->t.key & BK_NO_RDTSCP)) ||
		(g->t.key & BK_TSC_SCALED))
		return false;
	emit8(e, 0x0f);
	emit8(e, with_aux ? 0x01 : 0x31);
	if (with_aux)
		emit8(e, 0xf9);
	for (unsigned i = 0; i < sizeof(combine); i++)
		emit8(e, combine[i]);
	emit_load(e, H_R9, CPU_TSC_OFFSET);
	for (unsigned i = 0; i < sizeof(split); i++)
		emit8(e, split[i]);
	if (with_aux)
		emit_load32(e, H_RCX, FIELD(msr.tsc_aux));
	return true;
}

static bool gen_swapgs(struct gen *g)
{
	if (!g->long_mode || cpl(g) != 0)
		return false;
	emit_load(&g->e, H_R9, FIELD(seg[SEG_GS].base));
	emit_load(&g->e, H_R10, FIELD(msr.kernel_gs_base));
	emit_store(&g->e, H_R9, FIELD(msr.kernel_gs_base));
	emit_store(&g->e, H_R10, FIELD(seg[SEG_GS].base));
	return true;
}

/* mov [mem], sreg: two bytes, whatever the operand size. */
static bool gen_store_seg(struct gen *g, const struct insn *in)
{
	s32 disp;

	if (!gen_operand(g, in, TLB_WRITE, 2, &disp))
		return false;
	gen_fold(g, disp);
	emit8(&g->e, 0x66); /* mov r10w, [selector] */
	emit_cpu(&g->e, false, 0x8b, H_R10,
		FIELD(seg[0].selector) + (u32)sizeof(struct segment) * in->reg);
	gen_store_r10(g, 0, 2);
	return true;
}

/* The lowest 16 bits of a register are those of r9. */
static bool gen_put_word(struct gen *g, unsigned reg)
{
	if (reg_displaced(reg))
		return false;
	emit_mov_rr16(&g->e, reg == RSP ? H_R11 : reg, H_R9);
	return true;
}

/* mov r, sreg: zero-extended selector. */
static bool gen_mov_from_seg(struct gen *g, const struct insn *in)
{
	unsigned dst = in->rm == RSP ? H_R11 : in->rm;

	if (in->reg > SEG_GS)
		return false;
	if (in->is_mem)
		return gen_store_seg(g, in);
	if (in->op_size == 2 || reg_displaced(in->rm))
		dst = H_R9;
	emit_load16(&g->e, dst, FIELD(seg[0].selector) + (u32)sizeof(struct segment) * in->reg);
	if (in->op_size == 2)
		return gen_put_word(g, in->rm);
	if (reg_displaced(in->rm))
		emit_store(&g->e, dst, FRAME_GPR(in->rm));
	return true;
}

/* mov byte [field], imm8 */
static void gen_set8(struct gen *g, u32 field, u8 value)
{
	emit8(&g->e, 0xc6);
	emit_field(&g->e, 0, field);
	emit8(&g->e, value);
}

/* Add to a 32-bit field by way of r9, flags untouched. */
static void gen_add32(struct gen *g, u32 field, s32 by)
{
	emit_load32(&g->e, H_R9, field);
	emit_lea(&g->e, false, H_R9, H_R9, REG_NONE, 1, by);
	emit_cpu(&g->e, false, 0x89, H_R9, field);
}

/*
 * stac and clac move to the same code under another key, whose accesses use another view of the TLB. The key says
 * that SMAP is on and what AC is now; where it does not, or AC does not change, step() finds out.
 */
static bool gen_set_ac(struct gen *g, bool on)
{
	u32 key = g->t.key & ~BLOCK_PLAIN;
	s32 by = on ? (s32)FL_AC : -(s32)FL_AC;

	if (cpl(g) != 0 || !(key & BK_SMAP) || !(key & BK_VIEW_AC) != on)
		return false;
	gen_add32(g, CPU_RFLAGS, by);
	gen_add32(g, CPU_SYS_FLAGS, by);
	gen_set8(g, FIELD(view), on ? TLB_KERNEL_AC : TLB_KERNEL);
	gen_set32(g, FIELD(block_key), key ^ BK_VIEW_AC);
	g->jump_table = jump_table_for(g->cache, key ^ BK_VIEW_AC);
	gen_goto(g, gen_next_rip(g));
	return true;
}

bool gen_system(struct gen *g, const struct insn *in)
{
	switch (in->desc->op) {
	case OP_CLI: return gen_cli(g);
	case OP_STI: return gen_sti(g, in);
	case OP_PUSHF: return gen_pushf(g, in);
	case OP_POPF: return gen_popf(g, in);
	case OP_STAC: return gen_set_ac(g, true);
	case OP_CLAC: return gen_set_ac(g, false);
	case OP_RDTSC: return gen_rdtsc(g, false);
	case OP_RDTSCP: return gen_rdtsc(g, true);
	case OP_SWAPGS: return gen_swapgs(g);
	case OP_MOV_FROM_SEG: return gen_mov_from_seg(g, in);
	default: return false;
	}
}
