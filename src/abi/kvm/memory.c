/* SPDX-License-Identifier: MIT */
/* Memory slots. */
#include <errno.h>

#include "abi/kvm/memory.h"
#include "introspect/maps.h"

#define USER_SPACE     0x7ffffffff000ull /* what access_ok() lets through */
#define SLOT_PAGES_MAX 0x7fffffffull

_Static_assert(KVM_MEM_LOG_DIRTY_PAGES == SLOT_LOG_DIRTY && KVM_MEM_READONLY == SLOT_READONLY &&
		       KVM_MEM_GUEST_MEMFD == SLOT_PRIVATE,
	"slot flags pass through");

/* Private memory is neither logged nor read-only. */
static long check_slot_flags(struct call *c, u32 flags)
{
	if (!(flags & KVM_MEM_GUEST_MEMFD))
		return check_flags(c, flags, KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY);
	if (!vm_of(c)->private_memory)
		return refuse(c->why, -EINVAL,
			"flags: KVM_MEM_GUEST_MEMFD needs a VM of type KVM_X86_SW_PROTECTED_VM");
	if (flags != KVM_MEM_GUEST_MEMFD)
		return refuse(c->why, -EINVAL,
			"flags 0x%lx: KVM_MEM_GUEST_MEMFD cannot be combined with other flags",
			(u64)flags);
	return 0;
}

/* Alignment and ends of the guest's range. */
static long check_gpa(struct call *c, const struct kvm_userspace_memory_region2 *r)
{
	if (r->guest_phys_addr & ~PAGE_MASK)
		return refuse(c->why, -EINVAL, "guest_phys_addr 0x%lx: must be page aligned",
			(u64)r->guest_phys_addr);
	if (r->memory_size & ~PAGE_MASK)
		return refuse(c->why, -EINVAL, "memory_size 0x%lx: must be a whole number of pages",
			(u64)r->memory_size);
	if (r->memory_size >> PAGE_SHIFT > SLOT_PAGES_MAX)
		return refuse(c->why, -EINVAL, "memory_size 0x%lx: a slot has at most 0x%lx pages",
			(u64)r->memory_size, (u64)SLOT_PAGES_MAX);
	if (r->guest_phys_addr + r->memory_size < r->guest_phys_addr)
		return refuse(c->why, -EINVAL,
			"guest_phys_addr 0x%lx, memory_size 0x%lx: the range wraps around",
			(u64)r->guest_phys_addr, (u64)r->memory_size);
	return 0;
}

static long check_hva(struct call *c, const struct kvm_userspace_memory_region2 *r)
{
	if (r->userspace_addr & ~PAGE_MASK)
		return refuse(c->why, -EINVAL, "userspace_addr 0x%lx: must be page aligned",
			(u64)r->userspace_addr);
	if (r->userspace_addr > USER_SPACE || r->memory_size > USER_SPACE - r->userspace_addr)
		return refuse(c->why, -EINVAL,
			"userspace_addr 0x%lx, memory_size 0x%lx: the range ends beyond the "
			"address space of a program",
			(u64)r->userspace_addr, (u64)r->memory_size);
	if (!(r->flags & KVM_MEM_GUEST_MEMFD))
		return 0;
	if (r->guest_memfd_offset & ~PAGE_MASK ||
		r->guest_memfd_offset + r->memory_size < r->guest_memfd_offset)
		return refuse(c->why, -EINVAL,
			"guest_memfd_offset 0x%lx: must be page aligned, and must not wrap around",
			(u64)r->guest_memfd_offset);
	return 0;
}

static long check_region(struct call *c, const struct kvm_userspace_memory_region2 *r)
{
	if (check_slot_flags(c, r->flags))
		return -EINVAL;
	if (!slot_valid(r->slot))
		return refuse(c->why, -EINVAL,
			"slot 0x%lx: the number must be below %lu, in one of %lu address spaces",
			(u64)r->slot, (u64)MACHINE_MAX_SLOTS, (u64)MACHINE_SPACES);
	if (check_gpa(c, r))
		return -EINVAL;
	return check_hva(c, r);
}

static int set_slot(struct kvm_vm *vm, const struct memslot_config *s)
{
	int r;

	pthread_mutex_lock(&vm->lock);
	r = machine_set_memslot(vm->machine, s);
	maps_slots_changed(dev_maps(vm->dev), vm->machine);
	pthread_mutex_unlock(&vm->lock);
	return r;
}

static long set_region(struct call *c, const struct kvm_userspace_memory_region2 *r)
{
	struct kvm_vm *vm = vm_of(c);
	struct memslot_config s = {
		.id = r->slot,
		.flags = r->flags,
		.gpa = r->guest_phys_addr,
		.size = r->memory_size,
		.hva = r->userspace_addr,
		.why = c->why,
	};
	struct object *memory = NULL;
	int ret;

	if (check_region(c, r))
		return -EINVAL;
	/* What is deleted has no use for its memory. */
	if ((r->flags & KVM_MEM_GUEST_MEMFD) && r->memory_size) {
		/* Such a slot can be made and deleted, nothing else. */
		if (machine_slot_pages(vm->machine, r->slot))
			return refuse(c->why, -EINVAL,
				"slot %lu exists: delete it before you create one with guest_memfd",
				(u64)r->slot);
		ret = guest_memfd_hold(c, (int)r->guest_memfd, r->guest_memfd_offset,
			r->memory_size, &s.private_hva, &memory);
		if (ret)
			return ret;
	}
	ret = set_slot(vm, &s);
	if (memory)
		object_put(vm->dev, memory);
	return ret;
}

long vm_set_memory(struct call *c)
{
	const struct kvm_userspace_memory_region *old = c->data;
	const struct kvm_userspace_memory_region2 r = {
		.slot = old->slot,
		.flags = old->flags,
		.guest_phys_addr = old->guest_phys_addr,
		.memory_size = old->memory_size,
		.userspace_addr = old->userspace_addr,
	};

	if (r.flags & KVM_MEM_GUEST_MEMFD)
		return refuse(c->why, -EINVAL,
			"flags: KVM_MEM_GUEST_MEMFD needs KVM_SET_USER_MEMORY_REGION2");
	return set_region(c, &r);
}

/* What follows userspace_addr has a meaning only with KVM_MEM_GUEST_MEMFD. */
long vm_set_memory2(struct call *c)
{
	return set_region(c, c->data);
}
