/* SPDX-License-Identifier: MIT */
/*
 * Operands of a decoded instruction: general registers by number and size, effective addresses,
 * and the r/m operand in either form. Nothing here changes state except the named destination.
 */

#include "engine/core/cpu.h"
#include "engine/cpu/segment.h"
#include "engine/insn/operand.h"
#include "engine/mem/mem.h"
#include "x86/insn.h"
#include "x86/regs.h"

/* Byte registers 4-7 without REX are ah ch dh bh: bits 8-15 of the first four (SDM 1:3.4.1.1). */
static bool is_high_byte(unsigned reg, unsigned size, bool rex)
{
	return size == 1 && !rex && reg >= 4 && reg < 8;
}

u64 reg_read(const struct cpu *cpu, unsigned reg, unsigned size, bool rex)
{
	if (is_high_byte(reg, size, rex))
		return (u8)(cpu->gpr[reg - 4] >> 8);
	switch (size) {
	case 1: return (u8)cpu->gpr[reg];
	case 2: return (u16)cpu->gpr[reg];
	case 4: return (u32)cpu->gpr[reg];
	default: return cpu->gpr[reg];
	}
}

void reg_write(struct cpu *cpu, unsigned reg, unsigned size, bool rex, u64 value)
{
	if (is_high_byte(reg, size, rex)) {
		u64 *r = &cpu->gpr[reg - 4];
		*r = (*r & ~0xff00ull) | (value & 0xff) << 8;
		return;
	}
	u64 *r = &cpu->gpr[reg];
	switch (size) {
	case 1: *r = (*r & ~0xffull) | (u8)value; break;
	case 2: *r = (*r & ~0xffffull) | (u16)value; break;
	case 4: *r = (u32)value; break;
	default: *r = value; break;
	}
}

u64 operand_cut(const struct insn *in, u64 off)
{
	switch (in->addr_size) {
	case 2: return (u16)off;
	case 4: return (u32)off;
	default: return off;
	}
}

u64 operand_offset(const struct cpu *cpu, const struct insn *in)
{
	u64 off = in->disp;

	if (in->base == BASE_RIP) /* relative to the following instruction (SDM 2:2.2.1.6) */
		off += cpu->rip + in->len;
	else if (in->base != REG_NONE)
		off += cpu->gpr[in->base];
	if (in->index != REG_NONE)
		off += cpu->gpr[in->index] * in->scale;
	return operand_cut(in, off);
}

int operand_linear(struct cpu *cpu, const struct insn *in, unsigned len, unsigned acc, u64 *ret)
{
	return seg_linear(cpu, in->seg, operand_offset(cpu, in), len, acc, ret);
}

int operand_aligned(struct cpu *cpu, const struct insn *in, unsigned len, unsigned align,
	unsigned acc, u64 *ret)
{
	return seg_aligned(cpu, in->seg, operand_offset(cpu, in), len, align, acc, ret);
}

int rm_read(struct cpu *cpu, const struct insn *in, unsigned size, u64 *ret)
{
	if (!in->is_mem) {
		*ret = reg_read(cpu, in->rm, size, in->pfx & PFX_REX);
		return CPU_OK;
	}
	u64 lin;
	int r = operand_aligned(cpu, in, size, size, ACC_READ, &lin);
	if (r)
		return r;
	return mem_read_u64(cpu, lin, ret, size, ACC_READ);
}

int rm_write(struct cpu *cpu, const struct insn *in, unsigned size, u64 value)
{
	if (!in->is_mem) {
		reg_write(cpu, in->rm, size, in->pfx & PFX_REX, value);
		return CPU_OK;
	}
	u64 lin;
	int r = operand_aligned(cpu, in, size, size, ACC_WRITE, &lin);
	if (r)
		return r;
	return mem_write(cpu, lin, &value, size, ACC_WRITE);
}
