/* SPDX-License-Identifier: MIT */
/* The mode that a processor is in, derived from its registers; and reset. */
#ifndef ENGINE_CPU_MODE_H
#define ENGINE_CPU_MODE_H

#include "engine/core/cpu.h"

/* Recompute the derived fields after any change of cs, ss, cr0, cr4, efer, rflags.VM, rflags.AC or CPL. */
void cpu_update_mode(struct cpu *cpu);
/* Reset state, SDM 3:9.1 table 9-1. init: INIT keeps the FPU and CR0.CD/NW. MSRs are msr_reset()'s. */
void cpu_reset(struct cpu *cpu, bool init);

#endif
