/* SPDX-License-Identifier: MIT */
/* MSR_KVM_PV_EOI_EN: interrupts that the guest ends by a flag in its memory. */
#ifndef ENGINE_PV_KVM_EOI_H
#define ENGINE_PV_KVM_EOI_H

#include "engine/core/vcpu.h"
#include "x86/kvm_guest.h"

/* Before and after guest code if MSR_KVM_PV_EOI_EN has this bit, and writing it: 0 or -EINVAL. */
void pv_eoi_to_guest(struct vcpu *v);
void pv_eoi_from_guest(struct vcpu *v);
int pv_eoi_set(struct vcpu *v, u64 value);

#endif
