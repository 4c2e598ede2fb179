/* SPDX-License-Identifier: MIT */
/*
 * A tool that watches linux_guest.c and counts: linux_tool.c follows its marks, linux_tables.c, linux_pages.c and linux_steps.c are
 * what they ask for. What is not as it must be is told once, and ends the program.
 */
#ifndef UVMI_LINUX_TOOL_H
#define UVMI_LINUX_TOOL_H

#include <uvmi.h>

#include "base/types.h"
#include "linux_proof.h"

struct tool {
	struct uvmi *s;
	unsigned vcpus;
	bool v6;
};

/* One of the guest's marks, and all other events. Both answer the event. */
struct proof {
	const char *name;
	/* True: that was the last one. */
	bool (*mark)(struct tool *t, const struct uvmi_event *e, enum linux_mark what, u64 value);
	void (*event)(struct tool *t, const struct uvmi_event *e);
};

extern const struct proof prove_tables, prove_pages, prove_steps;

#define PAGE_BYTES 4096ull

__attribute__((noreturn, format(printf, 1, 2))) void wrong(const char *format, ...);
/* Of a call of the library: it is wrong unless r is 0. */
void good(int r, const char *what);
void let_go(struct tool *t, const struct uvmi_event *e);
/* On all vcpus. */
void want(struct tool *t, enum uvmi_event_id event, bool on);
void restrict_page(struct tool *t, u64 gpa, u8 access);

#endif
