/* SPDX-License-Identifier: MIT */
/*
 * Segmentation: logical to linear addresses, descriptors, and loads of data segment registers.
 *
 * In 64-bit mode only the bases of FS and GS matter and the check is canonical form; elsewhere
 * linear addresses are 32 bits wide. Sources: SDM 3:3.4 to 3:3.5, 3:5.3 to 3:5.8, 2:MOV.
 */
#include "engine/cpu/segment.h"
#include "engine/cpu/mode.h"
#include "engine/mem/mem.h"

static int address_fault(struct cpu *cpu, unsigned seg)
{
	return cpu_raise_err(cpu, seg == SEG_SS ? X86_SS : X86_GP, 0);
}

/* SDM 3:5.3: for expand-down segments the limit is the last offset that is not allowed. */
static bool within_limit(const struct segment *s, u64 off, unsigned len)
{
	u64 last = off + len - 1;
	unsigned code_or_down = SEG_TYPE_CODE | SEG_TYPE_EXPAND_DOWN;

	if ((s->attr & (SEG_S | code_or_down)) != (SEG_S | SEG_TYPE_EXPAND_DOWN))
		return last <= s->limit;
	return off > s->limit && last <= (s->attr & SEG_DB ? 0xffffffffu : 0xffffu);
}

static bool type_allows(const struct segment *s, unsigned acc)
{
	unsigned type = SEG_TYPE(s->attr);

	if (acc & ACC_WRITE)
		return (type & (SEG_TYPE_CODE | SEG_TYPE_WRITABLE)) == SEG_TYPE_WRITABLE;
	return !(type & SEG_TYPE_CODE) || (type & SEG_TYPE_WRITABLE);
}

bool segment_allows(
	const struct cpu *cpu, const struct segment *s, u64 off, unsigned len, unsigned acc)
{
	/* In real mode the type bits are whatever the last protected-mode load left: not checked. */
	if (!cpu_real_or_v86(cpu) && (!seg_usable(s) || !type_allows(s, acc)))
		return false;
	return within_limit(s, off, len);
}

int seg_linear(struct cpu *cpu, unsigned seg, u64 off, unsigned len, unsigned acc, u64 *ret_lin)
{
	const struct segment *s = &cpu->seg[seg];

	if (likely(cpu->code_size == 8)) {
		u64 lin = seg >= SEG_FS ? s->base + off : off;
		if (!cpu_canonical(cpu, lin) || !cpu_canonical(cpu, lin + len - 1))
			return address_fault(cpu, seg);
		*ret_lin = lin;
		return CPU_OK;
	}
	if (!segment_allows(cpu, s, off, len, acc))
		return address_fault(cpu, seg);
	*ret_lin = (u32)(s->base + off);
	return CPU_OK;
}

int cpu_set_rip_checked(struct cpu *cpu, u64 rip)
{
	if (cpu->code_size == 8 ? !cpu_canonical(cpu, rip) : rip > cpu->seg[SEG_CS].limit)
		return cpu_gp0(cpu);
	cpu->next_rip = rip;
	return CPU_OK;
}

/* ---- descriptors ---- */

bool descriptor_address(const struct cpu *cpu, u16 selector, unsigned len, u64 *ret)
{
	const struct segment *ldt = &cpu->seg[SEG_LDTR];
	u64 base = cpu->gdt.base;
	u32 limit = cpu->gdt.limit;
	u32 off = selector & ~7u;

	if (selector & SEL_TI) {
		if (!seg_usable(ldt))
			return false;
		base = ldt->base;
		limit = ldt->limit;
	}
	if ((u64)off + len - 1 > limit)
		return false;
	*ret = cpu_long_mode(cpu) ? base + off : (u32)(base + off);
	return true;
}

/* Types whose descriptor is 16 bytes long in IA-32e mode (SDM 3:3.5). */
static bool descriptor_is_wide(const struct cpu *cpu, u64 desc)
{
	const unsigned wide = BIT(SYS_LDT) | BIT(SYS_TSS32) | BIT(SYS_TSS32_BUSY) | BIT(SYS_CALL32);

	return cpu_long_mode(cpu) && !(desc & DESC_S) && (BIT(DESC_TYPE(desc)) & wide);
}

int descriptor_read(struct cpu *cpu, u16 selector, u8 vector, u64 desc[2])
{
	u64 lin;
	int r;

	desc[1] = 0;
	if (!descriptor_address(cpu, selector, 8, &lin))
		return cpu_raise_err(cpu, vector, SEL_ERR(selector));
	r = mem_read(cpu, lin, &desc[0], 8, ACC_SYSTEM);
	if (r || likely(!descriptor_is_wide(cpu, desc[0])))
		return r;
	if (!descriptor_address(cpu, selector, 16, &lin))
		return cpu_raise_err(cpu, vector, SEL_ERR(selector));
	r = mem_read(cpu, lin + 8, &desc[1], 8, ACC_SYSTEM);
	/* The type field of the upper half must be 0, or it could be loaded as a descriptor of its own. */
	if (!r && (desc[1] >> 40 & 0x1f))
		return cpu_raise_err(cpu, vector, SEL_ERR(selector));
	return r;
}

static int descriptor_write_type(struct cpu *cpu, u16 selector, u64 desc)
{
	u8 byte = (u8)(desc >> 40);
	u64 lin;

	if (!descriptor_address(cpu, selector, 8, &lin))
		return cpu_raise_err(cpu, X86_GP, SEL_ERR(selector));
	return mem_write(cpu, lin + 5, &byte, 1, ACC_WRITE | ACC_SYSTEM);
}

int descriptor_set(struct cpu *cpu, u16 selector, u64 *desc, u8 bits)
{
	u64 value = *desc | (u64)bits << 40;
	int r;

	if (likely(value == *desc))
		return CPU_OK;
	r = descriptor_write_type(cpu, selector, value);
	if (!r)
		*desc = value;
	return r;
}

int descriptor_clear_busy(struct cpu *cpu, u16 selector)
{
	u64 lin, desc;
	int r;

	if (!descriptor_address(cpu, selector, 8, &lin))
		return CPU_OK;
	r = mem_read(cpu, lin, &desc, 8, ACC_SYSTEM);
	if (r)
		return r;
	return descriptor_write_type(cpu, selector, desc & ~((u64)SYS_BUSY << 40));
}

/* ---- hidden parts ---- */

void segment_from_descriptor(struct segment *s, u16 selector, const u64 desc[2])
{
	u64 d = desc[0];
	u32 limit = (u32)(d & 0xffff) | ((u32)(d >> 32) & 0xf0000);

	s->selector = selector;
	s->attr = (u32)(d >> 40) & 0xf0ff;
	s->limit = s->attr & SEG_G ? limit << 12 | 0xfff : limit;
	s->base = (d >> 16 & 0xffffff) | (d >> 32 & 0xff000000);
	if (!(d & DESC_S))
		s->base |= desc[1] << 32;
}

void segment_set_real(struct segment *s, u16 selector)
{
	s->selector = selector;
	s->base = (u64)selector << 4;
	s->attr &= ~SEG_UNUSABLE;
}

/* SDM 3:20.2.1: 64 KiB, writable data (code too), DPL 3. */
void segment_set_v86(struct segment *s, u16 selector)
{
	*s = (struct segment){
		.base = (u64)selector << 4, .limit = 0xffff, .attr = 0xf3, .selector = selector};
}

void segment_set_null(struct segment *s, u16 selector, unsigned dpl)
{
	*s = (struct segment){.attr = SEG_UNUSABLE | dpl << 5, .selector = selector};
}

void segment_set_flat_code(struct segment *s, u16 selector, unsigned dpl, bool l)
{
	*s = (struct segment){.limit = 0xffffffff,
		.selector = selector,
		.attr = 11 | SEG_S | dpl << 5 | SEG_P | SEG_G | (l ? SEG_L : SEG_DB)};
}

void segment_set_flat_data(struct segment *s, u16 selector, unsigned dpl)
{
	*s = (struct segment){.limit = 0xffffffff,
		.selector = selector,
		.attr = 3 | SEG_S | dpl << 5 | SEG_P | SEG_G | SEG_DB};
}

/* ---- loads ---- */

int segment_prepare_data(struct cpu *cpu, u16 selector, u8 vector, struct segment *ret)
{
	u32 err = SEL_ERR(selector);
	u64 d[2];
	int r;

	if (SEL_NULL(selector)) {
		segment_set_null(ret, selector, 0);
		return CPU_OK;
	}
	r = descriptor_read(cpu, selector, vector, d);
	if (r)
		return r;
	if (!(d[0] & DESC_S) || (d[0] & (DESC_CODE | DESC_WRITABLE)) == DESC_CODE)
		return cpu_raise_err(cpu, vector, err);
	if (!desc_is_code(d[0]) || !desc_is_conforming(d[0])) {
		unsigned dpl = DESC_DPL(d[0]);
		if (SEL_RPL(selector) > dpl || cpu->cpl > dpl)
			return cpu_raise_err(cpu, vector, err);
	}
	if (!(d[0] & DESC_P))
		return cpu_raise_err(cpu, X86_NP, err);
	r = descriptor_set(cpu, selector, &d[0], 1);
	if (!r)
		segment_from_descriptor(ret, selector, d);
	return r;
}

int segment_prepare_ss(struct cpu *cpu, u16 selector, unsigned cpl, u8 vector, struct segment *ret)
{
	u32 err = SEL_ERR(selector);
	u64 d[2];
	int r;

	r = descriptor_read(cpu, selector, vector, d);
	if (r)
		return r;
	if (SEL_RPL(selector) != cpl || !desc_is_writable_data(d[0]) || DESC_DPL(d[0]) != cpl)
		return cpu_raise_err(cpu, vector, err);
	if (!(d[0] & DESC_P))
		return cpu_raise_err(cpu, X86_SS, err);
	r = descriptor_set(cpu, selector, &d[0], 1);
	if (!r)
		segment_from_descriptor(ret, selector, d);
	return r;
}

/* A null SS is allowed in 64-bit mode below CPL 3 (SDM 2:MOV). */
static int prepare_ss_load(struct cpu *cpu, u16 selector, struct segment *ret)
{
	if (!SEL_NULL(selector))
		return segment_prepare_ss(cpu, selector, cpu->cpl, X86_GP, ret);
	if (cpu->code_size != 8 || cpu->cpl == 3 || SEL_RPL(selector) != cpu->cpl)
		return cpu_gp0(cpu);
	segment_set_null(ret, selector, cpu->cpl);
	return CPU_OK;
}

int seg_load(struct cpu *cpu, unsigned seg, u16 selector)
{
	struct segment s;
	int r;

	if (cpu_real_or_v86(cpu)) {
		segment_set_real(&cpu->seg[seg], selector);
		cpu_update_mode(cpu);
		return CPU_OK;
	}
	r = seg == SEG_SS ? prepare_ss_load(cpu, selector, &s)
			  : segment_prepare_data(cpu, selector, X86_GP, &s);
	if (r)
		return r;
	cpu->seg[seg] = s;
	cpu_update_mode(cpu);
	return CPU_OK;
}
