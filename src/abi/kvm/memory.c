/* SPDX-License-Identifier: MIT */
/* Memory slots and the dirty log. */
#include <errno.h>
#include <stdlib.h>

#include "abi/kvm/kvm.h"

#define SLOT_FLAGS     (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)
#define USER_SPACE     0x7ffffffff000ull /* what access_ok() lets through */
#define SLOT_PAGES_MAX 0x7fffffffull

_Static_assert(KVM_MEM_LOG_DIRTY_PAGES == SLOT_LOG_DIRTY && KVM_MEM_READONLY == SLOT_READONLY,
	"slot flags pass through");

/* As the engine's SLOT_ID(): KVM_CAP_MULTI_ADDRESS_SPACE puts the address space above bit 15. */
static bool slot_valid(u32 slot)
{
	return slot >> 16 < MACHINE_SPACES && (slot & 0xffff) < MACHINE_MAX_SLOTS;
}

static bool region_valid(const struct kvm_userspace_memory_region2 *r)
{
	u64 all = r->memory_size | r->guest_phys_addr | r->userspace_addr;

	return !(r->flags & ~SLOT_FLAGS) && slot_valid(r->slot) && !(all & ~PAGE_MASK) &&
	       r->userspace_addr <= USER_SPACE &&
	       r->memory_size <= USER_SPACE - r->userspace_addr &&
	       r->guest_phys_addr + r->memory_size >= r->guest_phys_addr &&
	       r->memory_size >> PAGE_SHIFT <= SLOT_PAGES_MAX;
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
	long ret;

	if (!region_valid(r))
		return -EINVAL;
	pthread_mutex_lock(&vm->lock);
	ret = machine_set_memslot(vm->machine, &s);
	pthread_mutex_unlock(&vm->lock);
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

	return set_region(c->vm, &r);
}

/* What follows userspace_addr has a meaning only with KVM_MEM_GUEST_MEMFD. */
long vm_set_memory2(struct call *c)
{
	return set_region(c->vm, c->data);
}

/* Under vm->lock, so that the slot keeps its size. */
static long get_dirty_log(struct kvm_vm *vm, u32 slot, void **ret_bitmap, size_t *ret_size)
{
	u64 pages = machine_slot_pages(vm->machine, slot);

	if (!pages)
		return -ENOENT;
	*ret_size = ALIGN_UP(pages, 64) / 8;
	*ret_bitmap = calloc(1, *ret_size);
	return *ret_bitmap ? machine_get_dirty_log(vm->machine, slot, *ret_bitmap) : -ENOMEM;
}

long vm_get_dirty_log(struct call *c)
{
	const struct kvm_dirty_log *log = c->data;
	void *bitmap = NULL;
	size_t size = 0;
	long ret;

	if (!slot_valid(log->slot))
		return -EINVAL;
	pthread_mutex_lock(&c->vm->lock);
	ret = get_dirty_log(c->vm, log->slot, &bitmap, &size);
	pthread_mutex_unlock(&c->vm->lock);
	if (!ret)
		ret = copy_out(c->dev, (unsigned long)log->dirty_bitmap, bitmap, size);
	free(bitmap);
	return ret;
}
