/* SPDX-License-Identifier: MIT */
/* Registers, MSRs and CPUID: the KVM structures passed through, and the lists of variable length built. */
#include <stdlib.h>
#include <string.h>

#include "libkvm/context.h"

int kvm_get_regs(kvm_context_t kvm, int vcpu, struct kvm_regs *regs)
{
	return result(vcpu_ioctl(kvm, vcpu, KVM_GET_REGS, regs));
}

int kvm_set_regs(kvm_context_t kvm, int vcpu, struct kvm_regs *regs)
{
	return result(vcpu_ioctl(kvm, vcpu, KVM_SET_REGS, regs));
}

int kvm_get_fpu(kvm_context_t kvm, int vcpu, struct kvm_fpu *fpu)
{
	return result(vcpu_ioctl(kvm, vcpu, KVM_GET_FPU, fpu));
}

int kvm_set_fpu(kvm_context_t kvm, int vcpu, struct kvm_fpu *fpu)
{
	return result(vcpu_ioctl(kvm, vcpu, KVM_SET_FPU, fpu));
}

int kvm_get_sregs(kvm_context_t kvm, int vcpu, struct kvm_sregs *regs)
{
	return result(vcpu_ioctl(kvm, vcpu, KVM_GET_SREGS, regs));
}

int kvm_set_sregs(kvm_context_t kvm, int vcpu, struct kvm_sregs *regs)
{
	return result(vcpu_ioctl(kvm, vcpu, KVM_SET_SREGS, regs));
}

struct kvm_msr_list *kvm_get_msr_list(kvm_context_t kvm)
{
	struct kvm_msr_list size = {.nmsrs = 0}, *list;
	long r = sys_ioctl(kvm, KVM_GET_MSR_INDEX_LIST, &size);

	if (r < 0 && r != -E2BIG) {
		result(r);
		return NULL;
	}
	list = calloc(1, sizeof(*list) + size.nmsrs * sizeof(list->indices[0]));
	if (!list)
		return NULL;
	list->nmsrs = size.nmsrs;
	r = sys_ioctl(kvm, KVM_GET_MSR_INDEX_LIST, list);
	if (r < 0) {
		free(list);
		result(r);
		return NULL;
	}
	return list;
}

static long msrs_transfer(
	kvm_context_t kvm, int vcpu, unsigned long request, struct kvm_msr_entry *msrs, size_t n)
{
	struct kvm_msrs *list = calloc(1, sizeof(*list) + n * sizeof(*msrs));
	long r;

	if (!list)
		return -ENOMEM;
	list->nmsrs = (u32)n;
	memcpy(list->entries, msrs, n * sizeof(*msrs));
	r = vcpu_ioctl(kvm, vcpu, request, list);
	if (r >= 0 && request == KVM_GET_MSRS)
		memcpy(msrs, list->entries, n * sizeof(*msrs));
	free(list);
	return r;
}

int kvm_get_msrs(kvm_context_t kvm, int vcpu, struct kvm_msr_entry *msrs, int n)
{
	if (n <= 0)
		return n ? result(-EINVAL) : 0;
	return result(msrs_transfer(kvm, vcpu, KVM_GET_MSRS, msrs, (size_t)n));
}

int kvm_set_msrs(kvm_context_t kvm, int vcpu, struct kvm_msr_entry *msrs, int n)
{
	if (n <= 0)
		return n ? result(-EINVAL) : 0;
	return result(msrs_transfer(kvm, vcpu, KVM_SET_MSRS, msrs, (size_t)n));
}

static struct kvm_cpuid2 *cpuid_alloc(int nent)
{
	struct kvm_cpuid2 *cpuid;

	cpuid = calloc(1, sizeof(*cpuid) + (size_t)nent * sizeof(cpuid->entries[0]));
	if (cpuid)
		cpuid->nent = (u32)nent;
	return cpuid;
}

#define CPUID_MAX_ENTRIES 1024 /* far above what any hypervisor takes or gives */

int kvm_setup_cpuid(kvm_context_t kvm, int vcpu, int nent, struct kvm_cpuid_entry *entries)
{
	struct kvm_cpuid2 *cpuid;
	long r;

	if (nent < 0 || nent > CPUID_MAX_ENTRIES)
		return result(-E2BIG);
	cpuid = cpuid_alloc(nent);
	if (!cpuid)
		return result(-ENOMEM);
	for (int i = 0; i < nent; i++)
		cpuid->entries[i] = (struct kvm_cpuid_entry2){.function = entries[i].function,
			.eax = entries[i].eax,
			.ebx = entries[i].ebx,
			.ecx = entries[i].ecx,
			.edx = entries[i].edx};
	r = vcpu_ioctl(kvm, vcpu, KVM_SET_CPUID2, cpuid);
	free(cpuid);
	return result(r);
}

int uv_kvm_setup_cpuid2(
	kvm_context_t kvm, int vcpu, int nent, const struct kvm_cpuid_entry2 *entries)
{
	struct kvm_cpuid2 *cpuid;
	long r;

	if (nent < 0 || nent > CPUID_MAX_ENTRIES)
		return result(-E2BIG);
	cpuid = cpuid_alloc(nent);
	if (!cpuid)
		return result(-ENOMEM);
	memcpy(cpuid->entries, entries, (size_t)nent * sizeof(*entries));
	r = vcpu_ioctl(kvm, vcpu, KVM_SET_CPUID2, cpuid);
	free(cpuid);
	return result(r);
}

/* KVM says only that the space was too small, not what it needs. */
struct kvm_cpuid2 *uv_kvm_supported_cpuid(kvm_context_t kvm)
{
	long r = -E2BIG;

	for (int nent = 128; r == -E2BIG && nent <= CPUID_MAX_ENTRIES; nent *= 2) {
		struct kvm_cpuid2 *cpuid = cpuid_alloc(nent);

		if (!cpuid)
			return NULL;
		r = sys_ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid);
		if (r >= 0)
			return cpuid;
		free(cpuid);
	}
	result(r);
	return NULL;
}
