/* SPDX-License-Identifier: MIT */
/*
 * Which pages the guest wrote and which exist: recording per region, and the bitmaps.
 *
 * Hypervisors record by slot. A region that is split, or shown by an alias, has several, and loses what was recorded
 * whenever one of them is taken away; so pages are also remembered here, by guest-physical address, until they
 * are asked for.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libkvm/context.h"

/* Fills buf with one bit for each page of the region. */
typedef int (*bitmap_fn)(kvm_context_t kvm, const struct region *region, void *buf);
typedef int (*range_fn)(unsigned long start, unsigned long len, void *bitmap, void *opaque);

static size_t bitmap_bytes(u64 len)
{
	return ALIGN_UP(len / PAGE_SIZE, 64) / 8;
}

/* ---- Remembered pages ------------------------------------------------------------------------------- */

/* There is room. */
static void remember(struct guest_memory *m, u64 gpa)
{
	struct dirty_chunk new = {.range = {gpa & ~(DIRTY_CHUNK - 1), DIRTY_CHUNK}};
	struct dirty_chunk *chunk = ranges_containing(&m->dirty, gpa, 1);

	if (!chunk) {
		ranges_insert(&m->dirty, &new);
		chunk = ranges_containing(&m->dirty, gpa, 1);
	}
	chunk->pages |= BIT64(gpa / PAGE_SIZE % 64);
}

/* Only if the slot's memory is still that of a region, and of one whose writes are recorded. */
static void remember_of(struct guest_memory *m, const struct view_slot *slot, u64 offset)
{
	const u64 gpa = slot->home + offset;
	const struct region *region = ranges_containing(&m->regions, gpa, PAGE_SIZE);

	if (!region || !region_logs(m, region) ||
		region->hva + (gpa - region->range.gpa) != slot->hva + offset)
		return;
	remember(m, gpa);
}

static int fetch(kvm_context_t kvm, u32 id, void *bitmap)
{
	struct kvm_dirty_log log = {.slot = id, .dirty_bitmap = bitmap};

	return (int)vm_ioctl(kvm, KVM_GET_DIRTY_LOG, &log);
}

/* Asking the hypervisor makes it forget, so what is needed to remember is got before. */
int dirty_save(kvm_context_t kvm, const struct view_slot *slot)
{
	const size_t bytes = bitmap_bytes(slot->range.len);
	u64 *bitmap = calloc(1, bytes);
	int r = bitmap ? ranges_reserve(&kvm->memory.dirty, bytes / 8 + 1) : -ENOMEM;

	r = r < 0 ? table_grown(kvm, r) : fetch(kvm, slot->id, bitmap);
	for (u64 word = 0; r >= 0 && word < bytes / 8; word++)
		for (u64 left = bitmap[word]; left; left &= left - 1)
			remember_of(&kvm->memory, slot,
				(word * 64 + (u64)__builtin_ctzll(left)) * PAGE_SIZE);
	free(bitmap);
	return r;
}

static u64 pages_inside(const struct dirty_chunk *chunk, const struct gpa_range *range)
{
	u64 inside = 0;

	for (unsigned i = 0; i < 64; i++) {
		const u64 gpa = chunk->range.gpa + i * PAGE_SIZE;

		if (gpa >= range->gpa && gpa < range_end(range))
			inside |= BIT64(i);
	}
	return inside;
}

/* Moves the remembered pages of the range into the bitmap, which may be NULL. */
static void recall(struct guest_memory *m, const struct gpa_range *range, u8 *bitmap)
{
	const int first = ranges_from(&m->dirty, range->gpa);
	int i, kept = first;
	struct dirty_chunk *chunk;

	for (i = first; (chunk = ranges_at(&m->dirty, i)) && chunk->range.gpa < range_end(range);
		i++) {
		const u64 inside = pages_inside(chunk, range);

		for (u64 left = chunk->pages & inside; bitmap && left; left &= left - 1) {
			const u64 gpa = chunk->range.gpa + (u64)__builtin_ctzll(left) * PAGE_SIZE;
			const u64 page = (gpa - range->gpa) / PAGE_SIZE;

			bitmap[page / 8] |= (u8)BIT(page % 8);
		}
		chunk->pages &= ~inside;
		if (chunk->pages)
			*(struct dirty_chunk *)ranges_at(&m->dirty, kept++) = *chunk;
	}
	ranges_cut(&m->dirty, kept, i);
}

void dirty_forget(struct guest_memory *m, const struct gpa_range *range)
{
	recall(m, range, NULL);
}

/* ---- Bitmaps ---------------------------------------------------------------------------------------- */

static int save_logging(kvm_context_t kvm, const struct view_slot *slot, void *arg)
{
	return slot->log ? dirty_save(kvm, slot) : 0;
}

int dirty_save_range(kvm_context_t kvm, const struct gpa_range *range)
{
	const struct guest_memory *m = &kvm->memory;
	const struct region *region;
	int r = 0;

	for (int i = ranges_from(&m->regions, range->gpa);
		r >= 0 && (region = ranges_at(&m->regions, i)) &&
		region->range.gpa < range_end(range);
		i++)
		r = view_each(kvm, region, save_logging, NULL);
	return r;
}

/* With one slot, and nothing remembered, the hypervisor's bitmap is the answer. */
static const struct view_slot *only_slot(const struct guest_memory *m, const struct region *region)
{
	const struct gpa_range *range = &region->range;
	const struct view_slot *slot = ranges_containing(&m->slots, range->gpa, range->len);

	if (m->aliases.n || ranges_overlapping(&m->dirty, range->gpa, range->len))
		return NULL;
	return slot;
}

static int dirty_bitmap(kvm_context_t kvm, const struct region *region, void *buf)
{
	struct guest_memory *m = &kvm->memory;
	const struct view_slot *slot = only_slot(m, region);
	int r;

	if (!region_logs(m, region))
		return fail(kvm, -ENOENT,
			"writes to the memory at 0x%lx are not recorded: call "
			"kvm_dirty_pages_log_enable_slot() first",
			region->range.gpa);
	if (!buf)
		return fail(kvm, -EFAULT, "the buffer for the bitmap of written pages is NULL");
	if (slot)
		return fetch(kvm, slot->id, buf);
	r = view_each(kvm, region, save_logging, NULL);
	if (r < 0)
		return r;
	memset(buf, 0, bitmap_bytes(region->range.len));
	recall(m, &region->range, buf);
	return 0;
}

static int mapped_bitmap(kvm_context_t kvm, const struct region *region, void *buf)
{
	const u64 pages = region->range.len / PAGE_SIZE;
	unsigned char there[256];

	if (!buf)
		return fail(kvm, -EFAULT, "the buffer for the bitmap of pages is NULL");
	memset(buf, 0, bitmap_bytes(region->range.len));
	for (u64 first = 0; first < pages; first += sizeof(there)) {
		u64 n = MIN(pages - first, sizeof(there));

		if (mincore(region->hva + first * PAGE_SIZE, n * PAGE_SIZE, there) < 0)
			return fail(kvm, -errno,
				"the memory at 0x%lx is no longer wholly mapped in this program",
				region->range.gpa);
		for (u64 i = 0; i < n; i++)
			if (there[i] & 1)
				((u8 *)buf)[(first + i) / 8] |= (u8)BIT((first + i) % 8);
	}
	return 0;
}

static int bitmap_at(kvm_context_t kvm, u64 gpa, void *buf, bitmap_fn fill, int missing)
{
	const struct region *region;
	int r;

	pthread_mutex_lock(&kvm->lock);
	region = ranges_containing(&kvm->memory.regions, gpa, 1);
	if (!region)
		r = fail(kvm, missing, "there is no memory at 0x%lx: register it first", gpa);
	else if (!buf)
		r = fail(kvm, -EFAULT, "the pointer to the bitmap is NULL");
	else
		r = fill(kvm, region, buf);
	pthread_mutex_unlock(&kvm->lock);
	return r;
}

/* The first region wholly in [*from, end), its bitmap in buf; 0 when there is none. */
static int bitmap_next(
	kvm_context_t kvm, u64 *from, u64 end, void *buf, bitmap_fn fill, struct gpa_range *found)
{
	const struct region *region;
	int r = 0;

	pthread_mutex_lock(&kvm->lock);
	for (int i = ranges_from(&kvm->memory.regions, *from);
		r == 0 && (region = ranges_at(&kvm->memory.regions, i)); i++) {
		if (range_end(&region->range) > end)
			break;
		if (region->range.gpa < *from)
			continue;
		*found = region->range;
		*from = range_end(found);
		r = fill(kvm, region, buf);
		if (r >= 0)
			r = 1;
	}
	pthread_mutex_unlock(&kvm->lock);
	return r;
}

/* The lock is not held while cb runs, so it may call the library. */
static int bitmap_range(
	kvm_context_t kvm, u64 from, u64 end, void *buf, void *opaque, range_fn cb, bitmap_fn fill)
{
	struct gpa_range found;
	int r;

	if (!buf || !cb)
		return fail(kvm, -EFAULT, "the pointer to the bitmap or to the callback is NULL");
	while ((r = bitmap_next(kvm, &from, end, buf, fill, &found)) > 0) {
		r = cb(found.gpa, found.len, buf, opaque);
		if (r)
			break;
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
	const u64 end = phys_addr + MIN(len, ~phys_addr);

	return bitmap_range(kvm, phys_addr, end, buf, opaque, cb, mapped_bitmap);
}

/* ---- Recording -------------------------------------------------------------------------------------- */

/* What was recorded before recording ended is nobody's any more. */
static int follow_log(kvm_context_t kvm, const struct region *region)
{
	const struct gpa_range range = region->range;
	int r = view_update(kvm, &range);

	if (!region_logs(&kvm->memory, region))
		dirty_forget(&kvm->memory, &range);
	return r;
}

static int count(kvm_context_t kvm, struct region *region, int step)
{
	int r;

	if (step < 0 && !region->log_count)
		return 0;
	region->log_count += (unsigned)step;
	r = follow_log(kvm, region);
	if (r < 0) {
		region->log_count -= (unsigned)step;
		follow_log(kvm, region);
	}
	return r;
}

static int log_count(kvm_context_t kvm, u64 gpa, int step)
{
	struct region *region;
	int r;

	pthread_mutex_lock(&kvm->lock);
	region = ranges_containing(&kvm->memory.regions, gpa, 1);
	if (region)
		r = count(kvm, region, step);
	else
		r = fail(kvm, -EINVAL, "there is no memory at 0x%lx: register it first", gpa);
	pthread_mutex_unlock(&kvm->lock);
	return result(r);
}

int kvm_dirty_pages_log_enable_slot(kvm_context_t kvm, uint64_t phys_start, uint64_t len)
{
	return log_count(kvm, phys_start, 1);
}

int kvm_dirty_pages_log_disable_slot(kvm_context_t kvm, uint64_t phys_start, uint64_t len)
{
	return log_count(kvm, phys_start, -1);
}

static int follow_all(kvm_context_t kvm)
{
	const struct ranges *regions = &kvm->memory.regions;
	int r = 0;

	for (int i = 0; r >= 0 && i < regions->n; i++)
		r = follow_log(kvm, ranges_at(regions, i));
	return r;
}

static int log_all(kvm_context_t kvm, bool on)
{
	bool before;
	int r;

	pthread_mutex_lock(&kvm->lock);
	before = kvm->memory.log_all;
	kvm->memory.log_all = on;
	r = follow_all(kvm);
	if (r < 0) {
		kvm->memory.log_all = before;
		follow_all(kvm);
	}
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
