/* SPDX-License-Identifier: MIT */
/* Partition properties: what the VMM decides about a partition, and what it may know of it or of the host. */
#ifndef ABI_MSHV_PROPERTY_H
#define ABI_MSHV_PROPERTY_H

#include "abi/mshv/mshv.h"

#define NOT_INITIALIZED                                                                            \
	"the partition is not initialised: make MSHV_INITIALIZE_PARTITION before this request"

void properties_init(struct mshv_partition *p);
/* Of one that is remembered as it was set. Any thread. */
u64 property_value(struct mshv_partition *p, u32 code);

#endif
