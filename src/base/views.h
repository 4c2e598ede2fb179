/* SPDX-License-Identifier: MIT */
/*
 * One memory mapped twice, for code that is made while other threads run it: writable here, executable there.
 *
 * A memfd gives that. Where its executable mappings are forbidden (vm.memfd_noexec, a sandbox's policy) shared anonymous
 * memory does it as well: mremap(2) of a length of zero maps it once more.
 *
 * A forked child has neither view (MADV_DONTFORK): there is nothing at these addresses, or what it has mapped itself.
 */
#ifndef BASE_VIEWS_H
#define BASE_VIEWS_H

#include "base/types.h"

#define VIEWS_LARGE                                                                                \
	(2ull << 20) /* the executable view begins at a multiple of it, if a memfd could be had */

struct views {
	u8 *write, *exec;
	bool memfd; /* by the first way */
};

/* Zeroed memory, given by the kernel page by page as it is touched. 0 or -errno. */
int views_map(struct views *ret, size_t bytes);
void views_unmap(const struct views *v, size_t bytes);

#endif
