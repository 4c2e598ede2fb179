/* SPDX-License-Identifier: MIT */
/*
 * inspect break: the instruction's first byte becomes INT3. When the guest comes there, the byte is put back, the
 * vCPU makes one step while all others are stopped, and INT3 comes again. At the end everything is stopped, the byte is
 * put back, and vCPUs that have met INT3 meanwhile begin the instruction anew.
 *
 * v5 has no single steps. There the page may not be executed, which stops at each of its instructions, and those at
 * the place are told.
 */
#include <errno.h>
#include <stdlib.h>

#include "cli/inspect/inspect.h"

#define INT3    0xcc
#define STEP_MS 2000

struct code_break {
	u64 gpa, seen;
	u8 original;
	/* Events that came during a step: one of each vCPU at most, so there is room. */
	struct uvmi_event *kept;
	unsigned n_kept;
};

static int put_byte(struct inspect *in, const struct code_break *b, u8 byte)
{
	return b->original == INT3 ? 0 : uvmi_write_physical(in->s, b->gpa, &byte, 1);
}

static bool is_ours(const struct code_break *b, const struct uvmi_event *e)
{
	return e->event == UVMI_EVENT_BREAKPOINT && e->u.breakpoint.gpa == b->gpa;
}

/* The guest's own INT3 is the guest's; ours is not there any more. */
static int let_go(struct inspect *in, const struct code_break *b, const struct uvmi_event *e)
{
	if (is_ours(b, e) && b->original != INT3)
		return uvmi_reply_retry(in->s, e);
	return uvmi_reply_continue(in->s, e);
}

static int wait_step(struct inspect *in, struct code_break *b, unsigned vcpu, struct uvmi_event *e,
	int timeout_ms)
{
	int r;

	for (;;) {
		r = uvmi_next_event(in->s, e, timeout_ms);
		if (r || (e->event == UVMI_EVENT_SINGLESTEP && e->vcpu == vcpu))
			return r;
		if (b->n_kept < in->vcpus)
			b->kept[b->n_kept++] = *e;
		else
			uvmi_reply_continue(in->s, e);
	}
}

/*
 * The others are stopped, if that is permitted. An instruction that waits for another vCPU, as HLT may, would wait for ever
 * then; so after a while they go on, and may pass the place unseen.
 */
static int make_step(struct inspect *in, struct code_break *b, const struct uvmi_event *at,
	struct uvmi_event *after)
{
	bool stopped = uvmi_pause_others(in->s, at->vcpu) == 0;
	int r = put_byte(in, b, b->original);

	if (!r)
		r = uvmi_control_singlestep(in->s, at->vcpu, 1);
	if (!r)
		r = uvmi_reply_retry(in->s, at);
	if (!r)
		r = wait_step(in, b, at->vcpu, after, STEP_MS);
	while (r == -ETIMEDOUT && !inspect_ended(in)) {
		if (stopped)
			uvmi_resume(in->s);
		stopped = false;
		r = wait_step(in, b, at->vcpu, after, STEP_MS / 10);
	}
	if (!r)
		r = put_byte(in, b, INT3);
	if (stopped)
		uvmi_resume(in->s);
	return r == -ETIMEDOUT ? -EINTR : r;
}

static int step_over(struct inspect *in, struct code_break *b, const struct uvmi_event *at)
{
	struct uvmi_event after;
	int r = make_step(in, b, at, &after);

	if (!r)
		r = uvmi_control_singlestep(in->s, at->vcpu, 0);
	return r ? r : uvmi_reply_continue(in->s, &after);
}

static bool put_hit(struct inspect *in, struct code_break *b, const struct uvmi_event *e)
{
	b->seen++;
	record_event(in, "break", e);
	record_hex(in, "gpa", e->u.breakpoint.gpa);
	record_hex(in, "rsp", e->regs.rsp);
	record_hex(in, "rax", e->regs.rax);
	record_hex(in, "rdi", e->regs.rdi);
	record_hex(in, "rsi", e->regs.rsi);
	return record_end(in);
}

/* 1: enough; the event is kept for the end, when the byte is back. */
static int take_event(struct inspect *in, struct code_break *b, const struct uvmi_event *e)
{
	if (!is_ours(b, e))
		return uvmi_reply_continue(in->s, e);
	if (!put_hit(in, b, e) || (in->count && b->seen >= in->count)) {
		b->kept[b->n_kept++] = *e;
		return 1;
	}
	return b->original == INT3 ? uvmi_reply_continue(in->s, e) : step_over(in, b, e);
}

static int take_next(struct inspect *in, struct code_break *b)
{
	struct uvmi_event e;
	int r = 0;

	if (b->n_kept)
		e = b->kept[--b->n_kept];
	else
		r = inspect_next(in, &e, UVMI_FOREVER);
	return r ? r : take_event(in, b, &e);
}

/* When all have stopped, each vCPU that met INT3 has its event in the queue. */
static int remove_breakpoint(struct inspect *in, struct code_break *b)
{
	const int paused = uvmi_pause(in->s);
	struct uvmi_event e;
	int r = put_byte(in, b, b->original);

	while (b->n_kept)
		let_go(in, b, &b->kept[--b->n_kept]);
	while (!r && !uvmi_next_event(in->s, &e, 0)) {
		if (e.event == UVMI_EVENT_SINGLESTEP)
			uvmi_control_singlestep(in->s, e.vcpu, 0);
		let_go(in, b, &e);
	}
	if (!r)
		r = inspect_control(in, UVMI_EVENT_BREAKPOINT, false);
	if (!paused)
		uvmi_resume(in->s);
	return r;
}

static int prepare(struct inspect *in, struct code_break *b)
{
	int r = uvmi_read_physical(in->s, b->gpa, &b->original, 1);

	if (!r)
		r = inspect_control(in, UVMI_EVENT_BREAKPOINT, true);
	if (!r)
		r = inspect_control(in, UVMI_EVENT_SINGLESTEP, true);
	return r ? r : put_byte(in, b, INT3);
}

static int break_by_int3(struct inspect *in, u64 gpa)
{
	struct code_break b = {.gpa = gpa, .kept = calloc(in->vcpus + 1, sizeof(*b.kept))};
	int r = b.kept ? prepare(in, &b) : -ENOMEM, undone;

	if (r) {
		free(b.kept);
		return inspect_failed(in, "the breakpoint cannot be set", r);
	}
	do
		r = take_next(in, &b);
	while (!r);
	undone = remove_breakpoint(in, &b);
	free(b.kept);
	if (r == 1 || r == -EINTR)
		r = undone;
	return r ? inspect_failed(
			   in, "the breakpoint has ended, and INT3 may still be in the guest", r)
		 : 0;
}

int inspect_break(struct inspect *in)
{
	struct address_word place;
	u64 gpa;
	int r = inspect_place(in->args[0], true, &place);

	if (!r)
		r = inspect_physical(in, &place, &gpa);
	if (r)
		return r;
	/* Memory of all vCPUs has the INT3, so all of them must tell of it. */
	if (in->dialect == UVMI_V6 && in->vcpu != ALL_VCPUS && in->vcpus > 1)
		in->vcpu = ALL_VCPUS;
	if (in->dialect == UVMI_V5)
		return inspect_watch_page(in, "break", gpa, gpa, UVMI_ACCESS_X);
	return break_by_int3(in, gpa);
}
