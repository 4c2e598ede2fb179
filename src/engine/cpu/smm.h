/* SPDX-License-Identifier: MIT */
/* System management mode (APM 2:10, SDM 3:34): the way in and the way back. Inner code. */
#ifndef ENGINE_CPU_SMM_H
#define ENGINE_CPU_SMM_H

#include "engine/core/cpu.h"

#define SMBASE_RESET 0x30000

static inline bool cpu_in_smm(const struct cpu *cpu)
{
	return cpu->space == GPA_SMM;
}

/* The caller flushes the TLB: every physical address means something else now. */
static inline void cpu_set_smm(struct cpu *cpu, bool on)
{
	cpu->space = on ? GPA_SMM : 0;
}

/*
 * Take a system management interrupt at an instruction boundary. halted: the processor was in HLT, where RSM will
 * put it back. CPU_OK, or CPU_EXIT if there is no memory for the state.
 */
int smm_enter(struct cpu *cpu, bool halted);

/* RSM: back to what the image says. CPU_OK, or CPU_EXIT if it is a state that no processor can be in. */
int smm_leave(struct cpu *cpu);

#endif
