/* SPDX-License-Identifier: MIT */
/* Operands of instructions: registers, memory, conditions. */
#ifndef ENGINE_INSN_OPERAND_H
#define ENGINE_INSN_OPERAND_H

#include "engine/core/cpu.h"

/* Value of a general register operand: size 1, 2, 4, 8. rex says whether byte registers 4-7 are spl.. or ah... */
u64 reg_read(const struct cpu *cpu, unsigned reg, unsigned size, bool rex);
/* A 4-byte write clears the upper half, 1- and 2-byte writes keep the rest (SDM 1:3.4.1.1). */
void reg_write(struct cpu *cpu, unsigned reg, unsigned size, bool rex, u64 value);
/* An offset cut to the address size. */
u64 operand_cut(const struct insn *in, u64 off);
/* Offset of the memory operand within its segment, truncated to the address size. */
u64 operand_offset(const struct cpu *cpu, const struct insn *in);
/* Its linear address after all segment checks for len bytes. */
int operand_linear(struct cpu *cpu, const struct insn *in, unsigned len, unsigned acc, u64 *ret);
/* The same, of an operand that is to be aligned. */
int operand_aligned(struct cpu *cpu, const struct insn *in, unsigned len, unsigned align,
	unsigned acc, u64 *ret);
/* r/m operand, register or memory, zero-extended. */
int rm_read(struct cpu *cpu, const struct insn *in, unsigned size, u64 *ret);
int rm_write(struct cpu *cpu, const struct insn *in, unsigned size, u64 value);

/* ---- facts about forms that step() and the translator share ---- */

/* Which shadow the instruction begins (SDM 3:6.8.3): LSS has none, since it loads the pointer with the segment. */
static inline u8 op_shadow(enum insn_op op, unsigned reg)
{
	if (op == OP_STI)
		return SHADOW_STI;
	return (op == OP_MOV_TO_SEG || op == OP_POP_SEG) && reg == SEG_SS ? SHADOW_MOVSS : 0;
}

static inline u8 insn_shadow(const struct insn *in)
{
	return op_shadow(in->desc->op, in->reg);
}

/* LES and LDS are C4 and C5 in map 0, LSS, LFS and LGS B2, B4 and B5 in map 1. */
static inline unsigned insn_far_segment(const struct insn *in)
{
	switch (in->opcode) {
	case 0xc4: return SEG_ES;
	case 0xc5: return SEG_DS;
	case 0xb2: return SEG_SS;
	case 0xb4: return SEG_FS;
	default: return SEG_GS;
	}
}

#endif
