/* SPDX-License-Identifier: MIT */
/* A partition: made by system.c, filled by its own requests. */
#ifndef ABI_MSHV_PARTITION_H
#define ABI_MSHV_PARTITION_H

#include "abi/mshv/mshv.h"

/* Of a later kernel than the header: the guest's threads share cores. It changes nothing here. */
#define PT_BIT_SMT     5
#define PT_FLAGS_KNOWN ((u64)MSHV_PT_FLAGS_MASK | 1 << PT_BIT_SMT)

/* Behind no descriptor yet. 0 or -errno. */
int partition_make(
	struct dev *d, const struct mshv_create_partition_v2 *a, struct mshv_partition **ret);
/* Nobody uses it or a VP of it any more. */
void partition_free(struct mshv_partition *p);

#endif
