/* SPDX-License-Identifier: MIT */
/*
 * Instructions on segment registers and descriptors: LLDT LTR SLDT STR, LAR LSL VERR VERW ARPL,
 * MOV to and from segment registers, LDS and its relatives (SDM 2 under those names).
 */
#include "engine/cpu/segment.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/mem/mem.h"
#include "engine/tap/ask.h"

/* SLDT and STR at CPL > 0 are refused by CR4.UMIP (SDM 3:2.5). */
static int check_umip(struct cpu *cpu)
{
	return cpu->cpl > 0 && (cpu->cr4 & CR4_UMIP) ? cpu_gp0(cpu) : CPU_OK;
}

/* A selector goes to memory as two bytes, to a register zero-extended to the operand size. */
static int store_selector(struct cpu *cpu, const struct insn *in, u16 selector)
{
	return rm_write(cpu, in, in->is_mem ? 2 : in->op_size, selector);
}

static int read_selector(struct cpu *cpu, const struct insn *in, u16 *ret)
{
	u64 value;
	int r = rm_read(cpu, in, 2, &value);

	*ret = r ? 0 : (u16)value;
	return r;
}

int op_sldt(struct cpu *cpu, const struct insn *in)
{
	int r = check_umip(cpu);

	if (r || tap_table(cpu, in, TAP_LDTR, true, &r))
		return r;
	return store_selector(cpu, in, cpu->seg[SEG_LDTR].selector);
}

int op_str(struct cpu *cpu, const struct insn *in)
{
	int r = check_umip(cpu);

	if (r || tap_table(cpu, in, TAP_TR, true, &r))
		return r;
	return store_selector(cpu, in, cpu->seg[SEG_TR].selector);
}

/* A system descriptor from the GDT of one of these types, present. */
static int read_system(struct cpu *cpu, u16 selector, unsigned types, u64 desc[2])
{
	u32 err = SEL_ERR(selector);
	int r;

	if (selector & SEL_TI)
		return cpu_raise_err(cpu, X86_GP, err);
	r = descriptor_read(cpu, selector, X86_GP, desc);
	if (r)
		return r;
	if ((desc[0] & DESC_S) || !(BIT(DESC_TYPE(desc[0])) & types))
		return cpu_raise_err(cpu, X86_GP, err);
	if (!(desc[0] & DESC_P))
		return cpu_raise_err(cpu, X86_NP, err);
	return CPU_OK;
}

/* And its hidden part. The base of a 16-byte descriptor must be canonical (SDM 2: LLDT, LTR). */
static int prepare_system(
	struct cpu *cpu, u16 selector, unsigned types, u64 desc[2], struct segment *ret)
{
	int r = read_system(cpu, selector, types, desc);

	if (r)
		return r;
	segment_from_descriptor(ret, selector, desc);
	return cpu_canonical(cpu, ret->base) ? CPU_OK
					     : cpu_raise_err(cpu, X86_GP, SEL_ERR(selector));
}

int op_lldt(struct cpu *cpu, const struct insn *in)
{
	struct segment s;
	u64 desc[2];
	u16 selector;
	int r;

	if (tap_table(cpu, in, TAP_LDTR, false, &r))
		return r;
	r = read_selector(cpu, in, &selector);
	if (r)
		return r;
	if (SEL_NULL(selector)) {
		segment_set_null(&cpu->seg[SEG_LDTR], selector, 0);
		return CPU_OK;
	}
	r = prepare_system(cpu, selector, BIT(SYS_LDT), desc, &s);
	if (!r)
		cpu->seg[SEG_LDTR] = s;
	return r;
}

int op_ltr(struct cpu *cpu, const struct insn *in)
{
	unsigned types = BIT(SYS_TSS32) | (cpu_long_mode(cpu) ? 0 : BIT(SYS_TSS16));
	struct segment s;
	u64 desc[2];
	u16 selector;
	int r;

	if (tap_table(cpu, in, TAP_TR, false, &r))
		return r;
	r = read_selector(cpu, in, &selector);
	if (r)
		return r;
	if (SEL_NULL(selector))
		return cpu_gp0(cpu);
	r = prepare_system(cpu, selector, types, desc, &s);
	if (!r)
		r = descriptor_set(cpu, selector, &desc[0], SYS_BUSY);
	if (r)
		return r;
	segment_from_descriptor(&cpu->seg[SEG_TR], selector, desc);
	return CPU_OK;
}

/* ---- LAR, LSL, VERR, VERW: ask about a descriptor, answer in ZF ---- */

/* System types that LAR and LSL know, SDM 2 tables 3-52 and 3-54. */
#define LSL_TYPES                                                                                  \
	(BIT(SYS_TSS16) | BIT(SYS_LDT) | BIT(SYS_TSS16_BUSY) | BIT(SYS_TSS32) | BIT(SYS_TSS32_BUSY))
#define LAR_TYPES      (LSL_TYPES | BIT(SYS_CALL16) | BIT(SYS_TASK_GATE) | BIT(SYS_CALL32))
#define LONG_LSL_TYPES (BIT(SYS_LDT) | BIT(SYS_TSS32) | BIT(SYS_TSS32_BUSY))
#define LONG_LAR_TYPES (LONG_LSL_TYPES | BIT(SYS_CALL32))

/* Read without raising anything about the selector; *visible is the answer so far. */
static int query(struct cpu *cpu, u16 selector, unsigned types, u64 *desc, bool *visible)
{
	bool conforming;
	u64 lin;
	int r;

	*visible = false;
	if (SEL_NULL(selector) || !descriptor_address(cpu, selector, 8, &lin))
		return CPU_OK;
	r = mem_read(cpu, lin, desc, 8, ACC_SYSTEM);
	if (r)
		return r;
	if (!(*desc & DESC_S) && !(BIT(DESC_TYPE(*desc)) & types))
		return CPU_OK;
	conforming = desc_is_code(*desc) && desc_is_conforming(*desc);
	*visible =
		conforming || (DESC_DPL(*desc) >= cpu->cpl && DESC_DPL(*desc) >= SEL_RPL(selector));
	return CPU_OK;
}

static void set_zf(struct cpu *cpu, bool on)
{
	cpu->rflags = (cpu->rflags & ~FL_ZF) | (on ? FL_ZF : 0);
}

static u32 descriptor_limit(u64 desc)
{
	struct segment s;

	segment_from_descriptor(&s, 0, (const u64[2]){desc, 0});
	return s.limit;
}

int op_lar(struct cpu *cpu, const struct insn *in)
{
	u64 desc;
	u16 selector;
	bool visible;
	int r = read_selector(cpu, in, &selector);

	if (!r)
		r = query(cpu, selector, cpu_long_mode(cpu) ? LONG_LAR_TYPES : LAR_TYPES, &desc,
			&visible);
	if (r)
		return r;
	if (visible)
		reg_write(cpu, in->reg, in->op_size, true, desc >> 32 & 0xf0ff00);
	set_zf(cpu, visible);
	return CPU_OK;
}

int op_lsl(struct cpu *cpu, const struct insn *in)
{
	u64 desc;
	u16 selector;
	bool visible;
	int r = read_selector(cpu, in, &selector);

	if (!r)
		r = query(cpu, selector, cpu_long_mode(cpu) ? LONG_LSL_TYPES : LSL_TYPES, &desc,
			&visible);
	if (r)
		return r;
	if (visible)
		reg_write(cpu, in->reg, in->op_size, true, descriptor_limit(desc));
	set_zf(cpu, visible);
	return CPU_OK;
}

/* What VERR and VERW ask: the descriptor that the operand selects, if it may be seen. */
static int query_operand(struct cpu *cpu, const struct insn *in, u64 *desc, bool *visible)
{
	u16 selector;
	int r = read_selector(cpu, in, &selector);

	return r ? r : query(cpu, selector, 0, desc, visible);
}

int op_verr(struct cpu *cpu, const struct insn *in)
{
	u64 desc = 0;
	bool visible;
	int r = query_operand(cpu, in, &desc, &visible);

	if (r)
		return r;
	set_zf(cpu, visible && (!desc_is_code(desc) || (desc & DESC_WRITABLE)));
	return CPU_OK;
}

int op_verw(struct cpu *cpu, const struct insn *in)
{
	u64 desc = 0;
	bool visible;
	int r = query_operand(cpu, in, &desc, &visible);

	if (r)
		return r;
	set_zf(cpu, visible && desc_is_writable_data(desc));
	return CPU_OK;
}

int op_arpl(struct cpu *cpu, const struct insn *in)
{
	u64 dst, src = reg_read(cpu, in->reg, 2, true);
	bool raise;
	int r = rm_read(cpu, in, 2, &dst);

	if (r)
		return r;
	raise = SEL_RPL(dst) < SEL_RPL(src);
	if (raise)
		r = rm_write(cpu, in, 2, (dst & ~3ull) | SEL_RPL(src));
	if (!r)
		set_zf(cpu, raise);
	return r;
}

/* ---- segment registers ---- */

int op_mov_from_seg(struct cpu *cpu, const struct insn *in)
{
	if ((in->reg & 7) > SEG_GS)
		return cpu_raise(cpu, X86_UD);
	return store_selector(cpu, in, cpu->seg[in->reg & 7].selector);
}

int op_mov_to_seg(struct cpu *cpu, const struct insn *in)
{
	unsigned seg = in->reg & 7;
	u16 selector;
	int r;

	if (seg == SEG_CS || seg > SEG_GS)
		return cpu_raise(cpu, X86_UD);
	r = read_selector(cpu, in, &selector);
	if (!r)
		r = seg_load(cpu, seg, selector);
	if (!r)
		cpu->shadow |= op_shadow(OP_MOV_TO_SEG, seg);
	return r;
}

int op_load_far(struct cpu *cpu, const struct insn *in)
{
	u8 pointer[10] = {0};
	u64 lin, offset;
	u16 selector;
	int r;

	r = operand_aligned(cpu, in, in->op_size + 2, in->op_size, ACC_READ, &lin);
	if (!r)
		r = mem_read(cpu, lin, pointer, in->op_size + 2, ACC_READ);
	if (r)
		return r;
	__builtin_memcpy(&offset, pointer, 8);
	__builtin_memcpy(&selector, pointer + in->op_size, 2);
	r = seg_load(cpu, insn_far_segment(in), selector);
	if (!r)
		reg_write(cpu, in->reg, in->op_size, true, offset);
	return r;
}
