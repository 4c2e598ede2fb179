/* SPDX-License-Identifier: MIT */
#ifndef ENGINE_CPU_TRANSLATE_H
#define ENGINE_CPU_TRANSLATE_H

#include "engine/cpu/block.h"

/* Can code under this key be translated at all? If not, step() does it. */
bool translatable(u32 block_key);
/*
 * Translate the block at cpu->rip, which lies at gpa, from its page at hva. poll: it must look at exit_request when
 * entered. plain: without groups. NULL: its first instruction is for step(), or the cache is full (*ret_full).
 */
struct block *translate(struct cpu *cpu, u64 gpa, const u8 *hva, bool poll, bool plain, bool *ret_full);
/* Number of the jump table for a key, or -1. With the cache lock held. */
int jump_table_for(struct code_cache *c, u32 key);

#endif
