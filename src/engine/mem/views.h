/* SPDX-License-Identifier: MIT */
/*
 * Views of guest-physical memory (engine/tap.h): for each, which accesses are denied, and which pages are found at another
 * address. Inside engine/mem.
 *
 * A view changes while all cpus are paused and memory.lock is held for writing. Which one a vcpu is to be in stands in
 * vcpu.tap; the cpu takes it over when it goes in (REQ_VIEW), drops its TLB, and from then on has at hand what of the view differs from a
 * view that changes nothing. So what it has at hand is right while it is inside. Translated code is found by the address that is
 * reached, and is therefore the same for all views; the ways to it go with the TLB.
 */
#ifndef ENGINE_MEM_VIEWS_H
#define ENGINE_MEM_VIEWS_H

#include "engine/mem/pool.h"
#include "engine/mem/rights.h"

#define VIEW_GONE (~0u) /* the cpu's was destroyed */

struct memory;

/* Pages, without their address space: they are the same in both. */
struct remap {
	u64 gfn, to;
};

struct remaps {
	u32 count; /* the sequence, as look-ups want it: by gfn */
	struct remap *page;
	struct seq seq;
};

struct mem_view {
	struct rights rights;
	struct remaps remaps;
};

void views_create(struct memory *mem);
void views_free(struct memory *mem);

/* lookup.c: index of the page's, or of the next one above. */
u32 remap_search(const struct remaps *r, u64 gfn);
/* With its address space, and the byte in the page. */
u64 remap_find(const struct remaps *r, u64 gpa);

#endif
