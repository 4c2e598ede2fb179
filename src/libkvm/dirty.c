/* SPDX-License-Identifier: MIT */
/* Which pages the guest wrote and which exist: recording per slot, and the bitmaps. */
#include <string.h>
#include <sys/mman.h>

#include "libkvm/context.h"

/* Fills buf with one bit for each page of the slot. */
typedef int (*bitmap_fn)(kvm_context_t kvm, struct slot *slot, void *buf);
typedef int (*range_fn)(unsigned long start, unsigned long len, void *bitmap, void *opaque);

static int dirty_bitmap(kvm_context_t kvm, struct slot *slot, void *buf)
{
	struct kvm_dirty_log log = {.slot = (u32)(slot - kvm->slots), .dirty_bitmap = buf};

	return (int)vm_ioctl(kvm, KVM_GET_DIRTY_LOG, &log);
}

static int mapped_bitmap(kvm_context_t kvm, struct slot *slot, void *buf)
{
	unsigned char there[256];
	u64 pages = slot->len / PAGE_SIZE;

	memset(buf, 0, ALIGN_UP(pages, 64) / 8);
	for (u64 first = 0; first < pages; first += sizeof(there)) {
		u64 n = MIN(pages - first, sizeof(there));

		if (mincore(slot->hva + first * PAGE_SIZE, n * PAGE_SIZE, there) < 0)
			return -errno;
		for (u64 i = 0; i < n; i++)
			if (there[i] & 1)
				((u8 *)buf)[(first + i) / 8] |= (u8)BIT((first + i) % 8);
	}
	return 0;
}

static int bitmap_at(kvm_context_t kvm, u64 gpa, void *buf, bitmap_fn fill, int missing)
{
	struct slot *slot;
	int r = missing;

	pthread_mutex_lock(&kvm->lock);
	slot = slot_containing(kvm, gpa, 1);
	if (slot)
		r = fill(kvm, slot, buf);
	pthread_mutex_unlock(&kvm->lock);
	return r;
}

/* The first slot from index *next on that is wholly in the range, its bitmap in buf; 0 when there is none. */
static int bitmap_next(kvm_context_t kvm, int *next, const u64 range[2], void *buf, bitmap_fn fill,
	struct slot *found)
{
	int r = 0;

	pthread_mutex_lock(&kvm->lock);
	for (; *next < kvm->nr_slots && r == 0; ++*next) {
		struct slot *slot = &kvm->slots[*next];

		if (!slot->len || slot->gpa < range[0] || slot->gpa + slot->len > range[1])
			continue;
		*found = *slot;
		r = fill(kvm, slot, buf);
		if (r >= 0)
			r = 1;
	}
	pthread_mutex_unlock(&kvm->lock);
	return r;
}

/* The lock is not held while cb runs, so it may call the library. */
static int bitmap_range(
	kvm_context_t kvm, u64 start, u64 end, void *buf, void *opaque, range_fn cb, bitmap_fn fill)
{
	const u64 range[2] = {start, end};
	struct slot slot;
	int next = 0, r;

	while ((r = bitmap_next(kvm, &next, range, buf, fill, &slot)) > 0) {
		r = cb(slot.gpa, slot.len, buf, opaque);
		if (r)
			return r;
	}
	return result(r);
}

int kvm_get_dirty_pages(kvm_context_t kvm, unsigned long phys_addr, void *buf)
{
	return result(bitmap_at(kvm, phys_addr, buf, dirty_bitmap, -ENOENT));
}

int kvm_get_dirty_pages_range(kvm_context_t kvm, unsigned long phys_addr, unsigned long end_addr,
	void *buf, void *opaque, range_fn cb)
{
	return bitmap_range(kvm, phys_addr, end_addr, buf, opaque, cb, dirty_bitmap);
}

int kvm_get_mem_map(kvm_context_t kvm, unsigned long phys_addr, void *bitmap)
{
	return result(bitmap_at(kvm, phys_addr, bitmap, mapped_bitmap, -EINVAL));
}

int kvm_get_mem_map_range(kvm_context_t kvm, unsigned long phys_addr, unsigned long len, void *buf,
	void *opaque, range_fn cb)
{
	return bitmap_range(kvm, phys_addr, phys_addr + len, buf, opaque, cb, mapped_bitmap);
}

static int log_count(kvm_context_t kvm, u64 gpa, bool enable)
{
	struct slot *slot;
	int r = -EINVAL;

	pthread_mutex_lock(&kvm->lock);
	slot = slot_containing(kvm, gpa, 1);
	if (slot && (enable || slot->log_count)) {
		slot->log_count += enable ? 1 : -1u;
		r = slot_commit(kvm, slot);
	} else if (slot) {
		r = 0;
	}
	pthread_mutex_unlock(&kvm->lock);
	return result(r);
}

int kvm_dirty_pages_log_enable_slot(kvm_context_t kvm, uint64_t phys_start, uint64_t len)
{
	return log_count(kvm, phys_start, true);
}

int kvm_dirty_pages_log_disable_slot(kvm_context_t kvm, uint64_t phys_start, uint64_t len)
{
	return log_count(kvm, phys_start, false);
}

static int log_all(kvm_context_t kvm, bool on)
{
	int r = 0;

	pthread_mutex_lock(&kvm->lock);
	kvm->log_all = on;
	for (int i = 0; i < kvm->nr_slots && r >= 0; i++)
		if (kvm->slots[i].len)
			r = slot_commit(kvm, &kvm->slots[i]);
	pthread_mutex_unlock(&kvm->lock);
	return result(r);
}

int kvm_dirty_pages_log_enable_all(kvm_context_t kvm)
{
	return log_all(kvm, true);
}

int kvm_dirty_pages_log_reset(kvm_context_t kvm)
{
	return log_all(kvm, false);
}
