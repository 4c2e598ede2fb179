/* SPDX-License-Identifier: MIT */
/* step: one instruction at a time, the reference for what translated code does. */
#ifndef ENGINE_INSN_STEP_H
#define ENGINE_INSN_STEP_H

#include "engine/core/cpu.h"

/* Fetch, decode, check and execute one instruction; deliver nothing. */
int step(struct cpu *cpu);
/* The same for an instruction at rip that is decoded already. */
int step_insn(struct cpu *cpu, const struct insn *in);

/* EXIT_INTERNAL_ERROR with the instruction's bytes. */
int cpu_internal_error(struct cpu *cpu, const struct insn *in);

#endif
