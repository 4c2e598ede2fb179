/* SPDX-License-Identifier: MIT */
/*
 * From regions and aliases to slots: which memory the guest sees where. For a range that begins and ends where nothing
 * is cut, the slots that should be are computed and compared with those that are; only what differs is told to the
 * hypervisor. Hypervisors cannot change the size of a slot, so one that is to be split is taken away first.
 */
#include <stdlib.h>

#include "libkvm/context.h"

/* ---- Slots as the hypervisor knows them ------------------------------------------------------------- */

static int commit(kvm_context_t kvm, const struct view_slot *slot, u64 len)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot->id,
		.flags = (slot->log ? KVM_MEM_LOG_DIRTY_PAGES : 0) |
			 (slot->read_only ? KVM_MEM_READONLY : 0),
		.guest_phys_addr = slot->range.gpa,
		.memory_size = len,
		.userspace_addr = (u64)(uintptr_t)slot->hva,
	};

	return (int)vm_ioctl(kvm, KVM_SET_USER_MEMORY_REGION, &region);
}

/* There is room in free_ids for every number that was ever given out. */
static int id_take(struct guest_memory *m, u32 *id)
{
	u32 *grown;

	if (m->n_free) {
		*id = m->free_ids[--m->n_free];
		return 0;
	}
	if (m->next_id == m->max_slots)
		return -ENOSPC;
	if (!(m->next_id & (m->next_id - 1))) {
		grown = reallocarray(m->free_ids, MAX(2 * (size_t)m->next_id, 1u), sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		m->free_ids = grown;
	}
	*id = m->next_id++;
	return 0;
}

static void id_give(struct guest_memory *m, u32 id)
{
	m->free_ids[m->n_free++] = id;
}

static int slot_add(kvm_context_t kvm, const struct view_slot *wanted)
{
	struct guest_memory *m = &kvm->memory;
	struct view_slot slot = *wanted;
	int r = id_take(m, &slot.id);

	if (r == -ENOSPC)
		return fail(kvm, r, "there is no slot left for more memory: the hypervisor has %u",
			m->max_slots);
	if (r < 0)
		return table_grown(kvm, r);
	r = table_grown(kvm, ranges_insert(&m->slots, &slot));
	if (r >= 0) {
		r = commit(kvm, &slot, slot.range.len);
		if (r < 0)
			ranges_remove(&m->slots,
				ranges_containing(&m->slots, slot.range.gpa, slot.range.len));
	}
	if (r < 0)
		id_give(m, slot.id);
	return r;
}

static int slot_remove(kvm_context_t kvm, const struct view_slot *slot)
{
	struct guest_memory *m = &kvm->memory;
	const u32 id = slot->id;
	int r = commit(kvm, slot, 0);

	if (r < 0)
		return r;
	ranges_remove(&m->slots, slot);
	id_give(m, id);
	return 0;
}

static int slot_set_log(kvm_context_t kvm, struct view_slot *slot, bool log)
{
	int r;

	if (slot->log == log)
		return 0;
	slot->log = log;
	r = commit(kvm, slot, slot->range.len);
	if (r < 0)
		slot->log = !log;
	return r;
}

/* ---- Slots as they should be ------------------------------------------------------------------------ */

/* The guest sees at gpa what regions have at home. */
static int show(const struct guest_memory *m, u64 gpa, u64 home, u64 len, struct ranges *wanted)
{
	int r = 0;

	for (int i = ranges_from(&m->regions, home); r >= 0 && i < m->regions.n; i++) {
		const struct region *region = ranges_at(&m->regions, i);
		const u64 from = MAX(home, region->range.gpa);
		const u64 to = MIN(home + len, range_end(&region->range));
		const struct view_slot slot = {
			.range = {gpa + (from - home), to - from},
			.hva = region->hva + (from - region->range.gpa),
			.home = from,
			.read_only = region->read_only,
			.log = region_logs(m, region),
		};

		if (from >= to)
			break;
		r = ranges_insert(wanted, &slot);
	}
	return r;
}

/* Aliases, and regions between them. None of either is cut by the range's ends. */
static int flatten(
	const struct guest_memory *m, const struct gpa_range *range, struct ranges *wanted)
{
	const u64 end = range_end(range);
	u64 gpa = range->gpa;
	int r = 0;

	for (int i = ranges_from(&m->aliases, gpa); r >= 0 && gpa < end; i++) {
		const struct alias *alias = ranges_at(&m->aliases, i);
		const u64 next = alias ? MIN(alias->range.gpa, end) : end;

		r = show(m, gpa, gpa, next - gpa, wanted);
		gpa = next;
		if (r < 0 || gpa == end)
			break;
		r = show(m, gpa, alias->target, alias->range.len, wanted);
		gpa = range_end(&alias->range);
	}
	return r;
}

/* ---- From the one to the other ---------------------------------------------------------------------- */

static bool widen_by(const struct ranges *t, struct gpa_range *range)
{
	const u64 gpa = range->gpa, end = range_end(range);
	const struct gpa_range *r;

	for (int i = ranges_from(t, gpa); (r = ranges_at(t, i)) && r->gpa < end; i++) {
		const u64 to = MAX(range_end(range), range_end(r));

		range->gpa = MIN(range->gpa, r->gpa);
		range->len = to - range->gpa;
	}
	return range->gpa != gpa || range_end(range) != end;
}

/* Until nothing is cut any more. */
static void widen(const struct guest_memory *m, struct gpa_range *range)
{
	while (widen_by(&m->regions, range) || widen_by(&m->aliases, range) ||
		widen_by(&m->slots, range))
		;
}

/* The flags may differ: they can be changed. */
static bool stays(const struct view_slot *slot, const struct ranges *wanted)
{
	const struct view_slot *w = ranges_overlapping(wanted, slot->range.gpa, slot->range.len);

	return w && w->range.gpa == slot->range.gpa && w->range.len == slot->range.len &&
	       w->hva == slot->hva && w->home == slot->home && w->read_only == slot->read_only;
}

static int save_all(kvm_context_t kvm, const struct gpa_range *range, const struct ranges *wanted)
{
	const struct guest_memory *m = &kvm->memory;
	const struct view_slot *slot;
	int r = 0;

	for (int i = ranges_from(&m->slots, range->gpa);
		r >= 0 && (slot = ranges_at(&m->slots, i)) && slot->range.gpa < range_end(range);
		i++)
		if (slot->log && !stays(slot, wanted))
			r = dirty_save(kvm, slot);
	return r;
}

static int remove_all(kvm_context_t kvm, const struct gpa_range *range, const struct ranges *wanted)
{
	struct guest_memory *m = &kvm->memory;
	int i = ranges_from(&m->slots, range->gpa), r = 0;
	struct view_slot *slot;

	while (r >= 0 && (slot = ranges_at(&m->slots, i)) && slot->range.gpa < range_end(range))
		if (stays(slot, wanted))
			i++;
		else
			r = slot_remove(kvm, slot);
	return r;
}

static int add_all(kvm_context_t kvm, const struct ranges *wanted)
{
	const struct guest_memory *m = &kvm->memory;
	int r = 0;

	for (int i = 0; r >= 0 && i < wanted->n; i++) {
		const struct view_slot *w = ranges_at(wanted, i);
		struct view_slot *slot = ranges_containing(&m->slots, w->range.gpa, w->range.len);

		r = slot ? slot_set_log(kvm, slot, w->log) : slot_add(kvm, w);
	}
	return r;
}

static int update(kvm_context_t kvm, struct gpa_range range)
{
	struct ranges wanted = {.item_size = sizeof(struct view_slot)};
	int r;

	widen(&kvm->memory, &range);
	r = table_grown(kvm, flatten(&kvm->memory, &range, &wanted));
	if (r >= 0)
		r = save_all(kvm, &range, &wanted);
	if (r >= 0)
		r = remove_all(kvm, &range, &wanted);
	if (r >= 0)
		r = add_all(kvm, &wanted);
	ranges_free(&wanted);
	return r;
}

static bool shows(const struct alias *alias, const struct gpa_range *range)
{
	return alias->target < range_end(range) && range->gpa < alias->target + alias->range.len;
}

int view_update(kvm_context_t kvm, const struct gpa_range *range)
{
	const struct guest_memory *m = &kvm->memory;
	int r = update(kvm, *range);

	for (int i = 0; r >= 0 && i < m->aliases.n; i++) {
		const struct alias *alias = ranges_at(&m->aliases, i);

		if (shows(alias, range))
			r = update(kvm, alias->range);
	}
	return r;
}

/* Slots in `place` that show something of the region. */
static int each_in(kvm_context_t kvm, const struct gpa_range *place, const struct gpa_range *region,
	int (*fn)(kvm_context_t kvm, const struct view_slot *slot, void *arg), void *arg)
{
	const struct guest_memory *m = &kvm->memory;
	const struct view_slot *slot;
	int r = 0;

	for (int i = ranges_from(&m->slots, place->gpa);
		r >= 0 && (slot = ranges_at(&m->slots, i)) && slot->range.gpa < range_end(place);
		i++)
		if (slot->home < range_end(region) && region->gpa < slot->home + slot->range.len)
			r = fn(kvm, slot, arg);
	return r;
}

int view_each(kvm_context_t kvm, const struct region *region,
	int (*fn)(kvm_context_t kvm, const struct view_slot *slot, void *arg), void *arg)
{
	const struct guest_memory *m = &kvm->memory;
	const struct gpa_range range = region->range;
	int r = each_in(kvm, &range, &range, fn, arg);

	for (int i = 0; r >= 0 && i < m->aliases.n; i++) {
		const struct alias *alias = ranges_at(&m->aliases, i);

		if (shows(alias, &range))
			r = each_in(kvm, &alias->range, &range, fn, arg);
	}
	return r;
}
