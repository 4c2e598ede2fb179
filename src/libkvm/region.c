/* SPDX-License-Identifier: MIT */
/*
 * Regions: the memory that the program gives the guest, and who owns it. The memory that kvm_create promises is
 * provisional: old programs ignore it and register their own over it, so it is trimmed around what they register
 * instead of refusing them.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "libkvm/context.h"

#define LOW_END  0xa0000ull    /* where video memory begins */
#define HIGH     0xc0000ull    /* where memory goes on */
#define HOLE     0xe0000000ull /* devices up to 4 GiB */
#define ABOVE_4G 0x100000000ull

void memory_init(struct guest_memory *m, u32 max_slots)
{
	m->regions.item_size = sizeof(struct region);
	m->aliases.item_size = sizeof(struct alias);
	m->slots.item_size = sizeof(struct view_slot);
	m->dirty.item_size = sizeof(struct dirty_chunk);
	m->max_slots = max_slots;
	m->file = -1;
}

static void release(const struct guest_memory *m, const struct region *region)
{
	if (region->owned)
		ram_unmap(m, region->hva, region->range.len);
}

void memory_free(struct guest_memory *m)
{
	for (int i = 0; i < m->regions.n; i++)
		release(m, ranges_at(&m->regions, i));
	ranges_free(&m->regions);
	ranges_free(&m->aliases);
	ranges_free(&m->slots);
	ranges_free(&m->dirty);
	free(m->free_ids);
	if (m->ram)
		ram_unmap(m, m->ram, m->ram_size);
	ram_close(m);
}

void *memory_host(kvm_context_t kvm, u64 gpa, u64 len)
{
	const struct view_slot *slot;
	void *host = NULL;

	pthread_mutex_lock(&kvm->lock);
	slot = ranges_containing(&kvm->memory.slots, gpa, len);
	if (slot)
		host = slot->hva + (gpa - slot->range.gpa);
	pthread_mutex_unlock(&kvm->lock);
	return host;
}

/* ---- Adding ----------------------------------------------------------------------------------------- */

static int keep(struct ranges *regions, const struct region *old, u64 from, u64 to)
{
	struct region piece = *old;

	if (from >= to)
		return 0;
	piece.range = (struct gpa_range){from, to - from};
	piece.hva = old->hva + (from - old->range.gpa);
	return ranges_insert(regions, &piece);
}

/* Takes the range out of the provisional regions that it overlaps. */
static int trim(struct ranges *regions, const struct gpa_range *range)
{
	const struct region *found;
	int r = 0;

	while (r >= 0 && (found = ranges_overlapping(regions, range->gpa, range->len))) {
		const struct region old = *found;

		ranges_remove(regions, found);
		r = keep(regions, &old, old.range.gpa, range->gpa);
		if (r >= 0)
			r = keep(regions, &old, range_end(range), range_end(&old.range));
	}
	return r;
}

/* Regions in the range that are not provisional. */
static const struct region *obstacle(const struct guest_memory *m, const struct gpa_range *range)
{
	const struct region *region;

	for (int i = ranges_from(&m->regions, range->gpa);
		(region = ranges_at(&m->regions, i)) && region->range.gpa < range_end(range); i++)
		if (!region->provisional)
			return region;
	return NULL;
}

static int add_over(kvm_context_t kvm, const struct region *new)
{
	struct guest_memory *m = &kvm->memory;
	struct ranges before;
	int r = dirty_save_range(kvm, &new->range);

	if (r >= 0)
		r = table_grown(kvm, ranges_copy(&before, &m->regions));
	if (r < 0)
		return r;
	r = trim(&m->regions, &new->range);
	if (r >= 0)
		r = ranges_insert(&m->regions, new);
	r = table_grown(kvm, r);
	if (r >= 0)
		r = view_update(kvm, &new->range);
	if (r < 0) {
		struct ranges after = m->regions;

		m->regions = before;
		before = after;
		view_update(kvm, &new->range);
	}
	ranges_free(&before);
	return r;
}

static int add_free(kvm_context_t kvm, const struct region *new)
{
	struct guest_memory *m = &kvm->memory;
	int r = table_grown(kvm, ranges_insert(&m->regions, new));

	if (r < 0)
		return r;
	r = view_update(kvm, &new->range);
	if (r < 0) {
		ranges_remove(&m->regions,
			ranges_containing(&m->regions, new->range.gpa, new->range.len));
		view_update(kvm, &new->range);
	}
	return r;
}

static int add(kvm_context_t kvm, const struct region *new)
{
	const struct gpa_range range = new->range;
	const struct region *other;
	int r;

	pthread_mutex_lock(&kvm->lock);
	other = obstacle(&kvm->memory, &range);
	if (other)
		r = fail(kvm, -EEXIST,
			"the memory at 0x%lx+0x%lx overlaps the memory at 0x%lx+0x%lx: destroy "
			"that first",
			range.gpa, range.len, other->range.gpa, other->range.len);
	else if (ranges_overlapping(&kvm->memory.regions, range.gpa, range.len))
		r = add_over(kvm, new);
	else
		r = add_free(kvm, new);
	if (r >= 0)
		dirty_forget(&kvm->memory, &range); /* of the provisional region that was there */
	pthread_mutex_unlock(&kvm->lock);
	return r;
}

/* With words; the hypervisor's own errors have them already. */
static int region_add(kvm_context_t kvm, const struct region *new)
{
	if (!range_valid(new->range.gpa, new->range.len) || ((uintptr_t) new->hva & ~PAGE_MASK))
		return fail(kvm, -EINVAL,
			"the memory at 0x%lx+0x%lx: address, length and host address must be whole "
			"pages, the length not 0, and the end below 2^64",
			new->range.gpa, new->range.len);
	if (!new->hva)
		return fail(kvm, -EFAULT, "the memory at 0x%lx+0x%lx: the host address is NULL",
			new->range.gpa, new->range.len);
	return add(kvm, new);
}

static int add_initial(kvm_context_t kvm, u64 gpa, u64 end)
{
	const struct region region = {
		.range = {gpa, end - gpa}, .hva = kvm->memory.ram + gpa, .provisional = true};

	return gpa < end ? region_add(kvm, &region) : 0;
}

int memory_create_initial(kvm_context_t kvm, u64 bytes, void **phys_mem)
{
	const u64 mem = ALIGN_UP(bytes, PAGE_SIZE);
	const u64 span = mem > HOLE ? mem + (ABOVE_4G - HOLE) : mem;
	void *ram = MAP_FAILED;
	int r;

	if (mem >= bytes && span >= mem)
		ram = ram_map(kvm, span);
	if (ram == MAP_FAILED)
		return fail(
			kvm, -ENOMEM, "there are no %lu bytes of memory left for the guest", bytes);
	kvm->memory.ram = ram;
	kvm->memory.ram_size = span;
	r = add_initial(kvm, 0, MIN(mem, LOW_END));
	if (r >= 0)
		r = add_initial(kvm, HIGH, MIN(mem, HOLE));
	if (r >= 0 && mem > HOLE)
		r = add_initial(kvm, ABOVE_4G, span);
	if (r >= 0)
		*phys_mem = ram;
	return r;
}

int kvm_register_phys_mem(kvm_context_t kvm, unsigned long phys_start, void *userspace_addr,
	unsigned long len, int log)
{
	const struct region region = {
		.range = {phys_start, len}, .hva = userspace_addr, .log_base = log != 0};

	return result(region_add(kvm, &region));
}

void *kvm_create_phys_mem(
	kvm_context_t kvm, unsigned long phys_start, unsigned long len, int log, int writable)
{
	struct region region = {.range = {phys_start, len},
		.log_base = log != 0,
		.read_only = !writable,
		.owned = true};
	int r;

	/* A length of 0 is refused by region_add. */
	region.hva = len ? ram_map(kvm, len) : NULL;
	if (region.hva == MAP_FAILED) {
		fail(kvm, -errno, "there are no %lu bytes of memory left for the guest", len);
		return NULL;
	}
	r = region_add(kvm, &region);
	if (r >= 0)
		return region.hva;
	if (len)
		ram_unmap(&kvm->memory, region.hva, len);
	result(r);
	return NULL;
}

/* ---- Removing --------------------------------------------------------------------------------------- */

static int region_remove(kvm_context_t kvm, const struct region *region)
{
	struct guest_memory *m = &kvm->memory;
	const struct region old = *region;
	int r = dirty_save_range(kvm, &old.range);

	if (r < 0)
		return r;
	ranges_remove(&m->regions, region);
	r = view_update(kvm, &old.range);
	if (r < 0) {
		ranges_insert(&m->regions, &old); /* it was there: there is room */
		view_update(kvm, &old.range);
		return r;
	}
	dirty_forget(m, &old.range);
	release(m, &old);
	return 0;
}

static void remove_containing(kvm_context_t kvm, u64 gpa, u64 len)
{
	const struct region *region;
	int r = -ENOENT;

	pthread_mutex_lock(&kvm->lock);
	region = ranges_containing(&kvm->memory.regions, gpa, len);
	if (region)
		r = region_remove(kvm, region);
	pthread_mutex_unlock(&kvm->lock);
	result(r);
}

void kvm_destroy_phys_mem(kvm_context_t kvm, unsigned long phys_start, unsigned long len)
{
	remove_containing(kvm, phys_start, 1);
}

void kvm_unregister_memory_area(kvm_context_t kvm, uint64_t phys_start, unsigned long len)
{
	remove_containing(kvm, phys_start, MAX(len, 1ul));
}

int kvm_is_containing_region(kvm_context_t kvm, unsigned long phys_start, unsigned long size)
{
	int found;

	pthread_mutex_lock(&kvm->lock);
	found = ranges_containing(&kvm->memory.regions, phys_start, MAX(size, 1ul)) != NULL;
	pthread_mutex_unlock(&kvm->lock);
	return found;
}
