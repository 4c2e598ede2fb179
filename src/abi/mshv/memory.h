/* SPDX-License-Identifier: MIT */
/* A partition's memory: which stretches of the caller's are the guest's. */
#ifndef ABI_MSHV_MEMORY_H
#define ABI_MSHV_MEMORY_H

#include "abi/mshv/mshv.h"

void regions_free(struct mshv_partition *p);
/* Is there memory at this guest-physical address? *ret_flags: 1 << MSHV_SET_MEM_BIT_*. Any thread. */
bool partition_memory_flags(struct mshv_partition *p, u64 gpa, u8 *ret_flags);

#endif
