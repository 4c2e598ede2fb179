/* SPDX-License-Identifier: MIT */
/* KVM's own MSRs that name a place in guest memory. */
#ifndef ENGINE_PV_KVM_MSR_H
#define ENGINE_PV_KVM_MSR_H

#include "engine/core/vcpu.h"

/* By guest or VMM. 0 or -EINVAL. They are read where they are kept (msr/table.c). */
int kvm_msr_set(struct vcpu *v, u32 index, u64 value, bool host);

#endif
