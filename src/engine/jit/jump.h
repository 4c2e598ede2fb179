/* SPDX-License-Identifier: MIT */
#ifndef ENGINE_JIT_JUMP_H
#define ENGINE_JIT_JUMP_H

#include "engine/code/block.h"

/* After the code cache was reset, and once at the start. */
void jump_init(struct cpu *cpu);
/* Translations of code addresses have changed (fetch_epoch moved): forget what depended on them. */
void jump_flush(struct cpu *cpu);
/* Code may have changed: compare it, or forget all of it. */
void jump_recheck(struct cpu *cpu);
/* Forget the ways to pages that are not kept. */
void jump_forget_open(struct cpu *cpu);
/* Generated code for rip under the current mode bits, or NULL. */
const u8 *jump_lookup(struct cpu *cpu);
/* That is the block at rip. */
void jump_learn(struct cpu *cpu, const struct block *t);
/*
 * The same for whoever knows that rip is at gpa, in a page that was checked: what jump_lookup() has forgotten. key: the
 * cpu's, perhaps with BLOCK_PLAIN.
 */
const u8 *jump_way(struct cpu *cpu, u64 gpa, u32 key);

/* Is something to be forgotten? */
static inline bool jump_stale(const struct cpu *cpu)
{
	return cpu->jump_epoch != cpu->fetch_epoch || cpu->checks.done != cpu->checks.due ||
	       cpu->jump_rechecks != cpu->rechecks;
}

static inline void jump_refresh(struct cpu *cpu)
{
	if (unlikely(cpu->jump_epoch != cpu->fetch_epoch))
		jump_flush(cpu);
	if (unlikely(cpu->checks.done != cpu->checks.due))
		jump_recheck(cpu);
	if (unlikely(cpu->jump_rechecks != cpu->rechecks))
		jump_forget_open(cpu);
}

#endif
