/* SPDX-License-Identifier: MIT */
/*
 * Services of the privilege-changing transfers; see transfer.h. Nothing here changes a register
 * except the last steps of a return, which cannot fail.
 */
#include "engine/cpu/transfer.h"
#include "engine/cpu/stack.h"
#include "engine/cpu/mode.h"
#include "engine/mem/mem.h"

int gate_code_read(struct cpu *cpu, u16 selector, u64 desc[2])
{
	u32 err = SEL_ERR(selector);
	int r;

	if (SEL_NULL(selector))
		return cpu_gp0(cpu);
	r = descriptor_read(cpu, selector, X86_GP, desc);
	if (r)
		return r;
	if (!desc_is_code(desc[0]) || DESC_DPL(desc[0]) > cpu->cpl)
		return cpu_raise_err(cpu, X86_GP, err);
	if (cpu_long_mode(cpu) && (desc[0] & (DESC_L | DESC_D)) != DESC_L)
		return cpu_raise_err(cpu, X86_GP, err);
	if (!(desc[0] & DESC_P))
		return cpu_raise_err(cpu, X86_NP, err);
	return CPU_OK;
}

bool reserved_code_size(const struct cpu *cpu, u64 desc)
{
	return cpu_long_mode(cpu) && (desc & (DESC_L | DESC_D)) == (DESC_L | DESC_D);
}

bool code_allows_rip(const struct cpu *cpu, const struct segment *cs, u64 rip)
{
	if (cpu_long_mode(cpu) && (cs->attr & SEG_L))
		return cpu_canonical(cpu, rip);
	return rip <= cs->limit;
}

int tss_stack_long(struct cpu *cpu, unsigned offset, u64 *rsp)
{
	const struct segment *tr = &cpu->seg[SEG_TR];
	int r;

	if (offset + 7 > tr->limit)
		return cpu_raise_err(cpu, X86_TS, SEL_ERR(tr->selector));
	r = mem_read(cpu, tr->base + offset, rsp, 8, ACC_SYSTEM);
	if (!r && !cpu_canonical(cpu, *rsp))
		return cpu_raise_err(cpu, X86_SS, 0);
	return r;
}

/* ss:sp for level cpl as the present TSS, 16 or 32 bits, has it. */
static int tss_read_pair(struct cpu *cpu, unsigned cpl, u64 *sp, u16 *ss)
{
	const struct segment *tr = &cpu->seg[SEG_TR];
	unsigned width = (SEG_TYPE(tr->attr) & 8) ? 4 : 2;
	u32 off = width * (2 * cpl + 1);
	u64 selector;
	int r;

	if (off + width + 1 > tr->limit)
		return cpu_raise_err(cpu, X86_TS, SEL_ERR(tr->selector));
	r = mem_read_u64(cpu, (u32)(tr->base + off), sp, width, ACC_SYSTEM);
	if (!r)
		r = mem_read_u64(cpu, (u32)(tr->base + off + width), &selector, 2, ACC_SYSTEM);
	if (!r)
		*ss = (u16)selector;
	return r;
}

int tss_stack_legacy(struct cpu *cpu, unsigned cpl, struct segment *ss, struct stack *s)
{
	u16 selector;
	int r = tss_read_pair(cpu, cpl, &s->sp, &selector);

	if (r)
		return r;
	if (SEL_NULL(selector))
		return cpu_raise_err(cpu, X86_TS, 0);
	r = segment_prepare_ss(cpu, selector, cpl, X86_TS, ss);
	if (r)
		return r;
	s->ss = ss;
	s->width = ss->attr & SEG_DB ? 4 : 2;
	s->sp = s->width == 4 ? (u32)s->sp : (u16)s->sp;
	s->acc = ACC_SYSTEM;
	s->own = false;
	s->error = SEL_ERR(selector);
	return CPU_OK;
}

int stack_push_all(struct cpu *cpu, struct stack *s, const u64 *values, unsigned n, unsigned size)
{
	for (unsigned i = 0; i < n; i++) {
		int r = stack_push(cpu, s, values[i], size);
		if (r)
			return r;
	}
	return CPU_OK;
}

/*
 * Only selector and attributes change, also of null selectors with an RPL: base and limit stay, and 64-bit code goes
 * on to use the base of FS and GS (SDM 3:5.8.6 says no more than that the selector is null; the processors do this).
 */
void segments_drop_inner(struct cpu *cpu)
{
	static const u8 data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	for (unsigned i = 0; i < ARRAY_SIZE(data); i++) {
		struct segment *s = &cpu->seg[data[i]];
		unsigned code = SEG_TYPE_CODE | SEG_TYPE_EXPAND_DOWN;
		bool conforming = (SEG_TYPE(s->attr) & code) == code;

		if (!SEL_NULL(s->selector) &&
			(!seg_usable(s) || conforming || SEG_DPL(s->attr) >= cpu->cpl))
			continue;
		s->selector = 0;
		s->attr = SEG_UNUSABLE;
	}
}

void set_outer_rsp(struct cpu *cpu, u64 sp)
{
	u64 *rsp = &cpu->gpr[RSP];

	if (cpu->stack_size == 8)
		*rsp = sp;
	else if (cpu->stack_size == 4)
		*rsp = (u32)sp;
	else
		*rsp = (*rsp & 0xffff0000) | (u16)sp;
}

bool cpu_vendor_is_amd(const struct cpu *cpu)
{
	for (unsigned i = 0; i < cpu->cpuid_count; i++) {
		const struct cpuid_entry *e = &cpu->cpuid[i];
		if (e->function == 0) /* "Auth"enticAMD, "Hygo"nGenuine */
			return e->ebx == 0x68747541 || e->ebx == 0x6f677948;
	}
	return false;
}

/* ---- returns ---- */

int return_code_prepare(struct cpu *cpu, u16 selector, u64 rip, struct segment *ret)
{
	u32 err = SEL_ERR(selector);
	unsigned rpl = SEL_RPL(selector);
	u64 desc[2];
	int r;

	if (SEL_NULL(selector))
		return cpu_gp0(cpu);
	r = descriptor_read(cpu, selector, X86_GP, desc);
	if (r)
		return r;
	if (!desc_is_code(desc[0]) || reserved_code_size(cpu, desc[0]) || rpl < cpu->cpl)
		return cpu_raise_err(cpu, X86_GP, err);
	if (desc_is_conforming(desc[0]) ? DESC_DPL(desc[0]) > rpl : DESC_DPL(desc[0]) != rpl)
		return cpu_raise_err(cpu, X86_GP, err);
	if (!(desc[0] & DESC_P))
		return cpu_raise_err(cpu, X86_NP, err);
	segment_from_descriptor(ret, selector, desc);
	if (!code_allows_rip(cpu, ret, rip))
		return cpu_gp0(cpu);
	r = descriptor_set(cpu, selector, &desc[0], 1);
	ret->attr |= DESC_ACCESSED >> 40;
	return r;
}

int return_stack_prepare(
	struct cpu *cpu, const struct segment *cs, u16 selector, struct segment *ret)
{
	unsigned cpl = SEL_RPL(cs->selector);

	if (!SEL_NULL(selector))
		return segment_prepare_ss(cpu, selector, cpl, X86_GP, ret);
	if (!cpu_long_mode(cpu) || !(cs->attr & SEG_L) || cpl == 3 || SEL_RPL(selector) != cpl)
		return cpu_gp0(cpu);
	segment_set_null(ret, selector, cpl);
	return CPU_OK;
}

void return_outer_commit(struct cpu *cpu, const struct segment *ss, u64 sp)
{
	cpu->seg[SEG_SS] = *ss;
	cpu_update_mode(cpu);
	set_outer_rsp(cpu, sp);
	segments_drop_inner(cpu);
	cpu_update_mode(cpu);
}
