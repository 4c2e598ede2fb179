/* SPDX-License-Identifier: MIT */
/* What CPUID shows to a partition's guest. */
#ifndef ABI_MSHV_CPUID_H
#define ABI_MSHV_CPUID_H

#include "abi/mshv/mshv.h"

/* A VP's, when it is new and when its APIC id is another one. 0 or -errno. */
int vp_cpuid_init(struct mshv_vp *v);
void cpuid_results_free(struct mshv_partition *p);

/* What is to become of a guest's access to an unknown MSR, if a result was registered for it: *ret_action. Any thread. */
bool msr_result(struct mshv_vp *v, u32 msr, u32 *ret_action);

#endif
