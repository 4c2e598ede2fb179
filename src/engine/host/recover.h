/* SPDX-License-Identifier: MIT */
/*
 * Host signals raised by generated code.
 *
 * A copied div or an SSE instruction with unmasked exceptions raises SIGFPE, a misaligned one SIGSEGV; guest RAM that
 * the caller protected or unmapped raises SIGSEGV or SIGBUS. The handler turns such a signal into an
 * exit of the generated code (REC_FAULT), or into an error of the C function that touched guest RAM
 * (host/raw.h). Signals raised anywhere else go to the process's own handler: the one that was
 * there before, or the one that host_sigaction() (engine.h) was told since.
 *
 * Signal actions belong to the process, so this is the one thing that the engine shares between machines:
 * the handlers are installed when the first machine is created and stay.
 */
#ifndef ENGINE_HOST_RECOVER_H
#define ENGINE_HOST_RECOVER_H

#include "engine/core/cpu.h"

/* 0 or -errno. */
int recover_install(void);
/* Between them this thread may be running generated code of the cpu, which it runs by recover_thread(). */
void recover_enter(struct cpu *cpu);
void recover_leave(struct cpu *cpu);

/*
 * Calling away. A thread that touches guest RAM can be put to sleep there by the host for as long as it pleases somebody:
 * that is how userfaultfd works. From the sleep a signal wakes it, one of ours that KVM_RUN does not block. If the
 * handler then finds the thread at an access to guest RAM that has not happened yet, the access ends as if it had been
 * refused; but the cpu leaves inner code without an exit, before the instruction, and what is asked of it is served.
 */

/*
 * It is this thread that runs the cpu from now on, until recover_thread_end() with what this returns: the cpu before, whose
 * run a handler may have interrupted for this one. Signals of the kind of faults that are sent meanwhile kick it.
 */
struct cpu *recover_thread(struct cpu *cpu);
void recover_thread_end(struct cpu *before);
/*
 * Any thread; the cpu is in inner code and stays in vcpu_run() until this returns. An EXIT_MEMORY_FAULT with away.left
 * set is no fault.
 */
void recover_call_away(struct cpu *cpu);

#endif
