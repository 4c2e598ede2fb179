/* SPDX-License-Identifier: MIT */
/*
 * What a partition's processors can do: the feature banks of the hypervisor and the CPUID bits that they stand for, and
 * what its guest may use of the hypervisor. features.def and synthetic.def are the tables.
 */
#ifndef ABI_MSHV_FEATURES_H
#define ABI_MSHV_FEATURES_H

#include "abi/mshv/mshv.h"

/* All synthetic features that the engine has. */
#define SYNTHETIC_FEATURES features_synthetic_all()
u64 features_synthetic_all(void);

/* Once, for a new partition: p->processor is the host's, without what the VMM disables and the hypervisor's leaves. */
void features_init(struct mshv_partition *p, const struct mshv_create_partition_v2 *a);
/* NULL: it is not there. */
const struct cpuid_entry *leaf_find(const struct leaves *l, u32 leaf, u32 subleaf);

/* Of the partition; p is NULL: of the host. */
u64 features_bank(const struct mshv_partition *p, unsigned bank);
u64 features_xsave(const struct mshv_partition *p);
u64 features_xsave_states(const struct mshv_partition *p); /* of XCR0 */
u64 features_xsave_size(const struct mshv_partition *p);   /* bytes, compacted */
/* Where a component above x87 and SSE lies in the standard format; false: the partition does not have it. None is aligned. */
#define XSAVE_FIRST      2
#define XSAVE_COMPONENTS 32
struct xsave_component {
	u32 size, offset;
};
bool features_xsave_component(
	const struct mshv_partition *p, unsigned component, struct xsave_component *ret);
u64 features_vendor(const struct mshv_partition *p);
u64 features_address_width(const struct mshv_partition *p);

/* The privileges of the guest: 40000003 EAX, EBX. */
u64 features_privileges(struct mshv_partition *p);

/* The hypervisor's leaves for its guest. Returns how many; there is room for HV_LEAVES. */
#define HV_LEAVES 8
unsigned features_hv_leaves(struct mshv_partition *p, struct cpuid_entry *ret);

#endif
