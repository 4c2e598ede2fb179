/* SPDX-License-Identifier: MIT */
#ifndef ENGINE_JIT_JUMP_H
#define ENGINE_JIT_JUMP_H

#include "engine/code/block.h"

/* After the code cache was reset, and once at the start. */
void jump_init(struct cpu *cpu);
/* Translations of code addresses have changed (fetch_epoch moved): forget what depended on them. */
void jump_flush(struct cpu *cpu);
/* The same where code may have changed, but for pages that are kept: of others. */
void jump_forget_open(struct cpu *cpu);
/* Is the page at gpa, which has just been checked, one that is not compared again before somebody writes to it? */
bool jump_page_kept(struct cpu *cpu, u64 gpa);
/* Generated code for rip under the current mode bits, or NULL. */
const u8 *jump_lookup(struct cpu *cpu);
/* That is the block at rip. */
void jump_learn(struct cpu *cpu, const struct block *t);
/*
 * The same for whoever knows that rip is at gpa, in a page that was checked: what jump_lookup() has forgotten. key: the
 * cpu's, perhaps with BLOCK_PLAIN.
 */
const u8 *jump_way(struct cpu *cpu, u64 gpa, u32 key);
/*
 * Writes by the caller to guest RAM (DMA, loading) are not announced. Whenever a page's translation may be new to
 * this cpu, its blocks are compared with what memory holds now. page is its guest-physical address. False: it holds
 * nothing that could be had.
 */
bool jump_check_page(struct cpu *cpu, u64 lin, u64 page, const u8 *hva);

/* Is something to be forgotten? */
static inline bool jump_stale(const struct cpu *cpu)
{
	return cpu->jump_epoch != cpu->fetch_epoch || cpu->jump_rechecks != cpu->rechecks;
}

static inline void jump_refresh(struct cpu *cpu)
{
	if (unlikely(cpu->jump_epoch != cpu->fetch_epoch))
		jump_flush(cpu);
	if (unlikely(cpu->jump_rechecks != cpu->rechecks))
		jump_forget_open(cpu);
}

#endif
