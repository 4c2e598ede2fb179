/* SPDX-License-Identifier: MIT */
/* Pushes and pops that commit rsp last; sp is a running copy. */
#ifndef ENGINE_CPU_STACK_H
#define ENGINE_CPU_STACK_H

#include "engine/core/cpu.h"

struct stack {
	u64 sp;
	const struct segment *ss; /* the segment to check against; unused when width is 8 */
	unsigned width;           /* 2, 4, 8: of the stack pointer */
	unsigned acc;             /* 0, or ACC_SYSTEM for deliveries to an inner level */
	bool own;                 /* used by the program itself: alignment counts */
	u32 error; /* of #SS: 0, or the selector of a stack that is being switched to */
};
void stack_begin(struct cpu *cpu, struct stack *s);
int stack_push(struct cpu *cpu, struct stack *s, u64 value, unsigned size);
/* Makes room for size bytes, and writes the lower ones of them only. */
int stack_push_part(struct cpu *cpu, struct stack *s, u64 value, unsigned size, unsigned written);
/* Would a push of size bytes fault? Nothing is written. */
int stack_probe_push(struct cpu *cpu, unsigned size);
int stack_pop(struct cpu *cpu, struct stack *s, u64 *value, unsigned size);
void stack_commit(struct cpu *cpu, const struct stack *s);

#endif
