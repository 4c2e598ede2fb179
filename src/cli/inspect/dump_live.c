/* SPDX-License-Identifier: MIT */
/*
 * A dump of a guest that runs, by copy-on-write. For a moment all vCPUs stand, and the right to write is taken away from all
 * pages: the dump shows this moment. When the guest then writes to a page that has not been taken, the vCPU waits until the
 * piece around it is in the file and may be written to. Meanwhile one piece after the other is taken and opened.
 *
 * Rights are for the guest's processors: what the VMM and its devices write is not noticed, nor are the bits that a
 * processor sets in page tables. If this process ends, the VM gives all rights back.
 */
#include "cli/inspect/dump.h"

#include <errno.h>

#define OPEN_AT_ONCE (256 * PAGE_SIZE) /* of what has been taken in order: one command */

/* From one offset in a region to another */
static int set_rights(struct dump *d, const struct ram_part *region, u64 from, u64 to, u8 access)
{
	int r = 0;

	while (from < to && !r) {
		unsigned n = 0;

		for (; n < RIGHTS_PAGES && from < to; n++, from += PAGE_SIZE)
			d->pages[n] = (struct uvmi_page_access){
				.gpa = region->gpa + from, .access = access};
		r = inspect_ended(d->in) ? -EINTR : uvmi_set_page_access(d->in->s, 0, d->pages, n);
	}
	return r;
}

/* ---- the moment that is shown ---- */

/* vCPUs may have come since the session began. */
static int watch_writes(struct dump *d)
{
	int r = uvmi_get_guest_info(d->in->s, &d->in->vcpus);

	return r ? r : inspect_control(d->in, UVMI_EVENT_PF, true);
}

static int close_pages(struct dump *d)
{
	int r = 0;

	for (unsigned i = 0; i < d->core.n && !r; i++)
		r = set_rights(d, &d->core.regions[i], 0, d->core.regions[i].size,
			UVMI_ACCESS_RWX & ~UVMI_ACCESS_W);
	return r;
}

static int begin_live(struct dump *d)
{
	int r = watch_writes(d);

	if (!r)
		r = dump_begin(d);
	return r ? r : close_pages(d);
}

/* ---- while the guest runs ---- */

static const struct ram_part *region_at(const struct dump *d, u64 gpa)
{
	for (unsigned i = 0; i < d->core.n; i++)
		if (gpa - d->core.regions[i].gpa < d->core.regions[i].size)
			return &d->core.regions[i];
	return NULL;
}

/* The piece is saved as it was; then the guest may write to all of it. */
static int save(struct dump *d, u64 gpa)
{
	const struct ram_part *region = region_at(d, gpa);
	u64 at;
	int r;

	if (!region)
		return 0;
	at = ALIGN_DOWN(gpa - region->gpa, PIECE);
	d->saved += !dump_has_taken(d, region, at);
	r = dump_take(d, region, at);
	return r ? r : set_rights(d, region, at, MIN(at + PIECE, region->size), UVMI_ACCESS_RWX);
}

static int serve(struct dump *d, const struct uvmi_event *e)
{
	int r = 0;

	if (e->event == UVMI_EVENT_PF)
		r = save(d, e->u.pf.gpa);
	else if (e->event == UVMI_EVENT_CREATE_VCPU)
		r = uvmi_control_events(d->in->s, e->vcpu, UVMI_EVENT_PF, 1);
	return r ? r : uvmi_reply_continue(d->in->s, e);
}

/* All that have come. */
static int serve_all(struct dump *d)
{
	struct uvmi_event e;
	int r;

	do {
		r = inspect_next(d->in, &e, 0);
		if (!r)
			r = serve(d, &e);
	} while (!r);
	return r == -ETIMEDOUT ? 0 : r;
}

static int take_region(struct dump *d, const struct ram_part *region)
{
	u64 open = 0;
	int r = 0;

	for (u64 at = 0; at < region->size && !r; at += PIECE) {
		const u64 next = MIN(at + PIECE, region->size);

		r = serve_all(d);
		if (!r)
			r = dump_take(d, region, at);
		if (!r && (next - open >= OPEN_AT_ONCE || next == region->size)) {
			r = set_rights(d, region, open, next, UVMI_ACCESS_RWX);
			open = next;
		}
	}
	return r;
}

int dump_live(struct dump *d)
{
	/* Before the pause, so that no vCPU starts unseen. */
	int r = uvmi_control_vm_events(d->in->s, UVMI_EVENT_CREATE_VCPU, 1);

	if (!r)
		r = dump_while_paused(d, begin_live);
	for (unsigned i = 0; i < d->core.n && !r; i++)
		r = take_region(d, &d->core.regions[i]);
	return r ? r : serve_all(d);
}
