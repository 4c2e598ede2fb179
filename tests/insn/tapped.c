/* SPDX-License-Identifier: MIT */
/*
 * A subscriber that is asked everything and always says "go on": TESTS_TAP=events, or pages for accesses to memory, too.
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
static void restrict_pages(struct machine *m, u64 bytes)
{
	struct random r = {1};

	for (u64 gpa = 0; gpa < bytes; gpa += PAGE_SIZE) {
		struct page_rights p = {gpa, rnd(&r) & RIGHTS_ALL};

		if (percent(&r, 70))
			p.rights |= BIT(TAP_FETCH);
		if (machine_set_page_rights(m, 0, &p, 1))
			abort();
	}
}

bool diff_tap_pages(void)
{
	const char *mode = getenv("TESTS_TAP");

	return mode && !strcmp(mode, "pages");
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
		restrict_pages(m, bytes);
}
