/* SPDX-License-Identifier: MIT */
/*
 * System registers that cost nothing to read: selectors, descriptor tables, control registers, and the bases of FS and GS,
 * which RDFSBASE and its kin read and write. Firmware reads IDTR for each look at its services. No flag changes.
 *
 * CR4.UMIP hides some of them from programs (SDM 3:2.5), and a subscriber may ask for their reads (TAP_TABLE): step() then.
 */
#include "engine/jit/gen.h"
#include "engine/core/layout.h"
#include "engine/code/rewrite.h"

static bool hidden(const struct gen *g)
{
	return (g->t.key & BK_UMIP) && gen_cpl(g) != 0;
}

static bool table_hidden(const struct gen *g)
{
	return hidden(g) || (g->t.key & BK_TAP_TABLE);
}

/* Guest register reg = r9, which has no bits above size: of 2 bytes the rest of reg stays. */
static void gen_put_r9(struct gen *g, unsigned reg, unsigned size)
{
	unsigned dst = reg == RSP ? H_R11 : reg;

	if (reg_displaced(reg))
		emit_mov_mr(&g->e, size == 2 ? 2 : 8, at_field(FRAME_GPR(reg)), H_R9);
	else if (size == 2)
		emit_mov_rr16(&g->e, dst, H_R9);
	else
		emit_mov_rr(&g->e, dst, H_R9);
}

/* r9 = field of size bytes, zero-extended */
static void gen_load_field(struct gen *g, u32 field, unsigned size)
{
	if (size == 2)
		emit_load16(&g->e, H_R9, field);
	else
		emit_mov_rm(&g->e, size, H_R9, at_field(field));
}

/* [operand] = word field, whatever the operand size. */
static bool gen_store_word(struct gen *g, const struct insn *in, u32 field)
{
	s32 disp;

	if (!gen_operand(g, in, TLB_WRITE, 2, &disp))
		return false;
	gen_fold(g, disp);
	emit_load16(&g->e, H_R10, field);
	gen_store_r10(g, 0, 2);
	return true;
}

/* ---- selectors, machine status word ---- */

/* A register gets it zero-extended to the operand size. */
static bool gen_selector(struct gen *g, const struct insn *in, unsigned seg)
{
	if (in->is_mem)
		return gen_store_word(g, in, SELECTOR(seg));
	gen_load_field(g, SELECTOR(seg), 2);
	gen_put_r9(g, in->rm, in->op_size);
	return true;
}

bool gen_mov_from_seg(struct gen *g, const struct insn *in)
{
	return in->reg <= SEG_GS && gen_selector(g, in, in->reg);
}

bool gen_sldt(struct gen *g, const struct insn *in)
{
	return !table_hidden(g) && !gen_real(g) && gen_selector(g, in, SEG_LDTR);
}

bool gen_str(struct gen *g, const struct insn *in)
{
	return !table_hidden(g) && !gen_real(g) && gen_selector(g, in, SEG_TR);
}

bool gen_smsw(struct gen *g, const struct insn *in)
{
	if (hidden(g))
		return false;
	if (in->is_mem)
		return gen_store_word(g, in, FIELD(cr0));
	gen_load_field(g, FIELD(cr0), in->op_size);
	gen_put_r9(g, in->rm, in->op_size);
	return true;
}

/* ---- descriptor tables: limit, and behind it 4 or 8 bytes of base ---- */

static bool gen_table(struct gen *g, const struct insn *in, u32 base, u32 limit)
{
	unsigned size = g->long_mode ? 8 : 4;
	s32 disp;

	if (table_hidden(g) || !gen_operand(g, in, TLB_WRITE, 2 + size, &disp))
		return false;
	gen_fold(g, disp);
	emit_load16(&g->e, H_R10, limit);
	gen_store_r10(g, 0, 2);
	emit_load(&g->e, H_R10, base);
	gen_store_r10(g, 2, size);
	return true;
}

bool gen_sgdt(struct gen *g, const struct insn *in)
{
	return gen_table(g, in, FIELD(gdt.base), FIELD(gdt.limit));
}

bool gen_sidt(struct gen *g, const struct insn *in)
{
	return gen_table(g, in, FIELD(idt.base), FIELD(idt.limit));
}

/* ---- control registers ---- */

/* CR8 is the local APIC's; others do not exist. */
bool gen_mov_from_cr(struct gen *g, const struct insn *in)
{
	static const u32 fields[] = {
		[0] = FIELD(cr0), [2] = FIELD(cr2), [3] = FIELD(cr3), [4] = FIELD(cr4)};
	unsigned size = g->long_mode ? 8 : 4;

	if (gen_cpl(g) != 0 || in->reg >= ARRAY_SIZE(fields) || !fields[in->reg])
		return false;
	gen_load_field(g, fields[in->reg], size);
	gen_put_r9(g, in->rm, size);
	return true;
}

/* ---- bases of fs and gs; 64-bit code alone has these ---- */

static bool gen_read_base(struct gen *g, const struct insn *in, unsigned seg)
{
	if (!(g->t.key & BK_FSGSBASE))
		return false;
	gen_load_field(g, BASE(seg), in->op_size);
	gen_put_r9(g, in->rm, in->op_size);
	return true;
}

/* 0 or 1ffff in bits 63 to 47, and one more has nothing in bits 16 to 1 then. */
void gen_canonical(struct gen *g)
{
	struct emit *e = &g->e;

	emit_store(e, H_RCX, FRAME_RCX);
	emit_rorx(e, true, H_RCX, H_R9, 47);
	emit_lea(e, true, H_RCX, H_RCX, REG_NONE, 1, 1);
	emit_rorx(e, true, H_RCX, H_RCX, 1);
	emit_movzx16(e, H_RCX, H_RCX);
	gen_unless_zero(g, true);
	emit_load(e, H_RCX, FRAME_RCX);
}

static bool gen_write_base(struct gen *g, const struct insn *in, unsigned seg)
{
	unsigned src = gen_source(g, in->rm, H_R9);

	if (!(g->t.key & BK_FSGSBASE))
		return false;
	if (in->op_size == 8)
		emit_mov_rr(&g->e, H_R9, src);
	else
		emit_mov_rr32(&g->e, H_R9, src);
	if (in->op_size == 8)
		gen_canonical(g);
	emit_store(&g->e, H_R9, BASE(seg));
	return true;
}

bool gen_rdfsbase(struct gen *g, const struct insn *in)
{
	return gen_read_base(g, in, SEG_FS);
}

bool gen_rdgsbase(struct gen *g, const struct insn *in)
{
	return gen_read_base(g, in, SEG_GS);
}

bool gen_wrfsbase(struct gen *g, const struct insn *in)
{
	return gen_write_base(g, in, SEG_FS);
}

bool gen_wrgsbase(struct gen *g, const struct insn *in)
{
	return gen_write_base(g, in, SEG_GS);
}
