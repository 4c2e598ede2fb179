/* SPDX-License-Identifier: MIT */
/*
 * A subscriber that is asked everything and always says "go on": TESTS_TAP=events, or pages for accesses to memory, too, or
 * views for that in a view of memory in which all RAM is elsewhere.
 * Then the guest's legs must end as they do without. (Single step is left out: nothing would be translated.)
 */
#include <stdlib.h>
#include <string.h>

#include "engine/tap.h"
#include "insn/diff.h"

static enum tap_verdict go_on(void *opaque, struct vcpu *v, struct tap_event *e)
{
	++*(u64 *)opaque;
	return TAP_GO_ON;
}

/* Every combination somewhere; but most code is left to be translated. */
static void restrict_pages(struct machine *m, unsigned view, u64 bytes)
{
	struct random r = {1};

	for (u64 gpa = 0; gpa < bytes; gpa += PAGE_SIZE) {
		struct page_rights p = {gpa, rnd(&r) & RIGHTS_ALL};

		if (percent(&r, 70))
			p.rights |= BIT(TAP_FETCH);
		if (machine_set_page_rights(m, view, &p, 1))
			abort();
	}
}

static bool mode_is(const char *wanted)
{
	const char *mode = getenv("TESTS_TAP");

	return mode && !strcmp(mode, wanted);
}

bool diff_tap_pages(void)
{
	return mode_is("pages") || mode_is("views");
}

#define ELSEWHERE BIT64(40)
#define IDS       16u

/* Whichever slot it is: the others cannot be moved so. */
static void move_slot(struct machine *m, const struct ram_region *r)
{
	struct memslot_config c = {.gpa = r->gpa + ELSEWHERE, .size = r->size, .hva = (u64)r->hva};

	while (c.id < IDS && (!machine_slot_pages(m, c.id) || machine_set_memslot(m, &c)))
		c.id++;
	if (c.id == IDS)
		abort();
}

/* What is left where it was is ROM. */
static void move_memory(struct machine *m, unsigned view)
{
	struct ram_region r;

	for (u64 at = 0; !machine_ram_at(m, at, &r) && r.gpa < ELSEWHERE; at = r.gpa + r.size) {
		if (r.readonly)
			continue;
		move_slot(m, &r);
		for (u64 gpa = r.gpa; gpa < r.gpa + r.size; gpa += PAGE_SIZE)
			if (machine_view_remap(
				    m, view, gpa / PAGE_SIZE, (gpa + ELSEWHERE) / PAGE_SIZE))
				abort();
	}
}

void diff_write(struct machine *m, u64 gpa, const void *bytes, unsigned n)
{
	if (machine_write(m, gpa + (mode_is("views") ? ELSEWHERE : 0), bytes, n))
		abort();
}

static unsigned choose_view(struct machine *m, struct vcpu *v)
{
	unsigned view = 0;

	if (!mode_is("views"))
		return 0;
	if (machine_create_view(m, &view))
		abort();
	move_memory(m, view);
	if (vcpu_set_view(v, view))
		abort();
	return view;
}

void diff_tap(struct machine *m, struct vcpu *v, u64 bytes)
{
	static const struct tap ops = {.event = go_on};
	static u64 asked;

	if (!getenv("TESTS_TAP"))
		return;
	if (machine_set_tap(m, &ops, &asked))
		abort();
	for (unsigned cr = 0; cr <= 8; cr++)
		vcpu_tap_cr(v, cr, true);
	for (u32 i = 0; i < 0x2000; i++)
		for (unsigned write = 0; write < 2; write++) {
			vcpu_tap_msr(v, i, write, true);
			vcpu_tap_msr(v, 0xc0000000 + i, write, true);
		}
	vcpu_tap_events(v, BIT(TAP_CR) | BIT(TAP_XCR0) | BIT(TAP_MSR_READ) | BIT(TAP_MSR_WRITE) |
				   BIT(TAP_TABLE) | BIT(TAP_EXCEPTION) | BIT(TAP_SOFT_INT) |
				   BIT(TAP_HYPERCALL) | BIT(TAP_CPUID) | BIT(TAP_PAGE));
	if (diff_tap_pages())
		restrict_pages(m, choose_view(m, v), bytes);
}
