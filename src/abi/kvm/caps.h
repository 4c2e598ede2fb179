/* SPDX-License-Identifier: MIT */
/* Capabilities: their values, and what enabling some of them does in other files. */
#ifndef ABI_KVM_CAPS_H
#define ABI_KVM_CAPS_H

#include "abi/kvm/kvm.h"

long capability_value(struct kvm_vm *vm, u32 cap);

long nested_state_bytes(void); /* what KVM_CAP_NESTED_STATE says: nested.c */
/* Explains what machine_create_irqchip() has returned: irqchip.c. */
long irqchip_created(struct call *c, long r);

/* ---- under vm->lock ---- */

long vm_limit_ids(struct call *c, u64 max_ids); /* vm.c */
/* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 and KVM_CAP_DIRTY_LOG_RING*: dirty.c. */
long enable_manual_dirty_log(struct call *c, u64 flags);
long enable_dirty_ring(struct call *c, u64 bytes);

/* ---- of a vcpu ---- */

long vcpu_enable_hyperv(struct call *c, const struct kvm_enable_cap *e); /* guestif.c */

#endif
