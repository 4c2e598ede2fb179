/* SPDX-License-Identifier: MIT */
/*
 * Where a vCPU begins that nobody gave registers. Processors begin at 0xfffffff0 (SDM 3:10.1.4), and so do kernels
 * since 3.9; before, vCPU 0 began at 0xffff0, because VT-x could not do otherwise in real mode. Programs of that time
 * therefore had firmware below 1 MiB only. They still work: without memory at the one place, the other is taken.
 */
#include "libkvm/context.h"

#define SELECTOR   0xf000
#define BASE       0xffff0000u
#define BASE_BELOW 0xf0000u
#define OFFSET     0xfff0u

static bool has_memory(kvm_context_t kvm, u64 gpa)
{
	return memory_host(kvm, gpa, 1) != NULL;
}

void reset_vector_find(kvm_context_t kvm, int vcpu)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (has_memory(kvm, BASE + OFFSET) || !has_memory(kvm, BASE_BELOW + OFFSET))
		return;
	if (vcpu_try(kvm, vcpu, KVM_GET_REGS, &regs) < 0 || regs.rip != OFFSET)
		return;
	if (vcpu_try(kvm, vcpu, KVM_GET_SREGS, &sregs) < 0 || sregs.cs.selector != SELECTOR ||
		sregs.cs.base != BASE)
		return;
	sregs.cs.base = BASE_BELOW;
	vcpu_try(kvm, vcpu, KVM_SET_SREGS, &sregs);
}
