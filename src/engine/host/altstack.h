/* SPDX-License-Identifier: MIT */
/*
 * KVM_RUN from a signal handler that runs on the alternate stack.
 *
 * The kernel lets a handler begin at the top of the alternate stack unless the stack pointer is in it. While generated
 * code runs the stack pointer is in struct cpu's own stack, so the next handler would be put over the frames of
 * the one that called us. For that time the kernel is told of the unused rest of the alternate stack only.
 */
#ifndef ENGINE_HOST_ALTSTACK_H
#define ENGINE_HOST_ALTSTACK_H

#include <signal.h>

#include "engine/core/cpu.h"

struct altstack_cut {
	stack_t whole;
	bool cut;
};

/* sp: the caller's stack pointer. Costs a system call when it is another one than the last time. */
void altstack_cut(struct cpu *cpu, u64 sp, struct altstack_cut *ret);
void altstack_restore(struct cpu *cpu, const struct altstack_cut *a);

#endif
