/* SPDX-License-Identifier: MIT */
/*
 * Unprivileged instructions that the host cannot execute as they stand: encodings that 64-bit mode
 * dropped or reused, and addressing that is not a plain r/m operand.
 */
#include "engine/host/hostmem.h"
#include "engine/cpu/segment.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/mem/mem.h"

static u64 truncate_offset(const struct insn *in, u64 off)
{
	return in->addr_size == 8 ? off : in->addr_size == 4 ? (u32)off : (u16)off;
}

/* A0-A3: mov between the accumulator and [offset]. */
int op_mov_moffs(struct cpu *cpu, const struct insn *in)
{
	bool store = in->opcode & 2;
	unsigned acc = store ? ACC_WRITE : ACC_READ;
	u64 lin, value, off = truncate_offset(in, in->imm);
	int r = seg_aligned(cpu, in->seg, off, in->op_size, in->op_size, acc, &lin);

	if (r)
		return r;
	if (store)
		return mem_write(cpu, lin, &cpu->gpr[RAX], in->op_size, ACC_WRITE);
	r = mem_read_u64(cpu, lin, &value, in->op_size, ACC_READ);
	if (!r)
		reg_write(cpu, RAX, in->op_size, true, value);
	return r;
}

int op_xlat(struct cpu *cpu, const struct insn *in)
{
	u64 lin, value, off = truncate_offset(in, cpu->gpr[RBX] + (u8)cpu->gpr[RAX]);
	int r = seg_linear(cpu, in->seg, off, 1, ACC_READ, &lin);

	if (!r)
		r = mem_read_u64(cpu, lin, &value, 1, ACC_READ);
	if (!r)
		reg_write(cpu, RAX, 1, true, value);
	return r;
}

int op_salc(struct cpu *cpu, const struct insn *in)
{
	reg_write(cpu, RAX, 1, true, cpu->rflags & FL_CF ? 0xff : 0);
	return CPU_OK;
}

/* The line is where the guest's memory is; only translation faults are visible (SDM 2: CLFLUSH). */
int op_clflush(struct cpu *cpu, const struct insn *in)
{
	u64 lin;
	int r = operand_linear(cpu, in, 1, ACC_READ, &lin);

	return r ? r : mem_probe_read(cpu, lin, 1, ACC_READ);
}

int op_bound(struct cpu *cpu, const struct insn *in)
{
	unsigned size = in->op_size;
	u64 lin, pair = 0;
	int r = operand_aligned(cpu, in, 2 * size, size, ACC_READ, &lin);

	if (!r)
		r = mem_read(cpu, lin, &pair, 2 * size, ACC_READ);
	if (r)
		return r;
	s64 index, low, high;
	if (size == 2) {
		index = (s16)cpu->gpr[in->reg];
		low = (s16)pair;
		high = (s16)(pair >> 16);
	} else {
		index = (s32)cpu->gpr[in->reg];
		low = (s32)pair;
		high = (s32)(pair >> 32);
	}
	return index < low || index > high ? cpu_raise(cpu, X86_BR) : CPU_OK;
}

/* ---- bt, bts, btr, btc with a register bit offset ---- */

enum bit_op { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

static u64 bit_apply(enum bit_op op, u64 value, u64 mask)
{
	switch (op) {
	case BIT_SET: return value | mask;
	case BIT_RESET: return value & ~mask;
	case BIT_COMPLEMENT: return value ^ mask;
	default: return value;
	}
}

static void set_cf(struct cpu *cpu, bool cf)
{
	cpu->rflags = (cpu->rflags & ~FL_CF) | (cf ? FL_CF : 0);
}

/* The bit offset is signed and selects a word before or after the operand (SDM 2: BT). */
static u64 bit_string_offset(const struct cpu *cpu, const struct insn *in, unsigned *bit)
{
	unsigned size = in->op_size;
	s64 n = cpu->gpr[in->reg];

	if (size == 4)
		n = (s32)n;
	else if (size == 2)
		n = (s16)n;
	*bit = n & (size * 8 - 1);
	return truncate_offset(in, operand_offset(cpu, in) + ((n >> 3) & -(s64)size));
}

/* One bit lies in one byte, so atomicity of that byte is atomicity of the operand. */
static int bit_locked(struct cpu *cpu, enum bit_op op, u8 *byte, unsigned bit)
{
	static int (*const locked[])(u8 *, u8) = {[BIT_SET] = host_lock_or,
		[BIT_RESET] = host_lock_andnot,
		[BIT_COMPLEMENT] = host_lock_xor};
	int old = locked[op](byte, 1u << bit);

	if (old < 0)
		return host_refused(cpu);
	set_cf(cpu, old >> bit & 1);
	return CPU_OK;
}

static int bit_memory(struct cpu *cpu, const struct insn *in, enum bit_op op)
{
	unsigned bit, size = in->op_size, acc = op == BIT_TEST ? ACC_READ : ACC_WRITE;
	u64 lin, old, watched, off = bit_string_offset(cpu, in, &bit);
	void *host = NULL;
	int r = seg_aligned(cpu, in->seg, off, size, size, acc, &lin);

	if (!r && (in->pfx & PFX_LOCK))
		r = mem_host_store(cpu, lin, size, ACC_WRITE | ACC_ALSO_READ, &host, &watched);
	if (r)
		return r;
	if (host) {
		r = bit_locked(cpu, op, (u8 *)host + bit / 8, bit % 8);
		if (!r && watched != MEM_UNWATCHED)
			code_written(cpu, watched, size);
		return r;
	}
	if (op != BIT_TEST)
		r = mem_probe_write(cpu, lin, size, ACC_WRITE);
	if (!r)
		r = mem_read_u64(cpu, lin, &old, size, op == BIT_TEST ? ACC_READ : ACC_ALSO_WRITE);
	if (!r && op != BIT_TEST) {
		u64 new = bit_apply(op, old, 1ull << bit);
		r = mem_write(cpu, lin, &new, size, ACC_WRITE | ACC_ALSO_READ);
	}
	if (!r)
		set_cf(cpu, old >> bit & 1);
	return r;
}

/* The register forms are the host's. A3 AB B3 BB. */
int op_bt_mem(struct cpu *cpu, const struct insn *in)
{
	return bit_memory(cpu, in, (in->opcode >> 3) & 3);
}

/* ---- inc, dec in their one-byte encodings, which are REX prefixes in 64-bit mode ---- */

/* Flags as `lahf; seto al` leaves them in ax. CF is not theirs to change. */
static void set_flags_but_cf(struct cpu *cpu, u16 ax)
{
	u64 flags = ((ax >> 8) & (FL_SF | FL_ZF | FL_AF | FL_PF)) | (ax & 1 ? FL_OF : 0);

	cpu->rflags = (cpu->rflags & ~(FL_STATUS & ~FL_CF)) | flags;
}

int op_inc_dec_short(struct cpu *cpu, const struct insn *in)
{
	u32 value = cpu->gpr[in->reg];
	u16 ax;

#define HOST(insn) __asm__(insn "\n\tlahf\n\tseto %%al" : "+r"(value), "=&a"(ax)::"cc")
	if (in->op_size == 2) {
		if (in->opcode & 8)
			HOST("decw %w0");
		else
			HOST("incw %w0");
	} else {
		if (in->opcode & 8)
			HOST("decl %0");
		else
			HOST("incl %0");
	}
#undef HOST
	reg_write(cpu, in->reg, in->op_size, true, value);
	set_flags_but_cf(cpu, ax);
	return CPU_OK;
}

/* ---- decimal adjustment (SDM 2: AAA AAD AAM AAS DAA DAS) ---- */

static u64 result_flags(u8 v)
{
	bool even = !__builtin_parity(v);

	return (v & 0x80 ? FL_SF : 0) | (v == 0 ? FL_ZF : 0) | (even ? FL_PF : 0);
}

static void set_ax(struct cpu *cpu, u16 ax, u64 cf_af)
{
	reg_write(cpu, RAX, 2, true, ax);
	cpu->rflags = (cpu->rflags & ~FL_STATUS) | result_flags(ax) | cf_af;
}

static void decimal_after_add_sub(struct cpu *cpu, bool subtract)
{
	u8 al = cpu->gpr[RAX], old_al = al;
	bool old_cf = cpu->rflags & FL_CF, cf = false, af = false;

	if ((al & 15) > 9 || (cpu->rflags & FL_AF)) {
		cf = old_cf || (subtract ? al < 6 : al > 0xf9);
		al = subtract ? al - 6 : al + 6;
		af = true;
	}
	if (old_al > 0x99 || old_cf) {
		al = subtract ? al - 0x60 : al + 0x60;
		cf = true;
	} else if (!subtract) {
		cf = false;
	}
	set_ax(cpu, (cpu->gpr[RAX] & 0xff00) | al, (cf ? FL_CF : 0) | (af ? FL_AF : 0));
}

static void ascii_after_add_sub(struct cpu *cpu, bool subtract)
{
	u16 ax = cpu->gpr[RAX];
	bool adjust = (ax & 15) > 9 || (cpu->rflags & FL_AF);

	if (adjust && subtract)
		ax = (u16)(ax - 6) - 0x100;
	else if (adjust)
		ax += 0x106;
	set_ax(cpu, ax & 0xff0f, adjust ? FL_CF | FL_AF : 0);
}

int op_bcd(struct cpu *cpu, const struct insn *in)
{
	u8 base = in->imm, al = cpu->gpr[RAX], ah = cpu->gpr[RAX] >> 8;

	switch (in->opcode) {
	case 0x27: decimal_after_add_sub(cpu, false); break;
	case 0x2f: decimal_after_add_sub(cpu, true); break;
	case 0x37: ascii_after_add_sub(cpu, false); break;
	case 0x3f: ascii_after_add_sub(cpu, true); break;
	case 0xd4: /* aam */
		if (base == 0)
			return cpu_raise(cpu, X86_DE);
		set_ax(cpu, (al / base) << 8 | al % base, 0);
		break;
	default: set_ax(cpu, (u8)(al + ah * base), 0); break; /* aad */
	}
	return CPU_OK;
}
