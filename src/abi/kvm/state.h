/* SPDX-License-Identifier: MIT */
/* A vcpu's state, which is not asked for by its own requests alone: kvm_run has some of it, too. */
#ifndef ABI_KVM_STATE_H
#define ABI_KVM_STATE_H

#include "abi/kvm/kvm.h"

/* ---- regs.c ---- */

void regs_get(struct kvm_vcpu *v, struct kvm_regs *ret);
long regs_set(struct call *c, const struct kvm_regs *r);
void sregs_get(struct kvm_vcpu *v, struct kvm_sregs *ret);
long sregs_set(struct call *c, const struct kvm_sregs *r);

/* ---- state.c ---- */

void events_get(struct kvm_vcpu *v, struct kvm_vcpu_events *ret);
long events_set(struct call *c, const struct kvm_vcpu_events *e);

/* ---- cpuid.c ---- */

/* Write n CPUID entries and their number; -E2BIG, with nothing written, if the caller has less room. */
long entries_out(struct call *c, const struct cpuid_entry *e, unsigned n);

#endif
