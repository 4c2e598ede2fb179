/* SPDX-License-Identifier: MIT */
/* Task switches (SDM 3:7.3). */
#ifndef ENGINE_CPU_TASK_H
#define ENGINE_CPU_TASK_H

#include "engine/core/cpu.h"

/* TSS: task switch to selector, source one of these (SDM 3:7.3). */
enum task_source { TASK_JMP, TASK_CALL, TASK_IRET, TASK_GATE };
int task_switch(struct cpu *cpu, u16 selector, enum task_source source, bool has_error, u32 error);

#endif
