/* SPDX-License-Identifier: MIT */
/* inspect watch: accesses to a page. What the guest may do with the page is taken away, and each access let through. */
#include <errno.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/inspect/inspect.h"

int inspect_each(struct inspect *in, int (*function)(struct inspect *in, unsigned vcpu, void *arg),
	void *arg)
{
	int r = 0;

	for (unsigned i = 0; i < in->vcpus && !r; i++)
		if (in->vcpu == ALL_VCPUS || in->vcpu == i) {
			r = function(in, i, arg);
			if (r == -EAGAIN && in->vcpu == ALL_VCPUS)
				r = 0;
		}
	return r;
}

struct event_switch {
	unsigned event;
	bool on;
};

static int control_one(struct inspect *in, unsigned vcpu, void *arg)
{
	const struct event_switch *c = arg;

	return uvmi_control_events(in->s, vcpu, c->event, c->on);
}

int inspect_control(struct inspect *in, unsigned event, bool on)
{
	struct event_switch c = {event, on};

	return inspect_each(in, control_one, &c);
}

static void put_access(struct inspect *in, unsigned access)
{
	char text[4], *at = text;

	if (access & UVMI_ACCESS_R)
		*at++ = 'r';
	if (access & UVMI_ACCESS_W)
		*at++ = 'w';
	if (access & UVMI_ACCESS_X)
		*at++ = 'x';
	*at = 0;
	record_text(in, "access", text);
}

struct watched_page {
	const char *type;
	u64 first, last; /* guest-physical */
	unsigned access;
	u64 seen;
};

static bool is_watched(const struct watched_page *w, const struct uvmi_event *e)
{
	return e->event == UVMI_EVENT_PF && e->u.pf.access & w->access && e->u.pf.gpa >= w->first &&
	       e->u.pf.gpa <= w->last;
}

/* False: the output has gone. */
static bool put_pf(struct inspect *in, struct watched_page *w, const struct uvmi_event *e)
{
	w->seen++;
	record_event(in, w->type, e);
	if (e->u.pf.gva != UINT64_MAX)
		record_hex(in, "gva", e->u.pf.gva);
	record_hex(in, "gpa", e->u.pf.gpa);
	put_access(in, e->u.pf.access);
	return record_end(in);
}

/* 1: enough has been seen. */
static int watch_one(struct inspect *in, struct watched_page *w, const struct uvmi_event *e)
{
	bool good = true;
	int r;

	if (is_watched(w, e))
		good = put_pf(in, w, e);
	r = uvmi_reply_continue(in->s, e);
	if (r)
		return r;
	return !good || (in->count && w->seen >= in->count);
}

static int watch_loop(struct inspect *in, struct watched_page *w)
{
	struct uvmi_event e;
	int r;

	do {
		r = inspect_next(in, &e, UVMI_FOREVER);
		if (!r)
			r = watch_one(in, w, &e);
	} while (!r);
	return r == 1 || r == -EINTR ? 0 : r;
}

static int set_access(struct inspect *in, u64 gpa, unsigned access)
{
	const struct uvmi_page_access page = {.gpa = gpa, .access = (u8)access};

	return uvmi_set_page_access(in->s, 0, &page, 1);
}

int inspect_watch_page(struct inspect *in, const char *type, u64 first, u64 last, unsigned access)
{
	struct watched_page w = {.type = type, .first = first, .last = last, .access = access};
	int r = inspect_control(in, UVMI_EVENT_PF, true), undone;

	if (!r)
		r = set_access(in, first, UVMI_ACCESS_RWX & ~access);
	if (r)
		return inspect_failed(in, "the page cannot be watched", r);
	r = watch_loop(in, &w);
	undone = set_access(in, first, UVMI_ACCESS_RWX);
	if (!undone)
		undone = inspect_control(in, UVMI_EVENT_PF, false);
	if (!r)
		r = undone;
	return r ? inspect_failed(in, "watching has ended", r) : 0;
}

/* 0: not made of these letters */
static unsigned parse_access(const char *text)
{
	unsigned access = 0;

	for (; *text; text++)
		switch (*text) {
		case 'r': access |= UVMI_ACCESS_R; break;
		case 'w': access |= UVMI_ACCESS_W; break;
		case 'x': access |= UVMI_ACCESS_X; break;
		default: return 0;
		}
	return access;
}

int inspect_watch(struct inspect *in)
{
	const unsigned access =
		in->n_args > 1 ? parse_access(in->args[1]) : UVMI_ACCESS_R | UVMI_ACCESS_W;
	struct address_word place;
	u64 gpa, page;
	int r = inspect_place(in->args[0], false, &place);

	if (r)
		return r;
	if (!access)
		return inspect_usage("'%s' is not an access: give letters of rwx", in->args[1]);
	r = inspect_physical(in, &place, &gpa);
	if (r)
		return r;
	page = ALIGN_DOWN(gpa, PAGE_SIZE);
	if (in->length > page + PAGE_SIZE - gpa)
		return inspect_usage("--length goes beyond the page: watch each page by itself");
	if (in->length)
		return inspect_watch_page(in, "access", gpa, gpa + in->length - 1, access);
	return inspect_watch_page(in, "access", page, page + PAGE_SIZE - 1, access);
}
