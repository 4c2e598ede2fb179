/* SPDX-License-Identifier: MIT */
/* Slots, and the private memory that some have: memory.c, guest_memfd.c. */
#ifndef ABI_KVM_MEMORY_H
#define ABI_KVM_MEMORY_H

#include "abi/kvm/kvm.h"

/* As the engine's SLOT_ID(): KVM_CAP_MULTI_ADDRESS_SPACE puts the address space above bit 15. */
static inline bool slot_valid(u32 slot)
{
	return slot >> 16 < MACHINE_SPACES && (slot & 0xffff) < MACHINE_MAX_SLOTS;
}

/*
 * Address in this process of guest_memfd memory for a slot of vm. -EBADF, -EINVAL. It stays mapped until *ret is put;
 * what has been made a slot by then is unbound in time.
 */
int guest_memfd_hold(
	struct call *c, int fd, u64 offset, u64 size, u64 *ret_address, struct object **ret);
u64 vm_memory_attributes(const struct kvm_vm *vm); /* those that can be set; vm may be NULL */

#endif
