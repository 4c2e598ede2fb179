/* SPDX-License-Identifier: MIT */
/*
 * A page of page tables that may not be written to: each write is told of, and none is lost.
 *
 * The tool has a copy of the page. Before it answers an event, it reads the page: all must be as in the copy, but for entries whose
 * write has been let go. A vcpu's write is over when the same vcpu raises its next event, and is then taken over into the copy. So
 * an instruction whose write is not told of is found at the next event, and each entry goes through what the guest does to it
 * exactly as often as the guest does it. What the processor's walk writes (accessed, dirty) is not told of.
 */
#include <stdio.h>
#include <string.h>

#include "linux_tool.h"

#define ENTRIES  512
#define PRESENT  BIT64(0)
#define WRITABLE BIT64(1)
#define ACCESSED BIT64(5)
#define DIRTY    BIT64(6)
#define BY_WALK  (ACCESSED | DIRTY)
#define FRAME    0x000ffffffffff000ull

enum state { EMPTY, READ_ONLY, WRITE, STATES };

static struct {
	u64 gpa, at;
	unsigned vcpus;
	bool in_rounds;
	u64 copy[ENTRIES];
	/* Of each vcpu, since its last event: the entry that it may have written, -1: none. */
	int let_go[LINUX_CPUS];
	u64 events, by_vcpu[LINUX_CPUS], walks;
	unsigned became[ENTRIES][STATES];
} w;

static enum state state_of(u64 entry)
{
	return !(entry & PRESENT) ? EMPTY : entry & WRITABLE ? WRITE : READ_ONLY;
}

static u64 entry_at(struct tool *t, u64 table, unsigned index)
{
	u64 entry;

	good(uvmi_read_physical(t->s, (table & FRAME) + 8ull * index, &entry, 8),
		"a page-table entry");
	return entry;
}

/* The last table of four that translates what lies there. */
static u64 find_table(struct tool *t, u64 cr3, u64 at)
{
	u64 table = cr3;

	for (int shift = 39; shift > 12; shift -= 9) {
		table = entry_at(t, table, at >> shift & 511);
		if (!(table & PRESENT) || table & BIT64(7))
			wrong("no table at shift %d: 0x%llx", shift, (unsigned long long)table);
	}
	return table & FRAME;
}

static void read_page(struct tool *t, u64 *page)
{
	good(uvmi_read_physical(t->s, w.gpa, page, PAGE_BYTES), "READ_PHYSICAL");
}

static void take_over(unsigned entry, u64 value)
{
	const enum state now = state_of(value);

	if (now != state_of(w.copy[entry]))
		w.became[entry][now]++;
	w.copy[entry] = value;
}

static bool may_have_changed(unsigned entry)
{
	for (unsigned i = 0; i < w.vcpus; i++)
		if (w.let_go[i] == (int)entry)
			return true;
	return false;
}

static void compare(const u64 *page)
{
	for (unsigned i = 0; i < ENTRIES; i++) {
		const u64 differs = page[i] ^ w.copy[i];

		if (!differs || may_have_changed(i))
			continue;
		if ((differs & ~BY_WALK) || (w.copy[i] & BY_WALK & ~page[i]))
			wrong("entry %u is 0x%llx, and by all writes that were told of 0x%llx", i,
				(unsigned long long)page[i], (unsigned long long)w.copy[i]);
		w.walks++;
		w.copy[i] = page[i];
	}
}

/* What this vcpu has been let do is done. */
static void written(struct tool *t, unsigned vcpu, u64 *page)
{
	read_page(t, page);
	if (w.let_go[vcpu] >= 0)
		take_over((unsigned)w.let_go[vcpu], page[w.let_go[vcpu]]);
	w.let_go[vcpu] = -1;
	compare(page);
}

static void event(struct tool *t, const struct uvmi_event *e)
{
	u64 page[ENTRIES];

	if (e->event != UVMI_EVENT_PF || (e->u.pf.gpa & FRAME) != w.gpa)
		wrong("event %s, address 0x%llx", uvmi_event_name(e->event),
			(unsigned long long)e->u.pf.gpa);
	if (e->u.pf.access != UVMI_ACCESS_W || e->u.pf.gpa & 7)
		wrong("access %u at 0x%llx", e->u.pf.access, (unsigned long long)e->u.pf.gpa);
	written(t, e->vcpu, page);
	w.let_go[e->vcpu] = (int)(e->u.pf.gpa >> 3 & 511);
	w.events++;
	w.by_vcpu[e->vcpu]++;
	let_go(t, e);
}

/* ---- what the guest says ---- */

static void begin(struct tool *t, const struct uvmi_event *e, u64 at)
{
	memset(&w, 0, sizeof(w));
	for (unsigned i = 0; i < LINUX_CPUS; i++)
		w.let_go[i] = -1;
	w.vcpus = t->vcpus;
	w.at = at;
	w.gpa = find_table(t, e->sregs.cr3, at);
	want(t, UVMI_EVENT_PF, true);
	restrict_page(t, w.gpa, UVMI_ACCESS_R | UVMI_ACCESS_X);
	read_page(t, w.copy);
}

static void need_all(u64 bits, u64 value, const char *what)
{
	for (unsigned i = 0; i < ENTRIES; i++)
		if ((w.copy[i] & bits) != value)
			wrong("%s: entry %u is 0x%llx", what, i, (unsigned long long)w.copy[i]);
}

/* Between two marks the guest has done nothing but load and store: the walk alone has written. */
static void touched(u64 events)
{
	need_all(PRESENT | ACCESSED, PRESENT | ACCESSED, "touched");
	if (w.events != events || w.walks < ENTRIES)
		wrong("%llu entries were marked by the walk, with %llu events",
			(unsigned long long)w.walks, (unsigned long long)(w.events - events));
}

static void count(void)
{
	for (unsigned i = 0; i < ENTRIES; i++)
		if (w.became[i][WRITE] != TABLE_ROUNDS || w.became[i][READ_ONLY] != TABLE_ROUNDS ||
			w.became[i][EMPTY] < TABLE_ROUNDS)
			wrong("entry %u became writable %u times, read-only %u, empty %u", i,
				w.became[i][WRITE], w.became[i][READ_ONLY], w.became[i][EMPTY]);
	printf("writes %llu", (unsigned long long)w.events);
	for (unsigned i = 0; i < w.vcpus; i++) {
		printf(" vcpu%u %llu", i, (unsigned long long)w.by_vcpu[i]);
		if (w.by_vcpu[i] < 3ull * TABLE_ROUNDS * ENTRIES / w.vcpus)
			wrong("vcpu %u has written only %llu times", i,
				(unsigned long long)w.by_vcpu[i]);
	}
	printf(" walks %llu\n", (unsigned long long)w.walks);
}

static bool mark(struct tool *t, const struct uvmi_event *e, enum linux_mark what, u64 value)
{
	static u64 events; /* before it was touched */
	u64 page[ENTRIES];

	if (what == MARK_TABLE)
		begin(t, e, value);
	for (unsigned i = 0; i < w.vcpus; i++) /* who marks is alone */
		written(t, i, page);
	if (what == MARK_TABLE_CLEARED) {
		need_all(PRESENT | ACCESSED, PRESENT, "cleared");
		events = w.events;
		w.walks = 0;
	} else if (what == MARK_TABLE_TOUCHED) {
		touched(events);
	} else if (what == MARK_TABLE_ROUNDS) {
		need_all(~0ull, 0, "given up");
		memset(w.became, 0, sizeof(w.became));
	} else if (what == MARK_TABLE_END) {
		need_all(~0ull, 0, "at the end");
		count();
		restrict_page(t, w.gpa, UVMI_ACCESS_RWX);
	}
	let_go(t, e);
	return what == MARK_TABLE_END;
}

const struct proof prove_tables = {.name = "tables", .mark = mark, .event = event};
