/* SPDX-License-Identifier: MIT */
/*
 * A page that may be executed and no more, and one that may be written to and no more: the guest does a known number of accesses of
 * each kind, and each that is not allowed, and no other, is told of. Each of the function's two instructions is a fetch.
 */
#include <stdio.h>
#include <string.h>

#include "linux_tool.h"

static struct {
	u64 gpa, at;
	u8 access;
	/* What the guest does since its last mark, and what has been told of. */
	enum linux_mark doing;
	u64 times, told[UVMI_ACCESS_X + 1];
	u64 total[UVMI_ACCESS_X + 1];
} w;

static void event(struct tool *t, const struct uvmi_event *e)
{
	if (e->event != UVMI_EVENT_PF || (e->u.pf.gpa & ~(PAGE_BYTES - 1)) != w.gpa)
		wrong("event %s, address 0x%llx", uvmi_event_name(e->event),
			(unsigned long long)e->u.pf.gpa);
	if ((e->u.pf.access & w.access) || e->u.pf.access > UVMI_ACCESS_X)
		wrong("access %u to a page that allows %u", e->u.pf.access, w.access);
	if (e->u.pf.access == UVMI_ACCESS_X && e->regs.rip != e->u.pf.gva)
		wrong("a fetch at 0x%llx, and RIP 0x%llx", (unsigned long long)e->u.pf.gva,
			e->regs.rip);
	w.told[e->u.pf.access]++;
	w.total[e->u.pf.access]++;
	let_go(t, e);
}

static void need_told(u8 access, u64 times)
{
	const u64 must = access & w.access ? 0 : times;

	if (w.told[access] != must)
		wrong("a page that allows %u: %llu accesses %u were told of instead of %llu",
			w.access, (unsigned long long)w.told[access], access,
			(unsigned long long)must);
}

/* What was announced by the last mark is over. */
static void done(void)
{
	const bool kernel = w.doing == MARK_KERNEL_LOADS;

	if (kernel && !(w.access & UVMI_ACCESS_R) && !w.told[UVMI_ACCESS_R])
		wrong("the kernel's load is not told of");
	if (!kernel)
		need_told(UVMI_ACCESS_R, w.doing == MARK_LOADS ? w.times : 0);
	need_told(UVMI_ACCESS_W, w.doing == MARK_STORES ? w.times : 0);
	need_told(UVMI_ACCESS_X, w.doing == MARK_CALLS ? 2 * w.times : 0);
	memset(w.told, 0, sizeof(w.told));
}

static void begin(struct tool *t, const struct uvmi_event *e, u64 at, u8 access)
{
	good(uvmi_translate_gva(t->s, e->vcpu, at, &w.gpa), "TRANSLATE_GVA");
	w.access = access;
	w.at = at;
	want(t, UVMI_EVENT_PF, true);
	restrict_page(t, w.gpa, access);
}

static void end(struct tool *t)
{
	restrict_page(t, w.gpa, UVMI_ACCESS_RWX);
	printf("access %u: loads %llu stores %llu fetches %llu\n", w.access,
		(unsigned long long)w.total[UVMI_ACCESS_R],
		(unsigned long long)w.total[UVMI_ACCESS_W],
		(unsigned long long)w.total[UVMI_ACCESS_X]);
	memset(&w, 0, sizeof(w));
}

static bool mark(struct tool *t, const struct uvmi_event *e, enum linux_mark what, u64 value)
{
	static unsigned pages;

	done();
	if (what == MARK_EXECUTE_ONLY)
		begin(t, e, value, UVMI_ACCESS_X);
	else if (what == MARK_WRITE_ONLY)
		begin(t, e, value, UVMI_ACCESS_W);
	else if (what == MARK_PAGE_END)
		end(t);
	w.doing = what;
	w.times = value;
	pages += what == MARK_PAGE_END;
	let_go(t, e);
	return pages == 2 * t->vcpus;
}

const struct proof prove_pages = {.name = "pages", .mark = mark, .event = event};
