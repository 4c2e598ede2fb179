/* SPDX-License-Identifier: MIT */
/*
 * What instructions are written from: bytes, opcodes with their prefixes, ModRM. For emit.h, which has a function for each
 * form of instruction, and rewrite.c, whose instructions are the guest's. Bytes are emitted by code/emit* alone (tools/check-deps).
 */
#ifndef ENGINE_CODE_EMIT_BYTES_H
#define ENGINE_CODE_EMIT_BYTES_H

#include "base/types.h"
#include "x86/insn.h"

struct emit {
	u8 *p;          /* writable view */
	s64 exec_delta; /* executable view minus writable view */
};

static inline void emit8(struct emit *e, u8 v)
{
	*e->p++ = v;
}
static inline void emit16(struct emit *e, u16 v)
{
	__builtin_memcpy(e->p, &v, 2);
	e->p += 2;
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

/* ---- opcodes ---- */

/* An opcode byte, and with it: */
#define EO_MAP(n) ((u32)(n) << 8) /* 1 0F, 2 0F38, 3 0F3A */
#define EO_W      BIT(10)         /* REX.W, VEX.W */
#define EO_66     BIT(11)
#define EO_LOCK   BIT(12)
#define EO_REPNE  BIT(13)
#define EO_REP    BIT(14)
#define EO_REX    BIT(15) /* REX although it says nothing: for spl, bpl, sil, dil */
/* VEX: */
#define EO_PP(n)  ((u32)(n) << 16) /* 1 66, 2 F3, 3 F2 */
#define EO_L      BIT(18)

/* Bits R, X and B of REX or VEX, as they are in REX. */
static inline u8 emit_rxb(unsigned reg, unsigned index, unsigned base)
{
	return (reg >= 8 ? 4 : 0) | (index != REG_NONE && index >= 8 ? 2 : 0) |
	       (base != REG_NONE && base >= 8 ? 1 : 0);
}
static inline void emit_opcode(struct emit *e, u32 op, u8 rxb)
{
	u8 rex = rxb | (op & EO_W ? 8 : 0);

	if (op & EO_66)
		emit8(e, 0x66);
	if (op & EO_LOCK)
		emit8(e, 0xf0);
	if (op & EO_REPNE)
		emit8(e, 0xf2);
	if (op & EO_REP)
		emit8(e, 0xf3);
	if (rex || (op & EO_REX))
		emit8(e, 0x40 | rex);
	if (op & EO_MAP(3))
		emit8(e, 0x0f);
	if (op & EO_MAP(2))
		emit8(e, op & EO_MAP(1) ? 0x3a : 0x38);
	emit8(e, (u8)op);
}
/* What EVEX has beyond VEX: R', V' and X extend the numbers of three registers, unless X belongs to an index. */
struct evex {
	bool r, x, b, r2;
	u8 vvvv; /* five bits, V' the highest */
	u8 p2;   /* z, L'L, b, aaa as the last byte has them */
};

/* SDM 2:2.7.1 */
static inline void emit_evex(struct emit *e, u32 op, struct evex x)
{
	emit8(e, 0x62);
	emit8(e, !x.r << 7 | !x.x << 6 | !x.b << 5 | !x.r2 << 4 | (op >> 8 & 3));
	emit8(e, (op & EO_W ? 0x80 : 0) | (~x.vvvv & 15) << 3 | 4 | (op >> 16 & 3));
	emit8(e, (x.p2 & ~8) | (x.vvvv & 16 ? 0 : 8));
	emit8(e, (u8)op);
}
/* The long form of VEX, which says it all. */
static inline void emit_vex(struct emit *e, u32 op, u8 rxb, unsigned vvvv)
{
	emit8(e, 0xc4);
	emit8(e, (~rxb & 7) << 5 | (op >> 8 & 3));
	emit8(e, (op & EO_W ? 0x80 : 0) | (~vvvv & 15) << 3 | (op & EO_L ? 4 : 0) | (op >> 16 & 3));
	emit8(e, (u8)op);
}

/* ---- operands ---- */

/* [base + index * scale + disp]; REG_NONE for absent parts */
struct emit_mem {
	u8 base, index, scale;
	s32 disp;
	bool whole_disp; /* not in one byte, which EVEX multiplies */
};

/*
 * ModRM and what belongs to it; reg is the register field, of which the low three bits are here. The operand is passed in its
 * parts: written as bytes and read as a word, it would wait for its own stores (a seventh of the time of new code). emit.c
 */
void emit_modrm_parts(
	struct emit *e, unsigned reg, u8 base, u8 index, u8 scale, s32 disp, bool whole_disp);

static inline void emit_modrm_mem(struct emit *e, unsigned reg, struct emit_mem m)
{
	emit_modrm_parts(e, reg, m.base, m.index, m.scale, m.disp, m.whole_disp);
}
static inline void emit_modrm_reg(struct emit *e, unsigned reg, unsigned rm)
{
	emit8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}
/* op with two registers; reg may be a digit of the opcode. */
static inline void emit_op_rr(struct emit *e, u32 op, unsigned reg, unsigned rm)
{
	emit_opcode(e, op, emit_rxb(reg, REG_NONE, rm));
	emit_modrm_reg(e, reg, rm);
}
static inline void emit_op_rm(struct emit *e, u32 op, unsigned reg, struct emit_mem m)
{
	emit_opcode(e, op, emit_rxb(reg, m.index, m.base));
	emit_modrm_mem(e, reg, m);
}
/* What selects the operand size, 2, 4 or 8. */
static inline u32 emit_size(unsigned size)
{
	return size == 8 ? EO_W : size == 2 ? EO_66 : 0;
}

#endif
