/* SPDX-License-Identifier: MIT */
/*
 * Pages that the guest sees in the place of its own, and memory that others than this machine may write to. Outer code; the look-up
 * is lookup.c's.
 *
 * An overlay is a slot of one page that stands beside the slot in whose place it is, and look-ups choose between the two
 * (slot_find), so nobody else has to know. Its memory may be that of another machine, whose stores nobody announces
 * here. So it is shared memory, from which nothing is ever translated: step() looks at it anew for each instruction. The other machine is
 * told to share its memory, too. Shared memory is known by its host address, so that it is found whatever guest-physical
 * addresses it has.
 */
#include <errno.h>
#include <stdlib.h>

#include "engine/mem/mem.h"
#include "engine/mem/mem_priv.h"

/* ---- shared memory; all cpus are paused and the lock is held ---- */

static void shared_changed(struct memory *mem)
{
	mem->shared = seq_begin(&mem->shared_seq);
	mem->shared_count = mem->shared_seq.count;
}

/*
 * What was translated from it, at whatever address. Nobody comes there while it is shared; but afterwards a vcpu may still trust it not
 * to have been written to (written.c).
 */
static void forget_code(struct machine *m, u64 hva)
{
	for (u32 i = 0; i < m->mem->count; i++) {
		struct slot *s = m->mem->ranges[i].slot;

		if (hva - (u64)s->hva < s->size)
			slot_end_watches(m, s, s->gpa + (hva - (u64)s->hva), PAGE_SIZE);
		s = s->private;
		if (s && hva - (u64)s->hva < s->size)
			slot_end_watches(m, s, s->gpa + (hva - (u64)s->hva), PAGE_SIZE);
	}
}

static int share_page(struct machine *m, u64 hva)
{
	struct memory *mem = m->mem;
	u32 at = shared_search(mem, hva);

	if (at < mem->shared_count && mem->shared[at].hva == hva) {
		mem->shared[at].count++;
		return 0;
	}
	if (seq_reserve(&mem->shared_seq))
		return -ENOMEM;
	*(struct shared_page *)seq_open(&mem->shared_seq, at) = (struct shared_page){hva, 1};
	shared_changed(mem);
	forget_code(m, hva);
	return 0;
}

static int unshare_page(struct memory *mem, u64 hva)
{
	u32 at = shared_search(mem, hva);

	if (at == mem->shared_count || mem->shared[at].hva != hva)
		return -ENOENT;
	if (--mem->shared[at].count)
		return 0;
	seq_close(&mem->shared_seq, at);
	shared_changed(mem);
	return 0;
}

/* ---- overlays; the same ---- */

static void overlays_changed(struct memory *mem)
{
	mem->overlays = seq_begin(&mem->overlay_seq);
	mem->overlay_count = mem->overlay_seq.count;
}

static void slot_free(struct memory *mem, struct slot *s)
{
	if (s->backing)
		backing_detach(mem, s);
	free(s);
}

static void remove_at(struct machine *m, u32 at)
{
	struct memory *mem = m->mem;
	struct slot *s = mem->overlays[at].slot;

	slot_end_watches(m, s, s->gpa, s->size); /* set by the same memory elsewhere */
	seq_close(&mem->overlay_seq, at);
	overlays_changed(mem);
	unshare_page(mem, (u64)s->hva);
	slot_free(mem, s);
}

void slot_drop_overlays(struct machine *m, const struct slot *s)
{
	const struct memory *mem = m->mem;
	u32 at = overlay_search(mem, s->gpa);

	while (at < mem->overlay_count && mem->overlays[at].gpa - s->gpa < s->size)
		remove_at(m, at);
}

void overlays_destroy(struct memory *mem)
{
	for (u32 i = 0; i < mem->overlay_count; i++)
		slot_free(mem, mem->overlays[i].slot);
	free(mem->overlay_seq.storage);
	free(mem->shared_seq.storage);
}

/* Share its memory, and find state words for it. -ENOMEM: nothing has changed. */
static int attach(struct machine *m, struct slot *s)
{
	int r = share_page(m, (u64)s->hva);

	if (r)
		return r;
	r = backing_attach(m, s);
	if (r)
		unshare_page(m->mem, (u64)s->hva);
	return r;
}

/* In the place of the page of base. */
static int insert(struct machine *m, const struct slot *base, u64 gpa, u8 *hva)
{
	struct memory *mem = m->mem;
	struct slot *s = calloc(1, sizeof(*s));

	if (!s || seq_reserve(&mem->overlay_seq)) {
		free(s);
		return -ENOMEM;
	}
	overlays_changed(mem);
	*s = (struct slot){.id = base->id,
		.flags = base->flags & (SLOT_READONLY | SLOT_NOEXEC),
		.gpa = gpa,
		.size = PAGE_SIZE,
		.hva = hva};
	if (attach(m, s)) {
		free(s);
		return -ENOMEM;
	}
	*(struct range *)seq_open(&mem->overlay_seq, overlay_search(mem, gpa)) =
		(struct range){gpa, PAGE_SIZE, s};
	overlays_changed(mem);
	return 0;
}

static bool is_overlaid(const struct memory *mem, u64 gpa)
{
	u32 at = overlay_search(mem, gpa);

	return at < mem->overlay_count && mem->overlays[at].gpa == gpa;
}

static int overlay(struct machine *m, u64 gpa, u8 *hva)
{
	u32 hint = 0;
	const struct slot *base = slot_find_any(m->mem, gpa, &hint);

	if (!base)
		return -ENOENT;
	return is_overlaid(m->mem, gpa) ? -EEXIST : insert(m, base, gpa, hva);
}

static int remove_overlay(struct machine *m, u64 gpa)
{
	if (!is_overlaid(m->mem, gpa))
		return -ENOENT;
	remove_at(m, overlay_search(m->mem, gpa));
	return 0;
}

/* ---- the calls ---- */

static int end_change(struct machine *m, int r)
{
	if (!r)
		memory_changed(m, REQ_FLUSH);
	memory_end_change(m);
	return r;
}

int machine_overlay_page(struct machine *m, u64 gpa, void *hva)
{
	if ((gpa | (u64)hva) & ~PAGE_MASK || !gpa_outside(gpa, PAGE_SIZE) || (u64)hva >= HOST_END)
		return -EINVAL;
	memory_begin_change(m);
	return end_change(m, overlay(m, gpa, hva));
}

int machine_remove_overlay(struct machine *m, u64 gpa)
{
	memory_begin_change(m);
	return end_change(m, remove_overlay(m, gpa));
}

int machine_share_memory(struct machine *m, void *hva, bool shared)
{
	if ((u64)hva & ~PAGE_MASK)
		return -EINVAL;
	memory_begin_change(m);
	return end_change(m, shared ? share_page(m, (u64)hva) : unshare_page(m->mem, (u64)hva));
}
