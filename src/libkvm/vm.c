/* SPDX-License-Identifier: MIT */
/*
 * The VM of a context, made in the order that kernels of today want (TSS and identity map, irqchip, PIT, memory; all
 * before the first vCPU), and what is asked of it as a whole.
 */
#include <string.h>

#include "libkvm/context.h"

/* Intel hosts need four pages of guest-physical space for real mode: just below a 256 KiB firmware image. */
#define IDENTITY_MAP_GPA 0xfffbc000ull
#define TSS_GPA          0xfffbd000ull

void kvm_disable_irqchip_creation(kvm_context_t kvm)
{
	kvm->no_irqchip = true;
}

void kvm_disable_pit_creation(kvm_context_t kvm)
{
	kvm->no_pit = true;
}

int kvm_check_extension(kvm_context_t kvm, int ext)
{
	return cap_value(kvm, ext) > 0;
}

int vm_check(kvm_context_t kvm)
{
	if (kvm->vm_fd >= 0)
		return 0;
	return fail(
		kvm, -EBADF, "there is no VM yet: create it with kvm_create() or kvm_create_vm()");
}

long vm_ioctl(kvm_context_t kvm, unsigned long request, const void *arg)
{
	long r = vm_check(kvm);
	struct refusal why;

	if (r < 0)
		return r;
	r = fd_ioctl(kvm, kvm->vm_fd, request, arg, &why);
	return r < 0 ? request_failed(kvm, NO_VCPU, request, r, &why) : r;
}

int kvm_create_vm(kvm_context_t kvm)
{
	struct refusal why;
	long r;

	if (kvm->vm_fd >= 0)
		return fail(kvm, -EEXIST,
			"this context already has a VM: use another context for a second one");
	r = sys_ioctl(kvm, KVM_CREATE_VM, NULL, &why);
	if (r < 0)
		return request_failed(kvm, NO_VCPU, KVM_CREATE_VM, r, &why);
	kvm->vm_fd = (int)r;
	return 0;
}

void kvm_create_irqchip(kvm_context_t kvm)
{
	long r = vm_check(kvm);

	if (r < 0 || kvm->irqchip || kvm->no_irqchip || cap_value(kvm, KVM_CAP_IRQCHIP) <= 0)
		return;
	r = vm_ioctl(kvm, KVM_CREATE_IRQCHIP, NULL);
	kvm->irqchip = r >= 0;
	result(r);
}

static int set_real_mode_pages(kvm_context_t kvm)
{
	u64 identity = IDENTITY_MAP_GPA;
	long r = 0;

	if (cap_value(kvm, KVM_CAP_SET_TSS_ADDR) > 0)
		r = vm_ioctl(kvm, KVM_SET_TSS_ADDR, (void *)TSS_GPA);
	if (r >= 0 && cap_value(kvm, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0)
		r = vm_ioctl(kvm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	return (int)r;
}

static int create_pit(kvm_context_t kvm)
{
	struct kvm_pit_config config = {.flags = KVM_PIT_SPEAKER_DUMMY};
	long r;

	if (kvm->no_pit || !kvm->irqchip)
		return 0;
	if (cap_value(kvm, KVM_CAP_PIT2) > 0)
		r = vm_ioctl(kvm, KVM_CREATE_PIT2, &config);
	else
		r = vm_ioctl(kvm, KVM_CREATE_PIT, NULL);
	kvm->pit = r >= 0;
	return (int)r;
}

/* What a VM consists of; without an irqchip, which was told, it is still one. */
static int vm_fill(kvm_context_t kvm, unsigned long phys_mem_bytes, void **phys_mem)
{
	int r = set_real_mode_pages(kvm);

	if (r < 0)
		return r;
	kvm_create_irqchip(kvm);
	r = create_pit(kvm);
	if (r >= 0)
		r = kvm_init_coalesced_mmio(kvm);
	if (r < 0 || !phys_mem || !phys_mem_bytes)
		return r;
	return memory_create_initial(kvm, phys_mem_bytes, phys_mem);
}

static void vm_undo(kvm_context_t kvm)
{
	const struct guest_memory before = kvm->memory;

	kvm->driver->close_fd(kvm, kvm->vm_fd);
	kvm->vm_fd = -1;
	kvm->irqchip = kvm->pit = false;
	memory_free(&kvm->memory);
	memset(&kvm->memory, 0, sizeof(kvm->memory));
	memory_init(&kvm->memory, before.max_slots);
	kvm->memory.log_all = before.log_all;
}

/* After a failure the context is as before, for another try (with less memory, say). */
int kvm_create(kvm_context_t kvm, unsigned long phys_mem_bytes, void **phys_mem)
{
	int r = kvm_create_vm(kvm);

	if (r < 0)
		return r;
	r = vm_fill(kvm, phys_mem_bytes, phys_mem);
	if (r < 0)
		vm_undo(kvm);
	return result(r);
}

int kvm_irqchip_in_kernel(kvm_context_t kvm)
{
	return kvm->irqchip;
}

int kvm_pit_in_kernel(kvm_context_t kvm)
{
	return kvm->pit;
}

int kvm_has_sync_mmu(kvm_context_t kvm)
{
	return result(cap_value(kvm, KVM_CAP_SYNC_MMU));
}

int kvm_destroy_memory_region_works(kvm_context_t kvm)
{
	return (int)MAX(cap_value(kvm, KVM_CAP_DESTROY_MEMORY_REGION_WORKS), 0);
}

static int shadow_pages_check(kvm_context_t kvm)
{
	if (cap_value(kvm, KVM_CAP_MMU_SHADOW_CACHE_CONTROL) > 0)
		return vm_check(kvm);
	return fail(kvm, -ENOSYS, "this hypervisor has no limit of shadow pages");
}

int kvm_set_shadow_pages(kvm_context_t kvm, unsigned int nrshadow_pages)
{
	long r = shadow_pages_check(kvm);

	if (r >= 0)
		r = vm_ioctl(kvm, KVM_SET_NR_MMU_PAGES, (void *)(unsigned long)nrshadow_pages);
	if (r >= 0)
		kvm->shadow_pages = nrshadow_pages;
	return result(r);
}

/* Kernels no longer tell, so the value last set is remembered. */
int kvm_get_shadow_pages(kvm_context_t kvm, unsigned int *nrshadow_pages)
{
	int r = shadow_pages_check(kvm);

	if (r < 0)
		return r;
	if (!nrshadow_pages)
		return fail(
			kvm, -EFAULT, "kvm_get_shadow_pages: the pointer to the number is NULL");
	*nrshadow_pages = kvm->shadow_pages;
	return 0;
}

static int assignment_gone(kvm_context_t kvm)
{
	return fail(kvm, -ENOTTY, "KVM no longer gives devices to guests: use VFIO");
}

int kvm_assign_pci_device(kvm_context_t kvm, struct kvm_assigned_pci_dev *assigned_dev)
{
	return assignment_gone(kvm);
}

int kvm_assign_irq(kvm_context_t kvm, struct kvm_assigned_irq *assigned_irq)
{
	return assignment_gone(kvm);
}
