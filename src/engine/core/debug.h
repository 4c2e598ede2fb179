/* SPDX-License-Identifier: MIT */
/*
 * Breakpoints in DR0-DR3 (SDM 3:17.2), the guest's or, with DBG_HW_BP, the debugger's in their place.
 *
 * While any is enabled BK_STEPPING sends all code through step(). Instruction breakpoints are faults before the
 * instruction; accesses to memory and ports are collected in cpu->debug_hits on the way and become a trap after it.
 */
#ifndef ENGINE_CORE_DEBUG_H
#define ENGINE_CORE_DEBUG_H

#include "engine/core/cpu.h"

/* cpu/mode.c: is there a breakpoint on data? */
bool debug_watches_data(const struct cpu *cpu);
/* step.c, before an instruction is fetched: CPU_OK, or CPU_FAULT with #DB in cpu->exc. */
int debug_before(struct cpu *cpu);
/* An access by the instruction itself; those that the processor makes on its own do not count. */
void debug_note_access(struct cpu *cpu, u64 lin, unsigned len, bool write);
void debug_note_port(struct cpu *cpu, u16 port, unsigned size);

static inline void debug_access(struct cpu *cpu, u64 lin, unsigned len, unsigned acc)
{
	if (unlikely(cpu->watch_data) && !(acc & ACC_SYSTEM))
		debug_note_access(cpu, lin, len, acc & ACC_WRITE);
}

#endif
