/* SPDX-License-Identifier: MIT */
/*
 * Which instructions there are, and what each does: moves, integer arithmetic, bits, the stack, strings. Opcodes are
 * those of SDM 2, appendix A; instructions that only have registers do not come here.
 */
#include "libkvm/mshv/emulate.h"

/* ---- registers and operands ---- */

/* Byte registers 4-7 without REX are ah ch dh bh (SDM 1:3.4.1.1). */
static bool high_byte(const struct emu *e, unsigned reg, unsigned size)
{
	return size == 1 && !(e->in.pfx & PFX_REX) && reg >= 4 && reg < 8;
}

u64 emu_reg(const struct emu *e, unsigned reg, unsigned size)
{
	if (high_byte(e, reg, size))
		return (u8)(e->next.gpr[reg - 4] >> 8);
	return emu_cut(e->next.gpr[reg], size);
}

/* Four bytes clear the upper half, fewer keep the rest. */
void emu_set_reg(struct emu *e, unsigned reg, unsigned size, u64 value)
{
	u64 *r = &e->next.gpr[high_byte(e, reg, size) ? reg - 4 : reg];

	if (high_byte(e, reg, size))
		*r = (*r & ~0xff00ull) | (u64)(u8)value << 8;
	else if (size >= 4)
		*r = emu_cut(value, size);
	else
		*r = (*r & ~(BIT64(8 * size) - 1)) | emu_cut(value, size);
}

static u64 offset(const struct emu *e)
{
	const struct insn *in = &e->in;
	u64 off = (u64)in->disp;

	if (in->base == BASE_RIP)
		off += e->regs.rip + in->len;
	else if (in->base != REG_NONE)
		off += e->next.gpr[in->base];
	if (in->index != REG_NONE)
		off += e->next.gpr[in->index] * in->scale;
	return emu_cut(off, in->addr_size);
}

static enum emu_result rm_read(struct emu *e, unsigned size, u64 *ret)
{
	if (e->in.is_mem)
		return emu_read(e, e->in.seg, offset(e), size, ret);
	*ret = emu_reg(e, e->in.rm, size);
	return EMU_DONE;
}

static enum emu_result rm_write(struct emu *e, unsigned size, u64 value)
{
	if (e->in.is_mem)
		return emu_write(e, e->in.seg, offset(e), size, value);
	emu_set_reg(e, e->in.rm, size, value);
	return EMU_DONE;
}

static u64 reg_of(const struct emu *e)
{
	return emu_reg(e, e->in.reg, e->in.op_size);
}

static u64 sign_extend(u64 value, unsigned size)
{
	const unsigned shift = 64 - 8 * size;

	return (u64)((s64)(value << shift) >> shift);
}

/* ---- moves ---- */

static enum emu_result move_to_rm(struct emu *e, u64 value)
{
	return rm_write(e, e->in.op_size, value);
}

static enum emu_result move_to_reg(struct emu *e, unsigned from, bool is_signed)
{
	u64 value;
	enum emu_result r = rm_read(e, from, &value);

	if (!r)
		emu_set_reg(
			e, e->in.reg, e->in.op_size, is_signed ? sign_extend(value, from) : value);
	return r;
}

static enum emu_result move_absolute(struct emu *e)
{
	u64 value;
	enum emu_result r;

	if (e->in.opcode >= 0xa2)
		return rm_write(e, e->in.op_size, emu_reg(e, RAX, e->in.op_size));
	r = rm_read(e, e->in.op_size, &value);
	if (!r)
		emu_set_reg(e, RAX, e->in.op_size, value);
	return r;
}

/* A selector's 16 bits, whatever the size of a register; one in memory is all that is read or written. */
static enum emu_result move_from_segment(struct emu *e)
{
	return rm_write(e, e->in.is_mem ? 2 : e->in.op_size, e->segment[e->in.reg].selector);
}

static enum emu_result exchange(struct emu *e)
{
	const u64 mine = reg_of(e);
	u64 value;
	enum emu_result r = rm_read(e, e->in.op_size, &value);

	if (!r)
		r = rm_write(e, e->in.op_size, mine);
	if (!r)
		emu_set_reg(e, e->in.reg, e->in.op_size, value);
	return r;
}

/* A destination of four bytes loses its upper half also if the condition does not hold (SDM 2: CMOVcc). */
static enum emu_result move_if(struct emu *e)
{
	u64 value;
	enum emu_result r = rm_read(e, e->in.op_size, &value);

	if (!r)
		emu_set_reg(e, e->in.reg, e->in.op_size,
			condition_holds(e->regs.rflags, e->in.opcode) ? value : reg_of(e));
	return r;
}

/* ---- arithmetic ---- */

static enum emu_result modify(struct emu *e, enum emu_alu op, u64 operand)
{
	u64 value;
	enum emu_result r = rm_read(e, e->in.op_size, &value);

	if (r)
		return r;
	value = emu_alu(op, e->in.op_size, value, operand, &e->next.rflags);
	return op == EMU_CMP ? EMU_DONE : rm_write(e, e->in.op_size, value);
}

static enum emu_result combine(struct emu *e, enum emu_alu op)
{
	u64 value;
	enum emu_result r = rm_read(e, e->in.op_size, &value);

	if (r)
		return r;
	value = emu_alu(op, e->in.op_size, reg_of(e), value, &e->next.rflags);
	if (op != EMU_CMP)
		emu_set_reg(e, e->in.reg, e->in.op_size, value);
	return EMU_DONE;
}

static enum emu_result test(struct emu *e, u64 operand)
{
	u64 value;
	enum emu_result r = rm_read(e, e->in.op_size, &value);

	if (!r)
		emu_alu(EMU_AND, e->in.op_size, value, operand, &e->next.rflags);
	return r;
}

/* F6 and F7, by modrm.reg. */
static enum emu_result unary(struct emu *e)
{
	const unsigned size = e->in.op_size, which = e->in.modrm >> 3 & 7;
	u64 value;
	enum emu_result r;

	if (which < 2)
		return test(e, e->in.imm);
	if (which > 3)
		return EMU_UNKNOWN;
	r = rm_read(e, size, &value);
	if (r)
		return r;
	value = which == 2 ? ~value : emu_alu(EMU_SUB, size, 0, value, &e->next.rflags);
	return rm_write(e, size, value);
}

static enum emu_result step(struct emu *e, bool up)
{
	const unsigned size = e->in.op_size;
	u64 value;
	enum emu_result r = rm_read(e, size, &value);

	if (r)
		return r;
	value = up ? emu_increment(size, value, &e->next.rflags)
		   : emu_decrement(size, value, &e->next.rflags);
	return rm_write(e, size, value);
}

static enum emu_result exchange_add(struct emu *e)
{
	const unsigned size = e->in.op_size;
	u64 value;
	enum emu_result r = rm_read(e, size, &value);

	if (r)
		return r;
	r = rm_write(e, size, emu_alu(EMU_ADD, size, value, reg_of(e), &e->next.rflags));
	if (!r)
		emu_set_reg(e, e->in.reg, size, value);
	return r;
}

/* The destination is written in either case (SDM 2: CMPXCHG). */
static enum emu_result compare_exchange(struct emu *e)
{
	const unsigned size = e->in.op_size;
	u64 value;
	enum emu_result r = rm_read(e, size, &value);

	if (r)
		return r;
	emu_alu(EMU_CMP, size, emu_reg(e, RAX, size), value, &e->next.rflags);
	if (e->next.rflags & FL_ZF)
		return rm_write(e, size, reg_of(e));
	r = rm_write(e, size, value);
	if (!r)
		emu_set_reg(e, RAX, size, value);
	return r;
}

/* ---- bits ---- */

enum bit_change { BIT_TEST, BIT_SET, BIT_RESET, BIT_FLIP };

static u64 changed(enum bit_change op, u64 value, u64 bit)
{
	switch (op) {
	case BIT_SET: return value | bit;
	case BIT_RESET: return value & ~bit;
	case BIT_FLIP: return value ^ bit;
	default: return value;
	}
}

static enum emu_result bit_at(struct emu *e, enum bit_change op, u64 where, u64 number)
{
	const unsigned size = e->in.op_size;
	const u64 bit = BIT64(number % (8 * size));
	u64 value;
	enum emu_result r = emu_read(e, e->in.seg, where, size, &value);

	if (r)
		return r;
	e->next.rflags = (e->next.rflags & ~FL_CF) | (value & bit ? FL_CF : 0);
	return op == BIT_TEST ? EMU_DONE
			      : emu_write(e, e->in.seg, where, size, changed(op, value, bit));
}

/* A number in a register is signed and reaches beyond the operand (SDM 2: BT). */
static enum emu_result bit_by_register(struct emu *e, enum bit_change op)
{
	const unsigned size = e->in.op_size, shift = (unsigned)__builtin_ctz(8 * size);
	const s64 number = (s64)sign_extend(reg_of(e), size);
	const u64 where = offset(e) + (u64)(number >> shift) * size;

	return bit_at(e, op, emu_cut(where, e->in.addr_size), (u64)number);
}

static enum emu_result bit_by_number(struct emu *e)
{
	return bit_at(e, e->in.modrm >> 3 & 3, offset(e), e->in.imm);
}

/* ---- the stack ---- */

static unsigned stack_width(const struct emu *e)
{
	if (e->mode == 8)
		return 8;
	return e->segment[SEG_SS].attr & SEG_DB ? 4 : 2;
}

static enum emu_result push(struct emu *e, u64 value)
{
	const unsigned width = stack_width(e);
	const u64 sp = emu_cut(e->next.gpr[RSP] - e->in.op_size, width);
	enum emu_result r = emu_write(e, SEG_SS, sp, e->in.op_size, value);

	if (!r)
		emu_set_reg(e, RSP, width, sp);
	return r;
}

static enum emu_result pop(struct emu *e, u64 *ret)
{
	const unsigned width = stack_width(e);
	enum emu_result r =
		emu_read(e, SEG_SS, emu_cut(e->next.gpr[RSP], width), e->in.op_size, ret);

	if (!r)
		emu_set_reg(e, RSP, width, e->next.gpr[RSP] + e->in.op_size);
	return r;
}

static enum emu_result push_rm(struct emu *e)
{
	u64 value;
	enum emu_result r = rm_read(e, e->in.op_size, &value);

	return r ? r : push(e, value);
}

/* The address is computed with the new stack pointer (SDM 2: POP). */
static enum emu_result pop_rm(struct emu *e)
{
	u64 value;
	enum emu_result r = pop(e, &value);

	return r ? r : rm_write(e, e->in.op_size, value);
}

static enum emu_result pop_reg(struct emu *e)
{
	u64 value;
	enum emu_result r = pop(e, &value);

	if (!r)
		emu_set_reg(e, e->in.reg, e->in.op_size, value);
	return r;
}

/* ---- by opcode ---- */

/* 00 to 3D: the operation in bits 5 to 3, the operands in 2 to 0. */
static enum emu_result alu(struct emu *e)
{
	const enum emu_alu op = e->in.opcode >> 3 & 7;

	switch (e->in.opcode & 7) {
	case 0:
	case 1: return modify(e, op, reg_of(e));
	case 2:
	case 3: return combine(e, op);
	default: return EMU_UNKNOWN;
	}
}

/* FE and FF. */
static enum emu_result group5(struct emu *e)
{
	switch (e->in.modrm >> 3 & 7) {
	case 0: return step(e, true);
	case 1: return step(e, false);
	case 6: return push_rm(e);
	default: return EMU_UNKNOWN;
	}
}

static enum emu_result one_byte(struct emu *e)
{
	const unsigned size = e->in.op_size;

	switch (e->in.opcode) {
	case 0x00 ... 0x3f: return alu(e);
	case 0x50 ... 0x57: return push(e, emu_reg(e, e->in.reg, size));
	case 0x58 ... 0x5f: return pop_reg(e);
	case 0x63: return move_to_reg(e, 4, true);
	case 0x68:
	case 0x6a: return push(e, e->in.imm);
	case 0x80 ... 0x83: return modify(e, e->in.modrm >> 3 & 7, e->in.imm);
	case 0x84 ... 0x85: return test(e, reg_of(e));
	case 0x86 ... 0x87: return exchange(e);
	case 0x88 ... 0x89: return move_to_rm(e, reg_of(e));
	case 0x8a ... 0x8b: return move_to_reg(e, size, false);
	case 0x8c: return move_from_segment(e);
	case 0x8f: return pop_rm(e);
	case 0xa0 ... 0xa3: return move_absolute(e);
	case 0xa4 ... 0xa7:
	case 0xaa ... 0xaf: return emu_string(e);
	case 0xc6 ... 0xc7: return move_to_rm(e, e->in.imm);
	case 0xf6 ... 0xf7: return unary(e);
	case 0xfe ... 0xff: return group5(e);
	default: return EMU_UNKNOWN;
	}
}

static enum emu_result two_bytes(struct emu *e)
{
	switch (e->in.opcode) {
	case 0x40 ... 0x4f: return move_if(e);
	case 0x90 ... 0x9f: return rm_write(e, 1, condition_holds(e->regs.rflags, e->in.opcode));
	case 0xa3: return bit_by_register(e, BIT_TEST);
	case 0xab: return bit_by_register(e, BIT_SET);
	case 0xb3: return bit_by_register(e, BIT_RESET);
	case 0xbb: return bit_by_register(e, BIT_FLIP);
	case 0xba: return bit_by_number(e);
	case 0xb0 ... 0xb1: return compare_exchange(e);
	case 0xb6: return move_to_reg(e, 1, false);
	case 0xb7: return move_to_reg(e, 2, false);
	case 0xbe: return move_to_reg(e, 1, true);
	case 0xbf: return move_to_reg(e, 2, true);
	case 0xc0 ... 0xc1: return exchange_add(e);
	case 0xc3: return move_to_rm(e, reg_of(e));
	default: return EMU_UNKNOWN;
	}
}

static enum emu_result execute(struct emu *e)
{
	if (e->in.enc != ENC_LEGACY || e->in.map > 1)
		return EMU_UNKNOWN;
	return e->in.map ? two_bytes(e) : one_byte(e);
}

enum emu_result emulate(struct emu *e)
{
	enum emu_result r;

	if (insn_decode(&e->in, e->bytes, e->n_bytes, e->mode) != INSN_OK)
		return EMU_UNKNOWN;
	e->next = e->regs;
	e->n_writes = e->n_stores = e->reads_used = 0;
	e->again = false;
	r = execute(e);
	if (r)
		return r;
	if (!e->again)
		e->next.rip = emu_cut(e->next.rip + e->in.len, e->mode);
	e->next.rflags &= ~FL_RF;
	r = emu_commit(e);
	if (!r)
		e->regs = e->next;
	return r;
}
