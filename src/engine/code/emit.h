/* SPDX-License-Identifier: MIT */
/*
 * Writing host instructions into the code cache, byte by byte.
 *
 * Host register numbers are the encoding's (0-15). Fields of struct cpu are at [rsp + disp] (layout.h).
 * The caller makes sure that there is room (cache_reserve).
 */
#ifndef ENGINE_CODE_EMIT_H
#define ENGINE_CODE_EMIT_H

#include "base/types.h"
#include "x86/insn.h"

#define H_RAX 0
#define H_RCX 1
#define H_RSP 4  /* struct cpu */
#define H_R9  9  /* scratch: address base after a memory check */
#define H_R10 10 /* scratch: linear address, then offset in page */
#define H_R11 11 /* the guest's rsp */

struct emit {
	u8 *p;          /* writable view */
	s64 exec_delta; /* executable view minus writable view */
};

static inline void emit8(struct emit *e, u8 v)
{
	*e->p++ = v;
}
static inline void emit32(struct emit *e, u32 v)
{
	__builtin_memcpy(e->p, &v, 4);
	e->p += 4;
}
static inline void emit64(struct emit *e, u64 v)
{
	__builtin_memcpy(e->p, &v, 8);
	e->p += 8;
}

/* lea dst, [base + index*scale + disp]; REG_NONE for absent parts. wide false: 32-bit result. */
void emit_lea(struct emit *e, bool wide, unsigned dst, unsigned base, unsigned index,
	unsigned scale, s32 disp);
/* A modrm with memory [base + disp] or [base + index], register field reg (low three bits). */
void emit_modrm_mem(
	struct emit *e, unsigned reg, unsigned base, unsigned index, unsigned scale, s32 disp);

/* The operand of an instruction that is a field of struct cpu, which the host's rsp points to; register field reg. */
static inline void emit_field(struct emit *e, unsigned reg, u32 field)
{
	emit_modrm_mem(e, reg, H_RSP, REG_NONE, 1, (s32)field);
}
/* REX.W op reg, field of struct cpu (or without W for 32-bit). */
static inline void emit_cpu(struct emit *e, bool wide, u8 op, unsigned reg, u32 field)
{
	if (wide || reg >= 8)
		emit8(e, 0x40 | (wide ? 8 : 0) | (reg >= 8 ? 4 : 0));
	emit8(e, op);
	emit_field(e, reg, field);
}
static inline void emit_load(struct emit *e, unsigned reg, u32 field)
{
	emit_cpu(e, true, 0x8b, reg, field);
}
static inline void emit_load32(struct emit *e, unsigned reg, u32 field)
{
	emit_cpu(e, false, 0x8b, reg, field);
}
/* movzx */
static inline void emit_load16(struct emit *e, unsigned reg, u32 field)
{
	if (reg >= 8)
		emit8(e, 0x44);
	emit8(e, 0x0f);
	emit8(e, 0xb7);
	emit_field(e, reg, field);
}
static inline void emit_store(struct emit *e, unsigned reg, u32 field)
{
	emit_cpu(e, true, 0x89, reg, field);
}
/* op reg, field[index] of struct cpu, eight bytes each */
static inline void emit_cpu_index(struct emit *e, u8 op, unsigned reg, unsigned index, u32 field)
{
	emit8(e, 0x48 | (reg >= 8 ? 4 : 0) | (index >= 8 ? 2 : 0));
	emit8(e, op);
	emit_modrm_mem(e, reg, H_RSP, index, 8, (s32)field);
}
static inline void emit_mov_rr(struct emit *e, unsigned dst, unsigned src)
{
	emit8(e, 0x48 | (src >= 8 ? 4 : 0) | (dst >= 8 ? 1 : 0));
	emit8(e, 0x89);
	emit8(e, 0xc0 | (src & 7) << 3 | (dst & 7));
}
static inline void emit_mov_rr32(struct emit *e, unsigned dst, unsigned src)
{
	emit8(e, 0x40 | (src >= 8 ? 4 : 0) | (dst >= 8 ? 1 : 0));
	emit8(e, 0x89);
	emit8(e, 0xc0 | (src & 7) << 3 | (dst & 7));
}
/* The lowest 16 bits alone. */
static inline void emit_mov_rr16(struct emit *e, unsigned dst, unsigned src)
{
	emit8(e, 0x66);
	emit_mov_rr32(e, dst, src);
}
/* movzx dst, src16 */
static inline void emit_movzx16(struct emit *e, unsigned dst, unsigned src)
{
	if (dst >= 8 || src >= 8)
		emit8(e, 0x40 | (dst >= 8 ? 4 : 0) | (src >= 8 ? 1 : 0));
	emit8(e, 0x0f);
	emit8(e, 0xb7);
	emit8(e, 0xc0 | (dst & 7) << 3 | (src & 7));
}
/* rorx dst, src, count; flags untouched */
static inline void emit_rorx(struct emit *e, bool wide, unsigned dst, unsigned src, u8 count)
{
	emit8(e, 0xc4);
	emit8(e, 3 | (dst >= 8 ? 0 : 0x80) | 0x40 | (src >= 8 ? 0 : 0x20));
	emit8(e, wide ? 0xfb : 0x7b);
	emit8(e, 0xf0);
	emit8(e, 0xc0 | (dst & 7) << 3 | (src & 7));
	emit8(e, count);
}
/* Shortest form; flags untouched. */
static inline void emit_mov_imm(struct emit *e, unsigned reg, u64 v)
{
	if (v == (u32)v) {
		if (reg >= 8)
			emit8(e, 0x41);
		emit8(e, 0xb8 | (reg & 7));
		emit32(e, (u32)v);
	} else if ((s64)v == (s32)v) {
		emit8(e, 0x48 | (reg >= 8 ? 1 : 0));
		emit8(e, 0xc7);
		emit8(e, 0xc0 | (reg & 7));
		emit32(e, (u32)v);
	} else {
		emit8(e, 0x48 | (reg >= 8 ? 1 : 0));
		emit8(e, 0xb8 | (reg & 7));
		emit64(e, v);
	}
}
/* jmp/jcc rel32 to a place not known yet: returns where the displacement is. */
static inline u8 *emit_jmp32(struct emit *e)
{
	emit8(e, 0xe9);
	emit32(e, 0);
	return e->p - 4;
}
static inline u8 *emit_jcc32(struct emit *e, unsigned cc)
{
	emit8(e, 0x0f);
	emit8(e, 0x80 | cc);
	emit32(e, 0);
	return e->p - 4;
}
static inline void emit_patch32(u8 *at, const u8 *target)
{
	s32 rel = (s32)(target - (at + 4));

	__builtin_memcpy(at, &rel, 4);
}
/* jmp to an address given in the executable view, anywhere within 2 GiB. */
static inline void emit_jmp_exec(struct emit *e, const void *target)
{
	emit8(e, 0xe9);
	emit32(e, (u32)((const u8 *)target - (e->p + 4 + e->exec_delta)));
}

#define CC_B  2
#define CC_E  4
#define CC_NE 5
#define CC_A  7
#define CC_G  15

#endif
