/* SPDX-License-Identifier: MIT */
/*
 * vCPUs: making them, finding them by number, and the small settings each has. The old interface lets programs use
 * vCPU 0 without creating it and also lets them create it, so it is made by whichever comes first.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libkvm/context.h"

static int area_failed(kvm_context_t kvm, int slot, int error)
{
	return fail(kvm, -error, "vCPU %d: its area cannot be mapped: %s", slot, strerror(error));
}

/* Into the reserved place, so that it does not fail for want of address space. */
static int vcpu_open(kvm_context_t kvm, int slot, struct vcpu_handle *vcpu)
{
	struct refusal why;
	long r = fd_ioctl(kvm, kvm->vm_fd, KVM_CREATE_VCPU, (void *)(long)slot, &why);

	if (r < 0)
		return request_failed(kvm, slot, KVM_CREATE_VCPU, r, &why);
	vcpu->fd = (int)r;
	r = kvm->driver->map_area(kvm, vcpu->fd, vcpu->run);
	if (r >= 0)
		return 0;
	kvm->driver->close_fd(kvm, vcpu->fd);
	return area_failed(kvm, slot, (int)-r);
}

/* The VM keeps a vCPU whose descriptor was closed, and has it only once: the place for its area comes first. */
static int vcpu_reserve(kvm_context_t kvm, int slot, struct vcpu_handle *vcpu)
{
	void *run = mmap(NULL, kvm->run_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int r;

	if (run == MAP_FAILED)
		return area_failed(kvm, slot, errno);
	vcpu->run = run;
	r = vcpu_open(kvm, slot, vcpu);
	if (r < 0)
		munmap(run, kvm->run_size);
	return r;
}

static int vcpu_make(kvm_context_t kvm, int slot)
{
	struct vcpu_handle *vcpu = calloc(1, sizeof(*vcpu));
	int r;

	if (!vcpu)
		return fail(kvm, -ENOMEM, "no memory for a vCPU");
	r = vcpu_reserve(kvm, slot, vcpu);
	if (r < 0)
		free(vcpu);
	else
		atomic_store_explicit(&kvm->vcpus[slot], vcpu, memory_order_release);
	return r;
}

static bool slot_valid(kvm_context_t kvm, int slot)
{
	return slot >= 0 && slot < kvm->max_vcpus;
}

/* Whether there can be a vCPU of that number. */
static int slot_check(kvm_context_t kvm, int slot)
{
	if (slot_valid(kvm, slot))
		return vm_check(kvm);
	return fail(kvm, -EINVAL, "vCPU %d cannot exist: the number must be 0 to %d", slot,
		kvm->max_vcpus - 1);
}

int kvm_create_vcpu(kvm_context_t kvm, int slot)
{
	int r = slot_check(kvm, slot);

	if (r < 0)
		return r;
	pthread_mutex_lock(&kvm->lock);
	if (!kvm->vcpus[slot])
		r = vcpu_make(kvm, slot);
	else if (slot != 0 || kvm->vcpu0_asked)
		r = fail(kvm, -EEXIST, "vCPU %d already exists", slot);
	if (slot == 0 && r == 0)
		kvm->vcpu0_asked = true;
	pthread_mutex_unlock(&kvm->lock);
	return result(r);
}

/* Only vCPU 0 comes by itself. */
static int vcpu_first_use(kvm_context_t kvm, int slot)
{
	int r = slot_check(kvm, slot);

	if (r < 0)
		return r;
	if (slot != 0)
		return fail(kvm, -EINVAL,
			"vCPU %d does not exist: create it with kvm_create_vcpu()", slot);
	pthread_mutex_lock(&kvm->lock);
	if (!kvm->vcpus[0])
		r = vcpu_make(kvm, 0);
	pthread_mutex_unlock(&kvm->lock);
	return result(r);
}

struct vcpu_handle *context_vcpu(kvm_context_t kvm, int slot, int *error)
{
	struct vcpu_handle *vcpu = NULL;

	if (slot_valid(kvm, slot))
		vcpu = atomic_load_explicit(&kvm->vcpus[slot], memory_order_acquire);
	if (likely(vcpu))
		return vcpu;
	*error = vcpu_first_use(kvm, slot);
	return *error < 0 ? NULL : kvm->vcpus[slot];
}

long vcpu_try(kvm_context_t kvm, int slot, unsigned long request, void *arg)
{
	int error;
	struct vcpu_handle *vcpu = context_vcpu(kvm, slot, &error);
	struct refusal unsaid;

	if (!vcpu)
		return error;
	return fd_ioctl(kvm, vcpu->fd, request, arg, &unsaid);
}

long vcpu_ioctl(kvm_context_t kvm, int slot, unsigned long request, const void *arg)
{
	int error;
	struct vcpu_handle *vcpu = context_vcpu(kvm, slot, &error);
	struct refusal why;
	long r;

	if (!vcpu)
		return error;
	r = fd_ioctl(kvm, vcpu->fd, request, arg, &why);
	return r < 0 ? request_failed(kvm, slot, request, r, &why) : r;
}

/* Asking for the capability only after a failure keeps the usual case at one request. */
int vcpu_optional(kvm_context_t kvm, int slot, unsigned long request, const void *arg, int cap,
	const char *name)
{
	int error;
	struct vcpu_handle *vcpu = context_vcpu(kvm, slot, &error);
	struct refusal why;
	long r;

	if (!vcpu)
		return error;
	r = fd_ioctl(kvm, vcpu->fd, request, arg, &why);
	if (r >= 0)
		return (int)r;
	if (cap_value(kvm, cap) > 0)
		return request_failed(kvm, slot, request, r, &why);
	return fail(kvm, -ENOSYS, "this hypervisor has no %s", name);
}

void vcpus_free(kvm_context_t kvm)
{
	for (int i = 0; i < kvm->max_vcpus; i++) {
		struct vcpu_handle *vcpu = kvm->vcpus[i];

		if (!vcpu)
			continue;
		munmap(vcpu->run, kvm->run_size);
		kvm->driver->close_fd(kvm, vcpu->fd);
		free(vcpu);
	}
}

/* The area that the hypervisor fills at each exit; NULL with errno set when there is no such vCPU. */
static struct kvm_run *run_area(kvm_context_t kvm, int slot)
{
	int error;
	struct vcpu_handle *vcpu = context_vcpu(kvm, slot, &error);

	return vcpu ? vcpu->run : NULL;
}

int kvm_get_interrupt_flag(kvm_context_t kvm, int vcpu)
{
	struct kvm_run *run = run_area(kvm, vcpu);

	return run ? run->if_flag : 0;
}

uint64_t kvm_get_apic_base(kvm_context_t kvm, int slot)
{
	int error;
	struct vcpu_handle *vcpu = context_vcpu(kvm, slot, &error);

	if (vcpu && kvm->driver->refresh_area)
		kvm->driver->refresh_area(kvm, vcpu->fd);
	return vcpu ? vcpu->run->apic_base : 0;
}

int kvm_is_ready_for_interrupt_injection(kvm_context_t kvm, int vcpu)
{
	struct kvm_run *run = run_area(kvm, vcpu);

	return run ? run->ready_for_interrupt_injection : 0;
}

__u64 kvm_get_cr8(kvm_context_t kvm, int vcpu)
{
	struct kvm_run *run = run_area(kvm, vcpu);

	return run ? run->cr8 : 0;
}

void kvm_set_cr8(kvm_context_t kvm, int vcpu, uint64_t cr8)
{
	struct kvm_run *run = run_area(kvm, vcpu);

	if (run)
		run->cr8 = cr8;
}

int kvm_get_mpstate(kvm_context_t kvm, int vcpu, struct kvm_mp_state *mp_state)
{
	return vcpu_optional(kvm, vcpu, KVM_GET_MP_STATE, mp_state, KVM_CAP_MP_STATE, "MP states");
}

int kvm_set_mpstate(kvm_context_t kvm, int vcpu, struct kvm_mp_state *mp_state)
{
	return vcpu_optional(kvm, vcpu, KVM_SET_MP_STATE, mp_state, KVM_CAP_MP_STATE, "MP states");
}

int kvm_set_guest_debug(kvm_context_t kvm, int vcpu, struct kvm_guest_debug *dbg)
{
	return result(vcpu_ioctl(kvm, vcpu, KVM_SET_GUEST_DEBUG, dbg));
}

/* The kernel's signal set is eight bytes; libc's is larger and begins with them. */
#define KERNEL_SIGSET_SIZE 8

int kvm_set_signal_mask(kvm_context_t kvm, int vcpu, const sigset_t *sigset)
{
	union {
		struct kvm_signal_mask mask;
		u8 bytes[sizeof(struct kvm_signal_mask) + KERNEL_SIGSET_SIZE];
	} arg = {.mask.len = KERNEL_SIGSET_SIZE};

	if (!sigset)
		return result(vcpu_ioctl(kvm, vcpu, KVM_SET_SIGNAL_MASK, NULL));
	memcpy(arg.bytes + sizeof(arg.mask), sigset, KERNEL_SIGSET_SIZE);
	return result(vcpu_ioctl(kvm, vcpu, KVM_SET_SIGNAL_MASK, &arg));
}
