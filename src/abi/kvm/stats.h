/* SPDX-License-Identifier: MIT */
/* Pages of statistics: stats.c. */
#ifndef ABI_KVM_STATS_H
#define ABI_KVM_STATS_H

#include "base/types.h"

struct stats_page {
	u8 *page; /* NULL: nobody has asked */
	size_t size;
	int fd;
};

void stats_free(struct stats_page *s);

#endif
