/* SPDX-License-Identifier: MIT */
/* Operands of instructions: registers, memory, conditions. */
#ifndef ENGINE_INSN_OPERAND_H
#define ENGINE_INSN_OPERAND_H

#include "engine/core/cpu.h"

/* Value of a general register operand: size 1, 2, 4, 8. rex says whether byte registers 4-7 are spl.. or ah... */
u64 reg_read(const struct cpu *cpu, unsigned reg, unsigned size, bool rex);
/* A 4-byte write clears the upper half, 1- and 2-byte writes keep the rest (SDM 1:3.4.1.1). */
void reg_write(struct cpu *cpu, unsigned reg, unsigned size, bool rex, u64 value);
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
bool condition_holds(u64 rflags, unsigned cc); /* cc: low four bits of the opcode */

#endif
