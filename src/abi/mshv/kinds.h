/* SPDX-License-Identifier: MIT */
/* The kinds of descriptors of /dev/mshv (kinds.c), and the functions in their tables. */
#ifndef ABI_MSHV_KINDS_H
#define ABI_MSHV_KINDS_H

#include "abi/interface.h"

extern const struct fd_ops *const mshv_kinds[];
extern const struct fd_ops mshv_system_ops, mshv_partition_ops, mshv_vp_ops, mshv_vtl_ops,
	mshv_sint_ops, mshv_hvcall_ops, mshv_vtl_low_ops;

/* ---- dispatch.c ---- */

extern const struct interface mshv_interface;

long mshv_dispatch_system(struct call *c, u32 number);
long mshv_dispatch_partition(struct call *c, u32 number);
long mshv_dispatch_vp(struct call *c, u32 number);
long mshv_dispatch_vtl(struct call *c, u32 number);
long mshv_dispatch_hvcall(struct call *c, u32 number);
long mshv_dispatch_sint(struct call *c, u32 number);

/* ---- partition.c, vp.c ---- */

void partition_closed(void *mshv_partition);
void partition_release(void *mshv_partition);
int vp_mmap_check(int prot, int flags, size_t len, u64 offset);

/* ---- vtl.c: what the descriptors of an address space share ---- */

int vtl_make(struct dev *d, void **ret);
void vtl_free(void *vtl);
/* Of a descriptor by which the lower guest is held. */
int vtl_open(struct dev *d, struct object *o);
void vtl_release(void *vtl);
int vtl_pages_file(struct dev *d);
int vtl_memory_file(struct dev *d);
int vtl_mmap_check(int prot, int flags, size_t len, u64 offset);
bool vtl_pages_are_there(const struct object *o, u64 offset, u64 *ret_bytes);
bool vtl_memory_is_there(const struct object *o, u64 offset, u64 *ret_bytes);

/* ---- sint.c ---- */

int sint_open(struct dev *d, struct object *o);
void sint_release(void *sint_end);
int sint_read_check(const struct object *o, size_t n);

/* ---- vtl_hvcall.c ---- */

int vtl_calls_open(struct dev *d, struct object *o);
void vtl_calls_release(void *vtl_calls);

#endif
