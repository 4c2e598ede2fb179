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
	struct kvm_msr_list size = {.nmsrs = 0}, *list = NULL;
	struct refusal why;
	long r = sys_ioctl(kvm, KVM_GET_MSR_INDEX_LIST, &size, &why);

	if (r >= 0 || r == -E2BIG) {
		list = calloc(1, sizeof(*list) + size.nmsrs * sizeof(list->indices[0]));
		why.why = NULL;
		r = -ENOMEM;
	}
	if (list) {
		list->nmsrs = size.nmsrs;
		r = sys_ioctl(kvm, KVM_GET_MSR_INDEX_LIST, list, &why);
	}
	if (r >= 0)
		return list;
	free(list);
	request_failed(kvm, NO_VCPU, KVM_GET_MSR_INDEX_LIST, r, &why);
	return NULL;
}

/* What a program passes as a list; `what` names its entries. Limits are the hypervisor's. */
static int list_check(kvm_context_t kvm, const char *what, int n, const void *entries)
{
	if (n < 0)
		return fail(kvm, -EINVAL, "%d %s: the number is negative", n, what);
	if (n > 0 && !entries)
		return fail(kvm, -EFAULT, "%d %s: the pointer to them is NULL", n, what);
	return 0;
}

static int msrs_transfer(
	kvm_context_t kvm, int vcpu, unsigned long request, struct kvm_msr_entry *msrs, int n)
{
	const size_t size = (size_t)MAX(n, 0) * sizeof(*msrs);
	struct kvm_msrs *list;
	long r = list_check(kvm, "MSRs", n, msrs);

	if (r < 0 || n == 0)
		return (int)r;
	list = calloc(1, sizeof(*list) + size);
	if (!list)
		return fail(kvm, -ENOMEM, "there is no memory left for %d MSRs", n);
	list->nmsrs = (u32)n;
	memcpy(list->entries, msrs, size);
	r = vcpu_ioctl(kvm, vcpu, request, list);
	if (r >= 0 && request == KVM_GET_MSRS)
		memcpy(msrs, list->entries, size);
	free(list);
	return result(r);
}

int kvm_get_msrs(kvm_context_t kvm, int vcpu, struct kvm_msr_entry *msrs, int n)
{
	return msrs_transfer(kvm, vcpu, KVM_GET_MSRS, msrs, n);
}

int kvm_set_msrs(kvm_context_t kvm, int vcpu, struct kvm_msr_entry *msrs, int n)
{
	return msrs_transfer(kvm, vcpu, KVM_SET_MSRS, msrs, n);
}

#define CPUID_MAX_ENTRIES 1024 /* far above what any hypervisor takes or gives */

static struct kvm_cpuid2 *cpuid_alloc(int nent)
{
	struct kvm_cpuid2 *cpuid;

	cpuid = calloc(1, sizeof(*cpuid) + (size_t)nent * sizeof(cpuid->entries[0]));
	if (cpuid)
		cpuid->nent = (u32)nent;
	return cpuid;
}

/* NULL with *error set, and told, when the program's list cannot be taken. */
static struct kvm_cpuid2 *cpuid_list(kvm_context_t kvm, int nent, const void *entries, int *error)
{
	struct kvm_cpuid2 *cpuid = NULL;

	*error = list_check(kvm, "CPUID leaves", nent, entries);
	if (*error < 0)
		return NULL;
	if (nent > CPUID_MAX_ENTRIES)
		*error = fail(kvm, -E2BIG, "%d CPUID leaves: at most %d are allowed", nent,
			CPUID_MAX_ENTRIES);
	else if (!(cpuid = cpuid_alloc(nent)))
		*error = fail(kvm, -ENOMEM, "there is no memory left for %d CPUID leaves", nent);
	return cpuid;
}

static int cpuid_set(kvm_context_t kvm, int vcpu, struct kvm_cpuid2 *cpuid)
{
	long r = vcpu_ioctl(kvm, vcpu, KVM_SET_CPUID2, cpuid);

	free(cpuid);
	return result(r);
}

int kvm_setup_cpuid(kvm_context_t kvm, int vcpu, int nent, struct kvm_cpuid_entry *entries)
{
	int error;
	struct kvm_cpuid2 *cpuid = cpuid_list(kvm, nent, entries, &error);

	if (!cpuid)
		return error;
	for (int i = 0; i < nent; i++)
		cpuid->entries[i] = (struct kvm_cpuid_entry2){.function = entries[i].function,
			.eax = entries[i].eax,
			.ebx = entries[i].ebx,
			.ecx = entries[i].ecx,
			.edx = entries[i].edx};
	return cpuid_set(kvm, vcpu, cpuid);
}

int uv_kvm_setup_cpuid2(
	kvm_context_t kvm, int vcpu, int nent, const struct kvm_cpuid_entry2 *entries)
{
	int error;
	struct kvm_cpuid2 *cpuid = cpuid_list(kvm, nent, entries, &error);

	if (!cpuid)
		return error;
	if (nent)
		memcpy(cpuid->entries, entries, (size_t)nent * sizeof(*entries));
	return cpuid_set(kvm, vcpu, cpuid);
}

/* KVM says only that the space was too small, not what it needs. */
struct kvm_cpuid2 *uv_kvm_supported_cpuid(kvm_context_t kvm)
{
	struct refusal why;
	long r = -E2BIG;

	for (int nent = 128; r == -E2BIG && nent <= CPUID_MAX_ENTRIES; nent *= 2) {
		struct kvm_cpuid2 *cpuid = cpuid_alloc(nent);

		why.why = NULL;
		r = cpuid ? sys_ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid, &why) : -ENOMEM;
		if (r >= 0)
			return cpuid;
		free(cpuid);
	}
	request_failed(kvm, NO_VCPU, KVM_GET_SUPPORTED_CPUID, r, &why);
	return NULL;
}
