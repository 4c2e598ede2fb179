/* SPDX-License-Identifier: MIT */
/* Memory in great pieces that is there when it is used, and zero. */
#ifndef BASE_RESERVE_H
#define BASE_RESERVE_H

#include <sys/mman.h>

#include "base/sys.h"

/* Not malloc()'s: that may touch all of it (MALLOC_PERTURB_). To be given back by sys_munmap(); NULL: there is none. */
static inline void *reserve(size_t bytes)
{
	void *p = sys_mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

#endif
