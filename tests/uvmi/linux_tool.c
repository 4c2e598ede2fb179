/* SPDX-License-Identifier: MIT */
/* linux-tool ADDRESS v5|v6 tables|pages|steps: see linux_tool.h. Says "ready" when it has its machine, and then what it has counted. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linux_tool.h"

#define SILENCE_MS 120000

static const struct proof *const proofs[] = {&prove_tables, &prove_pages, &prove_steps};

void wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("wrong: ");
	vprintf(format, args);
	va_end(args);
	printf("\n");
	exit(1);
}

void good(int r, const char *what)
{
	if (r)
		wrong("%s: %s", what, strerror(-r));
}

void let_go(struct tool *t, const struct uvmi_event *e)
{
	good(uvmi_reply_continue(t->s, e), "a reply");
}

void want(struct tool *t, enum uvmi_event_id event, bool on)
{
	for (unsigned i = 0; i < t->vcpus; i++)
		good(uvmi_control_events(t->s, i, event, on), "CONTROL_EVENTS");
}

void restrict_page(struct tool *t, u64 gpa, u8 access)
{
	const struct uvmi_page_access page = {.gpa = gpa, .access = access};

	good(uvmi_set_page_access(t->s, 0, &page, 1), "SET_PAGE_ACCESS");
}

/* True: that was the last one. */
static bool take(struct tool *t, const struct proof *p, const struct uvmi_event *e)
{
	if (e->event == UVMI_EVENT_HYPERCALL)
		return p->mark(t, e, (enum linux_mark)e->regs.rdx, e->regs.r8);
	p->event(t, e);
	return false;
}

static void prove(struct tool *t, const struct proof *p)
{
	struct uvmi_event e;
	bool over = false;

	good(uvmi_get_guest_info(t->s, &t->vcpus), "GET_GUEST_INFO");
	want(t, UVMI_EVENT_HYPERCALL, true);
	printf("ready\n");
	while (!over) {
		good(uvmi_next_event(t->s, &e, SILENCE_MS), "the next event");
		over = take(t, p, &e);
	}
}

static const struct proof *find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(proofs); i++)
		if (!strcmp(proofs[i]->name, name))
			return proofs[i];
	wrong("there is no proof %s", name);
}

int main(int argc, char **argv)
{
	struct uvmi_options options = {.timeout_ms = 60000};
	struct uvmi_listener *listener;
	struct tool t = {0};
	const struct proof *p;

	if (argc != 4)
		wrong("usage: linux-tool ADDRESS v5|v6 tables|pages|steps");
	setvbuf(stdout, NULL, _IOLBF, 0);
	t.v6 = strcmp(argv[2], "v5") != 0;
	options.dialect = t.v6 ? UVMI_V6 : UVMI_V5;
	p = find(argv[3]);
	good(uvmi_listen(argv[1], &listener), "uvmi_listen");
	good(uvmi_accept(listener, &options, 60000, &t.s), "uvmi_accept");
	prove(&t, p);
	uvmi_close(t.s);
	uvmi_listener_close(listener);
	return 0;
}
