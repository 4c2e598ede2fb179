/* SPDX-License-Identifier: MIT */
/* KVM_RUN: run.c, and what it calls for exits (exits.c) and for writes that wait (coalesced.c). */
#ifndef ABI_KVM_RUN_H
#define ABI_KVM_RUN_H

#include "abi/kvm/kvm.h"

void run_init(struct kvm_vcpu *v);

/* kvm_run holds the answer to the exit that the engine showed last. */
void exit_take_answer(struct kvm_vcpu *v);
/* Show it; what KVM_RUN returns. r: what vcpu_run() returned. */
int exit_show(struct kvm_vcpu *v, int r);

/* Put a write into the ring of coalesced writes; false: it must exit. */
bool coalesced_write(struct kvm_vcpu *v, bool pio, u64 addr, u32 len, const void *data);

#endif
