/* SPDX-License-Identifier: MIT */
/*
 * Accesses of generated code that the TLB did not have: fill it, and let generated code check once more. What is not that
 * simple is step()'s. Inner code.
 */
#ifndef ENGINE_JIT_MISS_H
#define ENGINE_JIT_MISS_H

#include "engine/code/block.h"
#include "engine/code/cache.h"

/*
 * A record of kind REC_STEP, and its instruction, to which rip points: where generated code does it all over again now that
 * its memory is in the TLB, or NULL.
 */
const u8 *miss_retry(struct cpu *cpu, const struct exit_record *rec, const struct block *t,
	const struct insn *in);
/*
 * A record of kind REC_GROUP, and the first instruction of its group. False: it was no plain miss, and the variant of the block
 * without groups does one access after the other.
 */
bool miss_retry_group(struct cpu *cpu, const struct exit_record *rec, const struct insn *in);

#endif
