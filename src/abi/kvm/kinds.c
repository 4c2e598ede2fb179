/* SPDX-License-Identifier: MIT */
/* The kinds of descriptors that KVM has, a table for each. */
#include <errno.h>

#include "abi/kvm/kinds.h"

const struct fd_ops kvm_system_ops = {
	.name = "uservisor-kvm",
	.label = "kvm",
	.kind = DEV_SYSTEM,
	.anywhere = true,
	.unknown = -EINVAL,
	.takes_no_lock = system_takes_no_lock,
	.ioctl = dispatch_system,
};

const struct fd_ops kvm_vm_ops = {
	.name = "uservisor-kvm-vm",
	.label = "vm",
	.link = "anon_inode:kvm-vm",
	.kind = DEV_VM,
	.unknown = -ENOTTY,
	.ioctl = dispatch_vm,
	.remapped = vm_remapped,
	.closed = vm_closed,
	.release = vm_release,
};

const struct fd_ops kvm_vcpu_ops = {
	.name = "uservisor-kvm-vcpu",
	.label = "vcpu",
	.link = "anon_inode:kvm-vcpu",
	.kind = DEV_VCPU,
	.unknown = -EINVAL,
	.ioctl = dispatch_vcpu,
	.remapped = vcpu_remapped,
	.mmap_check = vcpu_mmap_check,
};

const struct fd_ops kvm_guest_memfd_ops = {
	.name = "uservisor-kvm-vmem",
	.label = "other",
	.link = "anon_inode:[kvm-gmem]",
	.kind = DEV_OTHER,
	.unknown = -ENOTTY,
	.fallocate = guest_memfd_fallocate,
	.release = guest_memfd_release,
};

/* What KVM_CREATE_DEVICE makes. */
const struct fd_ops kvm_vfio_ops = {
	.name = "uservisor-kvm-vfio",
	.label = "device",
	.link = "anon_inode:kvm-vfio",
	.kind = DEV_DEVICE,
	.unknown = -ENOTTY,
	.ioctl = dispatch_vfio,
	.release = vfio_release,
};

const struct fd_ops *const kvm_kinds[] = {
	&kvm_system_ops, &kvm_vm_ops, &kvm_vcpu_ops, &kvm_guest_memfd_ops, &kvm_vfio_ops, NULL};
