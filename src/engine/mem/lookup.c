/* SPDX-License-Identifier: MIT */
/*
 * Guest-physical address to slot and host page. Inner code.
 *
 * A sorted array searched by halving: 15 steps for the 32764 slots that can exist. Cpus remember
 * where their last look-ups ended (slot_find_by), so that the search is rare even on TLB fills.
 */
#include "engine/mem/mem_priv.h"
#include "engine/mem/mem.h"

u32 ranges_search(const struct memory *mem, u64 gpa)
{
	u32 low = 0, high = mem->count;

	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (gpa - mem->ranges[mid].gpa < mem->ranges[mid].size)
			return mid;
		if (gpa < mem->ranges[mid].gpa)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

u8 *slot_page(struct machine *m, u64 gpa, u32 *ret_flags)
{
	u32 hint = 0;
	const struct slot *s = slot_find(m->mem, gpa, &hint);

	if (!s)
		return NULL;
	*ret_flags = (s->flags & SLOT_READONLY ? PG_READONLY : 0) | (s->dirty ? PG_LOGGING : 0);
	return s->hva + (ALIGN_DOWN(gpa, PAGE_SIZE) - s->gpa);
}

void slot_mark_dirty(struct machine *m, u64 gpa)
{
	u32 hint = 0;
	const struct slot *s = slot_find(m->mem, gpa, &hint);

	if (s)
		slot_log_dirty(m, NULL, s, gpa);
}

/* ---- arrays sorted by the u64 with which their items begin ---- */

_Static_assert(!offsetof(struct remap, gfn) && !offsetof(struct range, gpa) &&
		       !offsetof(struct shared_page, hva),
	"the key comes first");

/* The first item whose key is not below this one. */
static inline u32 first_from(const void *items, u32 count, size_t size, u64 key)
{
	u32 low = 0, high = count;

	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (*(const u64 *)((const u8 *)items + mid * size) < key)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* ---- views ---- */

u32 remap_search(const struct remaps *r, u64 gfn)
{
	return first_from(r->page, r->count, sizeof(*r->page), gfn);
}

u64 remap_find(const struct remaps *r, u64 gpa)
{
	u64 gfn = (gpa & GPA_BITS) >> PAGE_SHIFT;
	u32 at = remap_search(r, gfn);

	if (at == r->count || r->page[at].gfn != gfn)
		return gpa;
	return r->page[at].to << PAGE_SHIFT | (gpa & (GPA_SMM | (PAGE_SIZE - 1)));
}

u64 mem_reached(const struct cpu *cpu, u64 gpa)
{
	check_inside(cpu);
	return view_reached(cpu->remaps, gpa);
}

/* ---- overlays and shared memory ---- */

u32 overlay_search(const struct memory *mem, u64 gpa)
{
	return first_from(mem->overlays, mem->overlay_count, sizeof(*mem->overlays),
		ALIGN_DOWN(gpa, PAGE_SIZE));
}

static struct slot *overlay_at(const struct memory *mem, u64 gpa)
{
	u32 i = overlay_search(mem, gpa);

	return i < mem->overlay_count && mem->overlays[i].gpa <= gpa ? mem->overlays[i].slot : NULL;
}

u32 shared_search(const struct memory *mem, u64 hva)
{
	return first_from(mem->shared, mem->shared_count, sizeof(*mem->shared), hva);
}

bool page_shared(const struct memory *mem, const u8 *hva)
{
	u64 page = ALIGN_DOWN((u64)hva, PAGE_SIZE);
	u32 i;

	if (likely(!mem->shared_count))
		return false;
	i = shared_search(mem, page);
	return i < mem->shared_count && mem->shared[i].hva == page;
}

/* ---- private memory ---- */

u32 private_above(const struct memory *mem, u64 gpa)
{
	u32 low = 0, high = mem->private_count;

	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (mem->private[mid].end > gpa)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

bool page_private(const struct memory *mem, u64 gpa)
{
	u32 i;

	gpa &= GPA_BITS; /* the same in all address spaces */
	i = private_above(mem, gpa);
	return i < mem->private_count && mem->private[i].gpa <= gpa;
}

struct slot *slot_side(const struct memory *mem, struct slot *s, u64 gpa)
{
	struct slot *overlay = overlay_at(mem, gpa);

	if (overlay)
		return overlay;
	if (!page_private(mem, gpa))
		return s;
	return s ? s->private : NULL;
}
