/* SPDX-License-Identifier: MIT */
/*
 * Host signals raised by generated code.
 *
 * A copied div or an SSE instruction with unmasked exceptions raises SIGFPE, a misaligned one SIGSEGV; guest RAM that
 * the caller protected or unmapped raises SIGSEGV or SIGBUS. The handler turns such a signal into an
 * exit of the generated code (REC_FAULT), or into an error of the C function that touched guest RAM
 * (mem/access_raw.h). Signals raised anywhere else go to the process's own handler: the one that was
 * there before, or the one that host_sigaction() (engine.h) was told since.
 *
 * Signal actions belong to the process, so this is the one thing that the engine shares between machines:
 * the handlers are installed when the first machine is created and stay.
 */
#ifndef ENGINE_CPU_RECOVER_H
#define ENGINE_CPU_RECOVER_H

#include "engine/cpu/cpu.h"

/* 0 or -errno. */
int recover_install(void);
/* The cpu whose generated code this thread may be running, or NULL. */
void recover_enter(struct cpu *cpu);

#endif
