/* SPDX-License-Identifier: MIT */
/* A partition's memory: which stretches of the caller's are the guest's. */
#ifndef ABI_MSHV_MEMORY_H
#define ABI_MSHV_MEMORY_H

#include "abi/mshv/mshv.h"

#define PFN_END BIT64(40) /* of guest-physical ones: 52 bits */

void regions_free(struct mshv_partition *p);
/* A region that is none yet: its alignment has been checked. 0 or -errno. By the holder of the partition's requests. */
long partition_map(
	struct mshv_partition *p, const struct mshv_user_mem_region *a, struct refusal *why);
/* Is there memory? *ret_pages: so far it is the same. Any thread. */
bool partition_stretch(struct mshv_partition *p, u64 pfn, u64 *ret_pages);
/* Is there memory at this guest-physical address? *ret_flags: 1 << MSHV_SET_MEM_BIT_*. Any thread. */
bool partition_memory_flags(struct mshv_partition *p, u64 gpa, u8 *ret_flags);

#endif
