/* SPDX-License-Identifier: MIT */
/*
 * vCPUs: making them, finding them by number, and the small settings each has. The old interface lets programs use
 * vCPU 0 without creating it and also lets them create it, so it is made by whichever comes first.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libkvm/context.h"

static int vcpu_open(kvm_context_t kvm, int slot, struct vcpu *vcpu)
{
	long r = vm_ioctl(kvm, KVM_CREATE_VCPU, (void *)(long)slot);
	void *run;

	if (r < 0)
		return (int)r;
	vcpu->fd = (int)r;
	run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED) {
		r = -errno;
		kvm->port->close_fd(kvm->port_state, vcpu->fd);
		return (int)r;
	}
	vcpu->run = run;
	return 0;
}

static int vcpu_make(kvm_context_t kvm, int slot)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
	int r;

	if (!vcpu)
		return -ENOMEM;
	r = vcpu_open(kvm, slot, vcpu);
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

int kvm_create_vcpu(kvm_context_t kvm, int slot)
{
	int r = 0;

	if (!slot_valid(kvm, slot))
		return result(-EINVAL);
	pthread_mutex_lock(&kvm->lock);
	if (!kvm->vcpus[slot])
		r = vcpu_make(kvm, slot);
	else if (slot != 0 || kvm->vcpu0_asked)
		r = -EEXIST;
	if (slot == 0 && r == 0)
		kvm->vcpu0_asked = true;
	pthread_mutex_unlock(&kvm->lock);
	return result(r);
}

struct vcpu *context_vcpu(kvm_context_t kvm, int slot, int *error)
{
	struct vcpu *vcpu = NULL;

	*error = -EINVAL;
	if (!slot_valid(kvm, slot))
		return NULL;
	vcpu = atomic_load_explicit(&kvm->vcpus[slot], memory_order_acquire);
	if (vcpu || slot != 0)
		return vcpu;
	pthread_mutex_lock(&kvm->lock);
	if (!kvm->vcpus[0])
		*error = vcpu_make(kvm, 0);
	vcpu = kvm->vcpus[0];
	pthread_mutex_unlock(&kvm->lock);
	return vcpu;
}

long vcpu_ioctl(kvm_context_t kvm, int slot, unsigned long request, const void *arg)
{
	int error;
	struct vcpu *vcpu = context_vcpu(kvm, slot, &error);

	if (!vcpu)
		return error;
	return kvm->port->ioctl(kvm->port_state, vcpu->fd, request, (unsigned long)arg);
}

void vcpus_free(kvm_context_t kvm)
{
	for (int i = 0; i < kvm->max_vcpus; i++) {
		struct vcpu *vcpu = kvm->vcpus[i];

		if (!vcpu)
			continue;
		munmap(vcpu->run, kvm->run_size);
		kvm->port->close_fd(kvm->port_state, vcpu->fd);
		free(vcpu);
	}
}

/* The area that the hypervisor fills at each exit; NULL when there is no such vCPU. */
static struct kvm_run *run_area(kvm_context_t kvm, int slot)
{
	int error;
	struct vcpu *vcpu = context_vcpu(kvm, slot, &error);

	if (!vcpu)
		errno = -error;
	return vcpu ? vcpu->run : NULL;
}

int kvm_get_interrupt_flag(kvm_context_t kvm, int vcpu)
{
	struct kvm_run *run = run_area(kvm, vcpu);

	return run ? run->if_flag : 0;
}

uint64_t kvm_get_apic_base(kvm_context_t kvm, int vcpu)
{
	struct kvm_run *run = run_area(kvm, vcpu);

	return run ? run->apic_base : 0;
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
	if (!kvm_check_extension(kvm, KVM_CAP_MP_STATE))
		return result(-ENOSYS);
	return result(vcpu_ioctl(kvm, vcpu, KVM_GET_MP_STATE, mp_state));
}

int kvm_set_mpstate(kvm_context_t kvm, int vcpu, struct kvm_mp_state *mp_state)
{
	if (!kvm_check_extension(kvm, KVM_CAP_MP_STATE))
		return result(-ENOSYS);
	return result(vcpu_ioctl(kvm, vcpu, KVM_SET_MP_STATE, mp_state));
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
