/* SPDX-License-Identifier: MIT */
/*
 * Code that does not do natively what it does in the guest, and does not fault either. A page with such an instruction is left to the
 * engine. One that is hidden in the middle of another is not found.
 */
#ifndef ENGINE_DIRECT_SCAN_H
#define ENGINE_DIRECT_SCAN_H

#include "base/types.h"

/*
 * What is known of pages, by their place in the host's memory and a sum of what they hold: to look is dear. A guest that makes two
 * pages with the same sum deceives itself.
 */
#define VERDICTS     16384u
#define STRANGE_MAX  4u /* what the processor has breakpoints for */
#define STRANGE_MANY 255u
struct verdicts {
	bool beyond; /* the host has vector state that guests may not have */
	struct verdict {
		const u8 *page;
		u64 sum, before, next; /* the neighbours' ends; 0: not known */
		u8 count;              /* of strange instructions; STRANGE_MANY: not all are told */
		u16 at[STRANGE_MAX];   /* where they begin in the page */
	} of[VERDICTS];
};

/*
 * What of it is in the page. The pages before and behind it are NULL if they are not known: what begins in the one or ends in the other
 * is seen when both are. NULL: the page cannot be read.
 */
const struct verdict *scan_page(
	struct verdicts *v, const u8 *before, const u8 *page, const u8 *next);

#endif
