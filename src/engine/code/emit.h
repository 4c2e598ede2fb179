/* SPDX-License-Identifier: MIT */
/*
 * Writing host instructions into the code cache: one function for each form of instruction that generated code has.
 *
 * Host register numbers are the encoding's (0-15). Fields of struct cpu are at [rsp + disp] (layout.h). Sizes are in bytes;
 * wide: 64-bit, else 32-bit. In names r is a register, m memory, i an immediate; the destination comes first.
 * The caller makes sure that there is room (cache_reserve).
 */
#ifndef ENGINE_CODE_EMIT_H
#define ENGINE_CODE_EMIT_H

#include "engine/code/emit_bytes.h"

#define H_RAX 0
#define H_RCX 1
#define H_RSP 4  /* struct cpu */
#define H_R9  9  /* scratch: address base after a memory check */
#define H_R10 10 /* scratch: linear address, then offset in page */
#define H_R11 11 /* the guest's rsp */

/* ---- memory operands ---- */

static inline struct emit_mem at_reg(unsigned base, s32 disp)
{
	return (struct emit_mem){(u8)base, REG_NONE, 1, disp};
}
static inline struct emit_mem at_sum(unsigned base, unsigned index, s32 disp)
{
	return (struct emit_mem){(u8)base, (u8)index, 1, disp};
}
/* A field of struct cpu, which the host's rsp points to. */
static inline struct emit_mem at_field(u32 field)
{
	return at_reg(H_RSP, (s32)field);
}
/* field[index] of struct cpu, eight bytes each */
static inline struct emit_mem at_entry(u32 field, unsigned index)
{
	return (struct emit_mem){H_RSP, (u8)index, 8, (s32)field};
}

/* ---- moves; flags untouched ---- */

/* lea dst, [base + index*scale + disp]; REG_NONE for absent parts. */
void emit_lea(struct emit *e, bool wide, unsigned dst, unsigned base, unsigned index,
	unsigned scale, s32 disp);
/* The lowest 16 bits alone: lea dst16, [base + index + disp] */
void emit_lea16(struct emit *e, unsigned dst, unsigned base, unsigned index, s32 disp);
/* lea dst, [rip + disp32] of a place not known yet: returns where the displacement is. */
static inline u8 *emit_lea_rip(struct emit *e, unsigned dst)
{
	emit_opcode(e, 0x8d | EO_W, emit_rxb(dst, REG_NONE, REG_NONE));
	emit8(e, (dst & 7) << 3 | 5);
	emit32(e, 0);
	return e->p - 4;
}
static inline void emit_mov_rr(struct emit *e, unsigned dst, unsigned src)
{
	emit_op_rr(e, 0x89 | EO_W, src, dst);
}
static inline void emit_mov_rr32(struct emit *e, unsigned dst, unsigned src)
{
	emit_op_rr(e, 0x89, src, dst);
}
/* The lowest 16 bits alone. */
static inline void emit_mov_rr16(struct emit *e, unsigned dst, unsigned src)
{
	emit_op_rr(e, 0x89 | EO_66, src, dst);
}
/* The lowest 8 bits alone. */
static inline void emit_mov_rr8(struct emit *e, unsigned dst, unsigned src)
{
	emit_op_rr(e, 0x88 | EO_REX, src, dst);
}
static inline void emit_movzx8(struct emit *e, unsigned dst, unsigned src)
{
	emit_op_rr(e, 0xb6 | EO_MAP(1) | (src >= 4 ? EO_REX : 0), dst, src);
}
static inline void emit_movzx16(struct emit *e, unsigned dst, unsigned src)
{
	emit_op_rr(e, 0xb7 | EO_MAP(1), dst, src);
}
/* dst = src32, sign-extended */
static inline void emit_movsxd(struct emit *e, unsigned dst, unsigned src)
{
	emit_op_rr(e, 0x63 | EO_W, dst, src);
}
/* Shortest form. */
static inline void emit_mov_ri(struct emit *e, unsigned reg, u64 v)
{
	u8 b = emit_rxb(0, REG_NONE, reg);

	if (v == (u32)v) {
		emit_opcode(e, 0xb8 | (reg & 7), b);
		emit32(e, (u32)v);
	} else if ((s64)v == (s32)v) {
		emit_op_rr(e, 0xc7 | EO_W, 0, reg);
		emit32(e, (u32)v);
	} else {
		emit_opcode(e, 0xb8 | EO_W | (reg & 7), b);
		emit64(e, v);
	}
}
/* Of 1 or 2 bytes the rest of the register stays. */
static inline void emit_mov_rm(struct emit *e, unsigned size, unsigned reg, struct emit_mem m)
{
	u32 op = size == 1 ? 0x8a | (reg >= 4 ? EO_REX : 0) : 0x8b | emit_size(size);

	emit_op_rm(e, op, reg, m);
}
static inline void emit_mov_mr(struct emit *e, unsigned size, struct emit_mem m, unsigned reg)
{
	u32 op = size == 1 ? 0x88 | (reg >= 4 ? EO_REX : 0) : 0x89 | emit_size(size);

	emit_op_rm(e, op, reg, m);
}
/* Of eight bytes: sign-extended. */
static inline void emit_mov_mi(struct emit *e, unsigned size, struct emit_mem m, u32 imm)
{
	emit_op_rm(e, size == 1 ? 0xc6 : 0xc7 | emit_size(size), 0, m);
	if (size == 1)
		emit8(e, (u8)imm);
	else if (size == 2)
		emit16(e, (u16)imm);
	else
		emit32(e, imm);
}
/* movzx reg32, byte [m] or word [m] */
static inline void emit_movzx_rm(struct emit *e, unsigned size, unsigned reg, struct emit_mem m)
{
	emit_op_rm(e, EO_MAP(1) | (size == 1 ? 0xb6 : 0xb7), reg, m);
}

/* ---- the same with fields of struct cpu ---- */

static inline void emit_load(struct emit *e, unsigned reg, u32 field)
{
	emit_mov_rm(e, 8, reg, at_field(field));
}
static inline void emit_load32(struct emit *e, unsigned reg, u32 field)
{
	emit_mov_rm(e, 4, reg, at_field(field));
}
/* movzx */
static inline void emit_load16(struct emit *e, unsigned reg, u32 field)
{
	emit_movzx_rm(e, 2, reg, at_field(field));
}
static inline void emit_store(struct emit *e, unsigned reg, u32 field)
{
	emit_mov_mr(e, 8, at_field(field), reg);
}
static inline void emit_store32(struct emit *e, unsigned reg, u32 field)
{
	emit_mov_mr(e, 4, at_field(field), reg);
}

/* ---- arithmetic ---- */

/* Opcode bits 5:3, or the digit of 80-83. */
enum emit_alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };

static inline void emit_alu_rr(
	struct emit *e, bool wide, enum emit_alu op, unsigned dst, unsigned src)
{
	emit_op_rr(e, (u32)op << 3 | 1 | (wide ? EO_W : 0), src, dst);
}
static inline void emit_alu_rm(
	struct emit *e, bool wide, enum emit_alu op, unsigned reg, struct emit_mem m)
{
	emit_op_rm(e, (u32)op << 3 | 3 | (wide ? EO_W : 0), reg, m);
}
static inline void emit_alu_ri(struct emit *e, bool wide, enum emit_alu op, unsigned reg, u32 imm)
{
	emit_op_rr(e, 0x81 | (wide ? EO_W : 0), op, reg);
	emit32(e, imm);
}
static inline void emit_alu_ri8(struct emit *e, bool wide, enum emit_alu op, unsigned reg, s8 imm)
{
	emit_op_rr(e, 0x83 | (wide ? EO_W : 0), op, reg);
	emit8(e, (u8)imm);
}
/* op [m], imm: of a byte, or sign-extended to 4 or 8 */
static inline void emit_alu_mi8(
	struct emit *e, unsigned size, enum emit_alu op, struct emit_mem m, s8 imm)
{
	emit_op_rm(e, size == 1 ? 0x80 : 0x83 | emit_size(size), op, m);
	emit8(e, (u8)imm);
}
static inline void emit_test_ri(struct emit *e, unsigned reg, u32 imm)
{
	emit_op_rr(e, 0xf7, 0, reg);
	emit32(e, imm);
}
/* 64 bits; flags untouched */
static inline void emit_not(struct emit *e, unsigned reg)
{
	emit_op_rr(e, 0xf7 | EO_W, 2, reg);
}
static inline void emit_inc_dec(struct emit *e, unsigned size, bool dec, unsigned reg)
{
	emit_op_rr(e, 0xff | emit_size(size), dec, reg);
}
/* bt, bts, btr or btc [m], reg: the second byte of its opcode */
static inline void emit_bt_mr(
	struct emit *e, bool wide, bool lock, u8 opcode, struct emit_mem m, unsigned reg)
{
	emit_op_rm(e, opcode | EO_MAP(1) | (wide ? EO_W : 0) | (lock ? EO_LOCK : 0), reg, m);
}
/* Flags untouched by these. */
static inline void emit_rorx(struct emit *e, bool wide, unsigned dst, unsigned src, u8 count)
{
	emit_vex(e, 0xf0 | EO_MAP(3) | EO_PP(3) | (wide ? EO_W : 0), emit_rxb(dst, REG_NONE, src),
		0);
	emit_modrm_reg(e, dst, src);
	emit8(e, count);
}
/* dst = src shifted right arithmetically by the register count */
static inline void emit_sarx(struct emit *e, bool wide, unsigned dst, unsigned src, unsigned count)
{
	emit_vex(e, 0xf7 | EO_MAP(2) | EO_PP(2) | (wide ? EO_W : 0), emit_rxb(dst, REG_NONE, src),
		count);
	emit_modrm_reg(e, dst, src);
}
static inline void emit_sarx_rm(
	struct emit *e, bool wide, unsigned dst, struct emit_mem m, unsigned count)
{
	emit_vex(e, 0xf7 | EO_MAP(2) | EO_PP(2) | (wide ? EO_W : 0), emit_rxb(dst, m.index, m.base),
		count);
	emit_modrm_mem(e, dst, m);
}
static inline void emit_pext_rm(struct emit *e, unsigned dst, unsigned src, struct emit_mem mask)
{
	emit_vex(e, 0xf5 | EO_MAP(2) | EO_PP(2) | EO_W, emit_rxb(dst, mask.index, mask.base), src);
	emit_modrm_mem(e, dst, mask);
}
static inline void emit_pdep_rm(struct emit *e, unsigned dst, unsigned src, struct emit_mem mask)
{
	emit_vex(e, 0xf5 | EO_MAP(2) | EO_PP(3) | EO_W, emit_rxb(dst, mask.index, mask.base), src);
	emit_modrm_mem(e, dst, mask);
}

/* ---- the rest ---- */

static inline void emit_push(struct emit *e, unsigned reg)
{
	emit_opcode(e, 0x50 | (reg & 7), emit_rxb(0, REG_NONE, reg));
}
static inline void emit_pop(struct emit *e, unsigned reg)
{
	emit_opcode(e, 0x58 | (reg & 7), emit_rxb(0, REG_NONE, reg));
}
static inline void emit_pushf(struct emit *e)
{
	emit_opcode(e, 0x9c, 0);
}
static inline void emit_popf(struct emit *e)
{
	emit_opcode(e, 0x9d, 0);
}
static inline void emit_rdtsc(struct emit *e)
{
	emit_opcode(e, 0x31 | EO_MAP(1), 0);
}
static inline void emit_rdtscp(struct emit *e)
{
	emit_op_rr(e, 0x01 | EO_MAP(1), 7, 1);
}
/* A string instruction of that opcode, of the host's rsi and rdi. */
static inline void emit_string(struct emit *e, u8 opcode, unsigned size, bool rep)
{
	emit_opcode(e, opcode | emit_size(size) | (rep ? EO_REP : 0), 0);
}
/* n bytes that do nothing, in one instruction. */
#define EMIT_NOP_MAX 5
void emit_nop(struct emit *e, unsigned n);
/* Bytes of an immediate, each masked. */
void emit_bytes(struct emit *e, const u8 *bytes, unsigned n, u8 mask);
/* int3 up to an address that is a multiple of align, a power of two. */
void emit_pad(struct emit *e, unsigned align);

/* ---- branches ---- */

#define CC_B  2
#define CC_E  4
#define CC_NE 5
#define CC_A  7
#define CC_G  15

/* jmp/jcc rel32 to a place not known yet: returns where the displacement is. */
static inline u8 *emit_jmp32(struct emit *e)
{
	emit_opcode(e, 0xe9, 0);
	emit32(e, 0);
	return e->p - 4;
}
static inline u8 *emit_jcc32(struct emit *e, unsigned cc)
{
	emit_opcode(e, 0x80 | EO_MAP(1) | cc, 0);
	emit32(e, 0);
	return e->p - 4;
}
/* The same unless rcx, or ecx, is zero, whatever the flags: jrcxz over a jump. */
static inline u8 *emit_jmp32_unless_rcxz(struct emit *e)
{
	emit_opcode(e, 0xe3, 0);
	emit8(e, 5);
	return emit_jmp32(e);
}
static inline u8 *emit_jmp32_unless_ecxz(struct emit *e)
{
	emit8(e, 0x67);
	return emit_jmp32_unless_rcxz(e);
}
static inline void emit_patch32(u8 *at, const u8 *target)
{
	s32 rel = (s32)(target - (at + 4));

	__builtin_memcpy(at, &rel, 4);
}
/* The bytes of jmp rel32 as a number, for who must write them all at once; rel is counted from behind them. */
#define EMIT_JMP_BYTES 5
static inline u64 emit_jmp_word(s32 rel)
{
	return 0xe9 | (u64)(u32)rel << 8;
}
/* jmp to an address given in the executable view, anywhere within 2 GiB. */
static inline void emit_jmp_exec(struct emit *e, const void *target)
{
	emit_patch32(emit_jmp32(e), (const u8 *)target - e->exec_delta);
}
static inline void emit_jmp_m(struct emit *e, struct emit_mem m)
{
	emit_op_rm(e, 0xff, 4, m);
}
/* jmp to anywhere: its address follows. */
static inline void emit_jmp_abs(struct emit *e, u64 target)
{
	emit_opcode(e, 0xff, 0);
	emit8(e, 4 << 3 | 5); /* [rip + 0] */
	emit32(e, 0);
	emit64(e, target);
}

#endif
