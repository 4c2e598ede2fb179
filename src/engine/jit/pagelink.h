/* SPDX-License-Identifier: MIT */
/*
 * Links from block to block across pages.
 *
 * Within a page a link holds wherever the page is mapped. Whether another page is at its side is a matter of the guest's page
 * tables. So such a link knows the token of the page that it leads to, and generated code compares that with what the cpu
 * has found at the address (cpu->pagelinks) since it last was told that translations have changed.
 *
 * Entries: token - address; a link adds the address and takes its own token away, and goes if nothing is left. Addresses that
 * share an entry differ by 2^28 at least, and tokens by less (page.h), so that no other pair makes 0; nor does an empty
 * entry, because tokens are odd.
 */
#ifndef ENGINE_JIT_PAGELINK_H
#define ENGINE_JIT_PAGELINK_H

#include "engine/code/block.h"
#include "engine/code/cache.h"

#define PAGELINK_LEA  4  /* bytes of the lea before its displacement, which is minus the token */
#define PAGELINK_JUMP 24 /* from there to that of the jump to the block */
#define PAGELINK_NONE 0x7fffffff /* no page's token */

/*
 * rip, where the link leads, is in the page gpa, which has just been located: note that. Was the link made for what is there
 * now? If not it is to be made, anew or for the first time.
 */
bool pagelink_follow(struct cpu *cpu, const struct exit_record *rec, u64 gpa);
/* What leads there from now on; or if it cannot, then by the jump table. rec: of kind REC_PAGELINK. */
void pagelink_make(struct cpu *cpu, const struct exit_record *rec, const struct block *to);
/* Forget the pages of global translations, or of all others. */
void pagelink_flush(struct cpu *cpu, bool global);
/* Forget the pages that are not kept. */
void pagelink_forget_open(struct cpu *cpu);

#endif
