/* SPDX-License-Identifier: MIT */
/*
 * MSHV_SET_GUEST_MEMORY: each region is a slot of the engine's.
 *
 * Regions are kept sorted by guest-physical address, so that an overlap is one of two neighbours.
 */
#include "abi/mshv/memory.h"

#include <stdlib.h>
#include <string.h>

#include "abi/mshv/property.h"
#include "base/sys.h"

/* ---- the list ---- */

/* The first region that ends above pfn. */
static unsigned region_above(const struct mshv_partition *p, u64 pfn)
{
	unsigned lo = 0, hi = p->region_count;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (p->regions[mid].pfn + p->regions[mid].pages > pfn)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

bool partition_memory_flags(struct mshv_partition *p, u64 gpa, u8 *ret_flags)
{
	u64 pfn = gpa / HV_PAGE_SIZE;
	bool has;
	unsigned i;

	pthread_mutex_lock(&p->lock);
	i = region_above(p, pfn);
	has = i < p->region_count && p->regions[i].pfn <= pfn;
	*ret_flags = has ? p->regions[i].flags : 0;
	pthread_mutex_unlock(&p->lock);
	return has;
}

bool partition_stretch(struct mshv_partition *p, u64 pfn, u64 *ret_pages)
{
	bool has;
	unsigned i;

	pthread_mutex_lock(&p->lock);
	i = region_above(p, pfn);
	has = i < p->region_count && p->regions[i].pfn <= pfn;
	if (has)
		*ret_pages = p->regions[i].pfn + p->regions[i].pages - pfn;
	else
		*ret_pages = (i < p->region_count ? p->regions[i].pfn : PFN_END) - pfn;
	pthread_mutex_unlock(&p->lock);
	return has;
}

/* Processors that run look at the regions. */
static bool make_room(struct mshv_partition *p)
{
	unsigned room = p->region_room ? p->region_room * 2 : 16;
	struct mem_region *r;

	if (p->region_count < p->region_room)
		return true;
	pthread_mutex_lock(&p->lock);
	r = realloc(p->regions, room * sizeof(*r));
	if (r) {
		p->regions = r;
		p->region_room = room;
	}
	pthread_mutex_unlock(&p->lock);
	return r;
}

/* A number that no region has: they may be made and unmade for ever. */
static u32 free_slot(const struct mshv_partition *p)
{
	u32 n = p->next_slot;

	for (unsigned i = 0; i < p->region_count; i++)
		if (p->regions[i].slot == n) {
			n = (n + 1) % MACHINE_MAX_SLOTS;
			i = -1u;
		}
	return n;
}

void regions_free(struct mshv_partition *p)
{
	free(p->regions);
}

/* ---- map ---- */

static u32 slot_flags(u8 flags)
{
	return (flags & 1 << MSHV_SET_MEM_BIT_WRITABLE ? 0 : SLOT_READONLY) |
	       (flags & 1 << MSHV_SET_MEM_BIT_EXECUTABLE ? 0 : SLOT_NOEXEC);
}

#define HVA_END BIT64(47) /* of a process's addresses */

static bool is_mapped(u64 hva)
{
	unsigned char there;

	return !sys_mincore((void *)hva, PAGE_SIZE, &there);
}

static long check_new(const struct mshv_partition *p, const struct mshv_user_mem_region *a,
	unsigned at, struct refusal *why)
{
	if (a->userspace_addr > HVA_END || a->size > HVA_END - a->userspace_addr ||
		!is_mapped(a->userspace_addr))
		return refuse(why, -EINVAL, "userspace_addr 0x%lx: there is no memory",
			(u64)a->userspace_addr);
	if (a->guest_pfn >= PFN_END || a->size / HV_PAGE_SIZE > PFN_END - a->guest_pfn)
		return refuse(why, -EINVAL, "guest_pfn 0x%lx: beyond the physical address space",
			(u64)a->guest_pfn);
	if (at < p->region_count && p->regions[at].pfn < a->guest_pfn + a->size / HV_PAGE_SIZE)
		return refuse(why, -EEXIST, "guest_pfn 0x%lx: overlaps memory at pfn 0x%lx",
			(u64)a->guest_pfn, p->regions[at].pfn);
	if (!atomic_load(&p->initialized))
		return refuse(why, -EIO, NOT_INITIALIZED);
	if (p->region_count == MACHINE_MAX_SLOTS)
		return refuse(why, -ENOMEM, "there are %lu regions already: no more are possible",
			(u64)MACHINE_MAX_SLOTS);
	return 0;
}

long partition_map(
	struct mshv_partition *p, const struct mshv_user_mem_region *a, struct refusal *why)
{
	unsigned at = region_above(p, a->guest_pfn);
	long r = check_new(p, a, at, why);
	struct memslot_config s = {
		.flags = slot_flags(a->flags),
		.gpa = a->guest_pfn * HV_PAGE_SIZE,
		.size = a->size,
		.hva = a->userspace_addr,
		.why = why,
	};

	if (r)
		return r;
	if (!make_room(p))
		return -ENOMEM;
	s.id = free_slot(p);
	r = machine_set_memslot(p->machine, &s);
	if (r)
		return r;
	pthread_mutex_lock(&p->lock);
	memmove(&p->regions[at + 1], &p->regions[at],
		(p->region_count - at) * sizeof(p->regions[0]));
	p->regions[at] = (struct mem_region){.pfn = a->guest_pfn,
		.pages = a->size / HV_PAGE_SIZE,
		.hva = a->userspace_addr,
		.slot = s.id,
		.flags = a->flags};
	p->region_count++;
	pthread_mutex_unlock(&p->lock);
	p->next_slot = (s.id + 1) % MACHINE_MAX_SLOTS;
	return 0;
}

/* ---- unmap ---- */

static long unmap(struct call *c, const struct mshv_user_mem_region *a)
{
	struct mshv_partition *p = partition_of(c);
	unsigned at = region_above(p, a->guest_pfn);
	struct mem_region *g = &p->regions[at];
	struct memslot_config s = {.why = c->why};
	long r;

	if (at == p->region_count || g->pfn > a->guest_pfn)
		return refuse(
			c->why, -ENOENT, "guest_pfn 0x%lx: there is no memory", (u64)a->guest_pfn);
	if (g->pfn != a->guest_pfn || g->pages != a->size / HV_PAGE_SIZE ||
		g->hva != a->userspace_addr)
		return refuse(c->why, -EINVAL,
			"guest_pfn 0x%lx: the memory there was mapped as %lu pages from pfn 0x%lx "
			"on",
			(u64)a->guest_pfn, g->pages, g->pfn);
	s.id = g->slot;
	r = machine_set_memslot(p->machine, &s);
	if (r)
		return r;
	pthread_mutex_lock(&p->lock);
	p->region_count--;
	memmove(g, g + 1, (p->region_count - at) * sizeof(*g));
	pthread_mutex_unlock(&p->lock);
	return 0;
}

long partition_set_memory(struct call *c)
{
	const struct mshv_user_mem_region *a = c->data;

	if (!a->size || (a->size | a->userspace_addr) & (HV_PAGE_SIZE - 1))
		return refuse(c->why, -EINVAL,
			"size %lu, userspace_addr 0x%lx: must be multiples of 4096, and size not 0",
			(u64)a->size, (u64)a->userspace_addr);
	if (check_flags(c, a->flags, MSHV_SET_MEM_FLAGS_MASK))
		return -EINVAL;
	if (!all_zero(a->rsvd, sizeof(a->rsvd)))
		return refuse(c->why, -EINVAL, NOT_ZERO);
	return a->flags & 1 << MSHV_SET_MEM_BIT_UNMAP ? unmap(c, a)
						      : partition_map(partition_of(c), a, c->why);
}
