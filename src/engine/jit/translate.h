/* SPDX-License-Identifier: MIT */
#ifndef ENGINE_JIT_TRANSLATE_H
#define ENGINE_JIT_TRANSLATE_H

#include "engine/code/block.h"

/* Can code under this key be translated at all? If not, step() does it. */
bool translatable(u32 block_key);
/* Where the code at cpu->rip is. hva: its page. gpa2 and hva2: the next page, if its first instruction reaches there. */
struct code_place {
	u64 gpa, gpa2;
	const u8 *hva, *hva2;
	u64 room; /* bytes to the end of the code segment */
};

/*
 * Translate the block at cpu->rip. poll: it must look at exit_request when entered. plain: without groups. NULL: its
 * first instruction is for step(), or the cache is full (*ret_full).
 */
struct block *translate(
	struct cpu *cpu, const struct code_place *at, bool poll, bool plain, bool *ret_full);
/* Number of the jump table for a key, or -1. With the cache lock held. */
int jump_table_for(struct code_cache *c, u32 key);

#endif
