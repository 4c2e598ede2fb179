/* SPDX-License-Identifier: MIT */
/*
 * Which pages the guest has written: the bitmap (KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG) or, instead of it, a
 * ring of entries for each vcpu, on pages of the vcpu's own file that the caller maps.
 */
#include <errno.h>
#include <stdlib.h>

#include "abi/kvm/caps.h"
#include "abi/kvm/memory.h"

#define RING_BYTES_MAX (65536 * sizeof(struct kvm_dirty_gfn))

_Static_assert(sizeof(struct dirty_gfn) == sizeof(struct kvm_dirty_gfn) &&
		       KVM_DIRTY_GFN_F_DIRTY == DIRTY_GFN_DIRTY &&
		       KVM_DIRTY_GFN_F_RESET == DIRTY_GFN_RESET,
	"ring entries pass through");

/* ---- what can be enabled; vm->lock is held ---- */

long enable_manual_dirty_log(struct call *c, u64 flags)
{
	u64 allowed = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;

	if (flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
		allowed |= KVM_DIRTY_LOG_INITIALLY_SET;
	if (flags & ~allowed)
		return refuse(c->why, -EINVAL, "args[0] 0x%lx: only the bits 0x%lx may be set",
			flags, allowed);
	machine_set_dirty_log(vm_of(c)->machine,
		(flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE ? DIRTY_LOG_MANUAL : 0) |
			(flags & KVM_DIRTY_LOG_INITIALLY_SET ? DIRTY_LOG_INITIALLY_SET : 0));
	return 0;
}

long enable_dirty_ring(struct call *c, u64 bytes)
{
	struct kvm_vm *vm = vm_of(c);
	u32 size = (u32)bytes;

	if (!size || (size & (size - 1)) || size < PAGE_SIZE)
		return refuse(c->why, -EINVAL,
			"args[0] %lu: the size in bytes must be a power of two, and at least a "
			"page",
			bytes);
	if (size > RING_BYTES_MAX)
		return refuse(c->why, -E2BIG, "args[0] %lu: at most %lu is allowed", bytes,
			(u64)RING_BYTES_MAX);
	if (vm->ring_bytes)
		return refuse(c->why, -EINVAL, "the VM already has dirty rings of %lu bytes",
			(u64)vm->ring_bytes);
	if (vm->created_vcpus)
		return refuse(c->why, -EINVAL, AFTER_VCPUS);
	vm->ring_bytes = size;
	return 0;
}

/* ---- the bitmap ---- */

#define NO_LOG "slot %lu: there is no such slot, or it was created without KVM_MEM_LOG_DIRTY_PAGES"

static long check_log(struct call *c, u32 slot)
{
	if (vm_of(c)->ring_bytes)
		return refuse(c->why, -ENXIO, "the VM has dirty rings, and therefore no dirty log");
	if (!slot_valid(slot))
		return refuse(c->why, -EINVAL,
			"slot 0x%lx: the number must be below %lu, in one of %lu address spaces",
			(u64)slot, (u64)MACHINE_MAX_SLOTS, (u64)MACHINE_SPACES);
	return 0;
}

/* Under vm->lock, so that the slot keeps its size. */
static long get_dirty_log(struct call *c, u32 slot, void **ret_bitmap, size_t *ret_size)
{
	struct kvm_vm *vm = vm_of(c);
	u64 pages = machine_slot_pages(vm->machine, slot);

	if (!pages)
		return refuse(c->why, -ENOENT, "slot %lu: there is no such slot", (u64)slot);
	*ret_size = ALIGN_UP(pages, 64) / 8;
	*ret_bitmap = calloc(1, *ret_size);
	if (!*ret_bitmap)
		return -ENOMEM;
	return refuse_if(c->why, machine_get_dirty_log(vm->machine, slot, *ret_bitmap), -ENOENT,
		NO_LOG, (u64)slot);
}

long vm_get_dirty_log(struct call *c)
{
	const struct kvm_dirty_log *log = c->data;
	void *bitmap = NULL;
	size_t size = 0;
	long ret = check_log(c, log->slot);

	if (ret)
		return ret;
	pthread_mutex_lock(&vm_of(c)->lock);
	ret = get_dirty_log(c, log->slot, &bitmap, &size);
	pthread_mutex_unlock(&vm_of(c)->lock);
	if (!ret)
		ret = copy_out(c->dev, (unsigned long)log->dirty_bitmap, bitmap, size);
	free(bitmap);
	return ret;
}

/* A multiple of 64 pages, unless it reaches to the end of the slot. */
static bool clear_range_valid(const struct kvm_clear_dirty_log *log, u64 pages)
{
	return log->first_page <= pages && log->num_pages <= pages - log->first_page &&
	       (log->num_pages == pages - log->first_page || !(log->num_pages & 63));
}

/* Under vm->lock. */
static long clear_dirty_log(struct call *c, const struct kvm_clear_dirty_log *log)
{
	struct kvm_vm *vm = vm_of(c);
	u64 pages = machine_slot_pages(vm->machine, log->slot);
	void *bitmap = NULL;
	long ret;

	if (!machine_slot_logged(vm->machine, log->slot))
		return refuse(c->why, -ENOENT, NO_LOG, (u64)log->slot);
	if (!clear_range_valid(log, pages))
		return refuse(c->why, -EINVAL,
			"num_pages %lu: the slot has %lu pages; the number must be a multiple of "
			"64 or reach the end of the slot",
			(u64)log->num_pages, pages);
	ret = copy_in_array(vm->dev, &bitmap, (unsigned long)log->dirty_bitmap,
		ALIGN_UP(log->num_pages, 64u) / 64, sizeof(u64));
	if (!ret && bitmap)
		ret = machine_clear_dirty_log(
			vm->machine, log->slot, log->first_page, log->num_pages, bitmap);
	free(bitmap);
	return ret;
}

long vm_clear_dirty_log(struct call *c)
{
	const struct kvm_clear_dirty_log *log = c->data;
	long ret = check_log(c, log->slot);

	if (ret)
		return ret;
	if (log->first_page & 63)
		return refuse(c->why, -EINVAL, "first_page %lu: must be a multiple of 64",
			(u64)log->first_page);
	pthread_mutex_lock(&vm_of(c)->lock);
	ret = clear_dirty_log(c, log);
	pthread_mutex_unlock(&vm_of(c)->lock);
	return ret;
}

/* ---- the rings ---- */

long vm_reset_dirty_rings(struct call *c)
{
	if (!vm_of(c)->ring_bytes)
		return refuse(c->why, -EINVAL,
			"the VM has no dirty rings: enable KVM_CAP_DIRTY_LOG_RING first");
	return (long)machine_reset_dirty_rings(vm_of(c)->machine);
}
