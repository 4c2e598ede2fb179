/* SPDX-License-Identifier: MIT */
/* Memory slots. */
#include <errno.h>

#include "abi/kvm/kvm.h"

#define USER_SPACE     0x7ffffffff000ull /* what access_ok() lets through */
#define SLOT_PAGES_MAX 0x7fffffffull

_Static_assert(KVM_MEM_LOG_DIRTY_PAGES == SLOT_LOG_DIRTY && KVM_MEM_READONLY == SLOT_READONLY &&
		       KVM_MEM_GUEST_MEMFD == SLOT_PRIVATE,
	"slot flags pass through");

/* Private memory is neither logged nor read-only. */
static bool flags_valid(const struct kvm_vm *vm, u32 flags)
{
	if (flags & KVM_MEM_GUEST_MEMFD)
		return vm->private_memory && flags == KVM_MEM_GUEST_MEMFD;
	return !(flags & ~(u32)(KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY));
}

static bool private_part_valid(const struct kvm_userspace_memory_region2 *r)
{
	return !(r->flags & KVM_MEM_GUEST_MEMFD) ||
	       (!(r->guest_memfd_offset & ~PAGE_MASK) &&
		       r->guest_memfd_offset + r->memory_size >= r->guest_memfd_offset);
}

static bool region_valid(const struct kvm_userspace_memory_region2 *r)
{
	u64 all = r->memory_size | r->guest_phys_addr | r->userspace_addr;

	return slot_valid(r->slot) && !(all & ~PAGE_MASK) && private_part_valid(r) &&
	       r->userspace_addr <= USER_SPACE &&
	       r->memory_size <= USER_SPACE - r->userspace_addr &&
	       r->guest_phys_addr + r->memory_size >= r->guest_phys_addr &&
	       r->memory_size >> PAGE_SHIFT <= SLOT_PAGES_MAX;
}

static int set_slot(struct kvm_vm *vm, const struct memslot_config *s)
{
	int r;

	pthread_mutex_lock(&vm->lock);
	r = machine_set_memslot(vm->machine, s);
	pthread_mutex_unlock(&vm->lock);
	return r;
}

static long set_region(struct kvm_vm *vm, const struct kvm_userspace_memory_region2 *r)
{
	struct memslot_config s = {
		.id = r->slot,
		.flags = r->flags,
		.gpa = r->guest_phys_addr,
		.size = r->memory_size,
		.hva = r->userspace_addr,
	};
	struct object *memory = NULL;
	int ret;

	if (!flags_valid(vm, r->flags) || !region_valid(r))
		return -EINVAL;
	/* What is deleted has no use for its memory. */
	if ((r->flags & KVM_MEM_GUEST_MEMFD) && r->memory_size) {
		/* Such a slot can be made and deleted, nothing else. */
		if (machine_slot_pages(vm->machine, r->slot))
			return -EINVAL;
		ret = guest_memfd_hold(vm, (int)r->guest_memfd, r->guest_memfd_offset,
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

	return r.flags & KVM_MEM_GUEST_MEMFD ? -EINVAL : set_region(c->vm, &r);
}

/* What follows userspace_addr has a meaning only with KVM_MEM_GUEST_MEMFD. */
long vm_set_memory2(struct call *c)
{
	return set_region(c->vm, c->data);
}
