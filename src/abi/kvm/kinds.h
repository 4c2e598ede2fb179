/* SPDX-License-Identifier: MIT */
/* KVM's kinds of descriptors (kinds.c), and the functions in their tables. */
#ifndef ABI_KVM_KINDS_H
#define ABI_KVM_KINDS_H

#include "abi/interface.h"

extern const struct fd_ops *const kvm_kinds[];
extern const struct fd_ops kvm_system_ops, kvm_vm_ops, kvm_vcpu_ops, kvm_guest_memfd_ops,
	kvm_vfio_ops;

/* ---- dispatch.c ---- */

extern const struct interface kvm_interface;

long dispatch_system(struct call *c, u32 number);
long dispatch_vm(struct call *c, u32 number);
long dispatch_vcpu(struct call *c, u32 number);
long dispatch_vfio(struct call *c, u32 number);
bool system_takes_no_lock(u32 number);

/* ---- vm.c, vcpu.c, guest_memfd.c, vfio.c ---- */

void vm_closed(void *kvm_vm);
void vm_remapped(void *kvm_vm, u64 start, u64 size);
void vcpu_remapped(void *kvm_vcpu, u64 start, u64 size);
void vm_release(void *kvm_vm);
int vcpu_mmap_check(int prot, int flags, size_t len, u64 offset);
int guest_memfd_fallocate(const struct object *o, int fd, int mode, s64 offset, s64 len);
void guest_memfd_release(void *kvm_guest_memfd);
void vfio_release(void *kvm_vfio);

#endif
