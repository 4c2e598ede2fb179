/* SPDX-License-Identifier: MIT */
/* A vcpu's registers in the layout of KVM's structures, which the protocol has, too. abi/kvm uses these for its requests. */
#ifndef INTROSPECT_KVMREGS_H
#define INTROSPECT_KVMREGS_H

#include <linux/kvm.h>

#include "engine/engine.h"

/* ST_REGS */
void kvmregs_get(const struct vcpu_state *s, struct kvm_regs *ret);
void kvmregs_set(struct vcpu_state *s, const struct kvm_regs *r);
/* ST_SREGS; interrupt_bitmap (kvm_sregs2: flags) and what follows is left alone. */
void kvmregs_get_system(const struct vcpu_state *s, struct kvm_sregs *r);
void kvmregs_set_system(struct vcpu_state *s, const struct kvm_sregs *r);

#endif
