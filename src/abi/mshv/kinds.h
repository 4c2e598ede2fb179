/* SPDX-License-Identifier: MIT */
/* The kinds of descriptors of /dev/mshv (kinds.c), and the functions in their tables. */
#ifndef ABI_MSHV_KINDS_H
#define ABI_MSHV_KINDS_H

#include "abi/interface.h"

extern const struct fd_ops *const mshv_kinds[];
extern const struct fd_ops mshv_system_ops, mshv_partition_ops, mshv_vp_ops;

/* ---- dispatch.c ---- */

extern const struct interface mshv_interface;

long mshv_dispatch_system(struct call *c, u32 number);
long mshv_dispatch_partition(struct call *c, u32 number);
long mshv_dispatch_vp(struct call *c, u32 number);

/* ---- partition.c, vp.c ---- */

void partition_release(void *mshv_partition);
int vp_mmap_check(int prot, int flags, size_t len, u64 offset);

#endif
