/* SPDX-License-Identifier: MIT */
/* The inner loop: guest execution between two visits to outer code. */
#ifndef ENGINE_JIT_RUN_H
#define ENGINE_JIT_RUN_H

#include "engine/core/cpu.h"

/* Instructions that step() does again and again for generated code, decoded. tag 0: empty. */
#define INSN_CACHE 1024
struct cached_insn {
	u64 tag; /* block index << 16 | offset in the block */
	struct insn insn;
};
struct insn_cache {
	struct cached_insn entry[INSN_CACHE];
};

enum run_result {
	RUN_EXIT,       /* cpu->exit says why */
	RUN_POSTED,     /* cpu->posted holds writes to perform */
	RUN_REQUEST,    /* exit_request, or an interrupt can be taken now */
	RUN_CACHE_FULL, /* the code cache must be reset */
	RUN_DIRECT,     /* user code is to run as it is */
};

/* Run until something needs outer code. */
enum run_result cpu_run(struct cpu *cpu);

/* May interrupts be delivered at this instruction boundary (IF, shadow)? */
static inline bool cpu_interruptible(const struct cpu *cpu)
{
	return (cpu->rflags & FL_IF) && !cpu->shadow;
}

#endif
