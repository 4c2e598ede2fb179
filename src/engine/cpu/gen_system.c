/* SPDX-License-Identifier: MIT */
/*
 * Privileged instructions that are frequent enough to be inline: interrupt flag, flags image, time stamp,
 * swapgs, segment register reads. No flag of the host changes but where the guest's would.
 */
#include "engine/cpu/gen.h"
#include "engine/cpu/layout.h"
#include "engine/cpu/rewrite.h"
#include "engine/cpu/translate.h"

#define FIELD(f) ((u32)offsetof(struct cpu, f))

static unsigned cpl(const struct gen *g)
{
	return (g->t.key & BK_CPL_MASK) >> BK_CPL_SHIFT;
}

/* mov dword gs:[field], imm32 */
static void gen_set32(struct gen *g, u32 field, u32 value)
{
	emit8(&g->e, 0x65);
	emit8(&g->e, 0xc7);
	emit8(&g->e, 0x04);
	emit8(&g->e, 0x25);
	emit32(&g->e, field);
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
static bool gen_sti(struct gen *g)
{
	struct emit *e = &g->e;

	if (cpl(g) != 0 || g->now + 1 == g->count)
		return false;
	emit_store_frame(e, H_RCX, FRAME_RCX);
	emit8(e, 0x65); /* movzx ecx, byte gs:[irq_waiting] */
	emit8(e, 0x0f);
	emit8(e, 0xb6);
	emit8(e, 0x0c);
	emit8(e, 0x25);
	emit32(e, FIELD(irq_waiting));
	emit8(e, 0xe3); /* jrcxz +5 */
	emit8(e, 5);
	gen_cold(g, emit_jmp32(e), REC_STEP, true);
	emit_load_frame(e, H_RCX, FRAME_RCX);
	gen_set32(g, CPU_IFLAG, FLAG_IF);
	return true;
}

/* op r9, r9, gs:[flag_mask]: pext (0xb3 prefix byte f3) then pdep (f2) keep the masked bits and no host flag changes */
static void gen_mask_r9(struct gen *g)
{
	static const u8 second[] = {0xb2, 0xb3};

	for (unsigned i = 0; i < 2; i++) {
		emit8(&g->e, 0x65);
		emit8(&g->e, 0xc4);
		emit8(&g->e, 0x62);
		emit8(&g->e, second[i]);
		emit8(&g->e, 0xf5);
		emit8(&g->e, 0x0c);
		emit8(&g->e, 0x25);
		emit32(&g->e, FIELD(flag_mask));
	}
}

/* r9 = RFLAGS as PUSHF stores them: the host's status flags and DF, IF, and the rest as saved on entry. */
static void gen_flags_image(struct gen *g)
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
	if (!g->long_mode || in->op_size != 8)
		return false;
	gen_flags_image(g);
	gen_push_r9(g);
	return true;
}

/* rdx:rax = host TSC + offset. rorx and lea leave the flags alone. */
static bool gen_rdtsc(struct gen *g, bool with_aux)
{
	static const u8 combine[] = {0xc4, 0xe3, 0xfb, 0xf0, 0xd2, 0x20, /* rorx rdx, rdx, 32 */
		0x48, 0x8d, 0x04, 0x10};                                 /* lea rax, [rax + rdx] */
	static const u8 split[] = {0x4a, 0x8d, 0x04, 0x08,               /* lea rax, [rax + r9] */
		0xc4, 0xe3, 0xfb, 0xf0, 0xd0, 0x20,                      /* rorx rdx, rax, 32 */
		0x89, 0xd2, 0x89, 0xc0}; /* mov edx, edx; mov eax, eax */
	struct emit *e = &g->e;

	if ((g->t.key & BK_TSD) && cpl(g) != 0)
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

/* mov r32/r64, sreg: zero-extended selector. Other forms are rare. */
static bool gen_mov_from_seg(struct gen *g, const struct insn *in)
{
	unsigned dst = in->rm == RSP ? H_R11 : in->rm;

	if (in->is_mem || in->op_size == 2)
		return false;
	if (reg_displaced(in->rm))
		dst = H_R9;
	emit8(&g->e, 0x65); /* movzx dst, word gs:[selector] */
	if (dst >= 8)
		emit8(&g->e, 0x44);
	emit8(&g->e, 0x0f);
	emit8(&g->e, 0xb7);
	emit8(&g->e, 0x04 | (dst & 7) << 3);
	emit8(&g->e, 0x25);
	emit32(&g->e, FIELD(seg[0].selector) + (u32)sizeof(struct segment) * in->reg);
	if (reg_displaced(in->rm))
		emit_store_frame(&g->e, dst, FRAME_GPR(in->rm));
	return true;
}

/* mov byte gs:[field], imm8 */
static void gen_set8(struct gen *g, u32 field, u8 value)
{
	emit8(&g->e, 0x65);
	emit8(&g->e, 0xc6);
	emit8(&g->e, 0x04);
	emit8(&g->e, 0x25);
	emit32(&g->e, field);
	emit8(&g->e, value);
}

/* Add to a 32-bit field by way of r9, flags untouched. */
static void gen_add32(struct gen *g, u32 field, s32 by)
{
	emit_load32(&g->e, H_R9, field);
	emit_lea(&g->e, false, H_R9, H_R9, REG_NONE, 1, by);
	emit_gs(&g->e, false, 0x89, H_R9, field);
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
	case OP_STI: return gen_sti(g);
	case OP_PUSHF: return gen_pushf(g, in);
	case OP_STAC: return gen_set_ac(g, true);
	case OP_CLAC: return gen_set_ac(g, false);
	case OP_RDTSC: return gen_rdtsc(g, false);
	case OP_RDTSCP: return gen_rdtsc(g, true);
	case OP_SWAPGS: return gen_swapgs(g);
	case OP_MOV_FROM_SEG: return gen_mov_from_seg(g, in);
	default: return false;
	}
}
