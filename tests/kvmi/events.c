/* SPDX-License-Identifier: MIT */
/* See tool.h: events as they come, checked byte by byte, and answers to them. */
#include <string.h>

#include "tests/kvmi/events.h"

/* ---- what comes ---- */

/* Bytes behind the common part. */
static size_t extra_size(enum dialect d, u32 id)
{
	switch (id) {
	case KVMI_EVENT_CR:
	case KVMI_EVENT_MSR:
	case KVMI_EVENT_PF: return 24;
	case KVMI_EVENT_BREAKPOINT: return d == V5 ? 8 : 16;
	case KVMI_EVENT_TRAP: return d == V5 ? 24 : 16;
	case KVMI_EVENT_DESCRIPTOR: return d == V5 ? 24 : 8;
	case KVMI_V6_EVENT_SINGLESTEP: return 8;
	case KVMI_V6_EVENT_CMD_ERROR:
	case KVMI_V6_EVENT_CPUID: return 16;
	default: return 0;
	}
}

static void check_zero(const u8 *p, size_t n, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			test_failed(
				__FILE__, __LINE__, "%s: byte %zu is 0x%x, not 0", what, i, p[i]);
}

static void read_state(struct event *e, const u8 *p)
{
	memcpy(&e->regs, p, 144);
	memcpy(&e->sregs, p + 144, 312);
	memcpy(e->msrs, p + 456, 72);
}

/* Returns where the part of this event begins. */
static const u8 *read_v5(struct tool *t, struct event *e)
{
	const u8 *p = t->msg.data;

	CHECK(t->msg.size >= 536);
	e->id = get_u32(p);
	e->vcpu = get_u16(p + 4);
	e->mode = p[6];
	check_zero(p + 7, 1, "padding of an event");
	read_state(e, p + 8);
	CHECK(e->id < KVMI_NUM_EVENTS);
	CHECK_EQ(t->msg.size, 536 + extra_size(V5, e->id));
	return p + 536;
}

static const u8 *read_v6(struct tool *t, struct event *e)
{
	const u8 *p = t->msg.data;

	CHECK(t->msg.size >= 544);
	CHECK_EQ(get_u16(p), 544);
	e->vcpu = get_u16(p + 2);
	e->id = p[4];
	check_zero(p + 5, 3, "padding of an event");
	e->mode = p[8];
	check_zero(p + 9, 1, "padding of an event");
	e->view = get_u16(p + 10);
	check_zero(p + 12, 4, "padding of an event");
	read_state(e, p + 16);
	CHECK(e->id < KVMI_V6_NUM_EVENTS);
	CHECK_EQ(t->msg.size, 544 + extra_size(V6, e->id));
	return p + 544;
}

static void read_trap(enum dialect d, struct event *e, const u8 *p)
{
	e->vector = d == V5 ? get_u32(p) : p[0];
	if (d == V5) {
		e->type = get_u32(p + 4);
		check_zero(p + 12, 4, "padding of TRAP");
	} else
		check_zero(p + 1, 3, "padding of TRAP");
	e->error_code = get_u32(p + (d == V5 ? 8 : 4));
	e->cr2 = get_u64(p + (d == V5 ? 16 : 8));
}

static void read_descriptor(enum dialect d, struct event *e, const u8 *p)
{
	if (d == V5) {
		e->instr_info = get_u32(p);
		check_zero(p + 4, 4, "padding of DESCRIPTOR");
		e->qualification = get_u64(p + 8);
		p += 16;
	}
	e->descriptor = p[0];
	e->write = p[1];
	check_zero(p + 2, 6, "padding of DESCRIPTOR");
	CHECK(e->descriptor >= KVMI_DESC_IDTR && e->descriptor <= KVMI_DESC_TR && e->write <= 1);
}

static void read_register(struct event *e, const u8 *p)
{
	e->index = e->id == KVMI_EVENT_CR ? get_u16(p) : get_u32(p);
	check_zero(p + (e->id == KVMI_EVENT_CR ? 2 : 4), e->id == KVMI_EVENT_CR ? 6 : 4,
		"padding of CR, MSR");
	e->old = get_u64(p + 8);
	e->value = get_u64(p + 16);
}

static void read_pf(enum dialect d, struct event *e, const u8 *p)
{
	e->gva = get_u64(p);
	e->gpa = get_u64(p + 8);
	e->access = p[16];
	if (d == V6)
		CHECK_EQ(get_u16(p + 18), e->view);
	check_zero(p + 17, 1, "padding of PF");
	check_zero(p + 20, 4, "padding of PF");
	CHECK(d == V6 || !get_u16(p + 18));
	CHECK(e->access == 1 || e->access == 2 || e->access == 4);
}

static void read_extra(enum dialect d, struct event *e, const u8 *p)
{
	switch (e->id) {
	case KVMI_EVENT_CR:
	case KVMI_EVENT_MSR: read_register(e, p); break;
	case KVMI_EVENT_BREAKPOINT:
		e->gpa = get_u64(p);
		e->insn_len = d == V6 ? p[8] : 0;
		break;
	case KVMI_EVENT_PF: read_pf(d, e, p); break;
	case KVMI_EVENT_TRAP: read_trap(d, e, p); break;
	case KVMI_EVENT_DESCRIPTOR: read_descriptor(d, e, p); break;
	case KVMI_V6_EVENT_SINGLESTEP: e->failed = p[0]; break;
	case KVMI_V6_EVENT_CMD_ERROR:
		e->err = (s32)get_u32(p);
		e->msg_seq = get_u32(p + 4);
		e->msg_id = get_u16(p + 8);
		break;
	case KVMI_V6_EVENT_CPUID:
		e->function = get_u32(p);
		e->leaf_index = get_u32(p + 4);
		e->insn_len = p[8];
		break;
	}
}

/* What must hold of the state of every vcpu. */
static void check_state(const struct event *e)
{
	const bool lma = e->sregs.efer & 0x400;

	CHECK(e->regs.rflags & 2);
	CHECK_EQ(e->mode, lma && e->sregs.cs.l ? 8 : e->sregs.cs.db ? 4 : 2);
	CHECK_EQ(e->msrs[3], e->sregs.efer);
}

/* Each once. Of vcpus that have an event at the same time, either may be first. */
static void check_seq(struct tool *t, u32 seq)
{
	const u32 n = seq - t->seq_base - 1;

	if (n >= MAX_CPUS || t->seq_more & BIT64(n))
		test_failed(__FILE__, __LINE__, "an event of seq %u after %u", seq, t->seq_base);
	t->seq_more |= BIT64(n);
	for (; t->seq_more & 1; t->seq_more >>= 1)
		t->seq_base++;
	t->events++;
}

void event_keep(struct tool *t)
{
	struct event e = {.seq = t->msg.seq};
	const u8 *extra = t->dialect == V5 ? read_v5(t, &e) : read_v6(t, &e);

	check_seq(t, e.seq);
	read_extra(t->dialect, &e, extra);
	if (e.id == KVMI_EVENT_UNHOOK)
		check_zero((u8 *)&e.regs, sizeof(e.regs), "registers of UNHOOK");
	else if (e.id != KVMI_V6_EVENT_CMD_ERROR)
		check_state(&e);
	CHECK(t->made - t->taken < EVENTS_KEPT);
	t->kept[t->made++ % EVENTS_KEPT] = e;
}

bool tool_has_event_of(const struct tool *t, unsigned vcpu)
{
	for (unsigned n = t->taken; n != t->made; n++)
		if (t->kept[n % EVENTS_KEPT].vcpu == vcpu)
			return true;
	return false;
}

bool tool_has_event(const struct tool *t)
{
	return t->made != t->taken;
}

static void want_event(struct tool *t, unsigned n)
{
	while (t->made - t->taken <= n) {
		if (!tool_receive(t))
			test_failed(
				__FILE__, __LINE__, "the connection is closed instead of an event");
		if (t->msg.id != (t->dialect == V5 ? KVMI_EVENT : KVMI_V6_EVENT))
			test_failed(
				__FILE__, __LINE__, "a reply to %u instead of an event", t->msg.id);
		event_keep(t);
	}
}

u32 tool_next_id(struct tool *t)
{
	want_event(t, 0);
	return t->kept[t->taken % EVENTS_KEPT].id;
}

struct event tool_event(struct tool *t, u32 id)
{
	struct event e;

	want_event(t, 0);
	e = t->kept[t->taken++ % EVENTS_KEPT];
	if (e.id != id)
		test_failed(__FILE__, __LINE__, "event %u of vcpu %u at 0x%llx, not %u", e.id,
			e.vcpu, e.regs.rip, id);
	return e;
}

struct event tool_event_of(struct tool *t, u32 id, unsigned vcpu)
{
	const struct event e = tool_event(t, id);

	CHECK_EQ(e.vcpu, vcpu);
	return e;
}

/* Takes the one at n out of the queue. */
static struct event take_at(struct tool *t, unsigned n)
{
	const struct event e = t->kept[(t->taken + n) % EVENTS_KEPT];

	for (; n; n--)
		t->kept[(t->taken + n) % EVENTS_KEPT] = t->kept[(t->taken + n - 1) % EVENTS_KEPT];
	t->taken++;
	return e;
}

struct event tool_next_of(struct tool *t, unsigned vcpu)
{
	for (unsigned n = 0;; n++) {
		want_event(t, n);
		if (t->kept[(t->taken + n) % EVENTS_KEPT].vcpu == vcpu)
			return take_at(t, n);
	}
}

/* ---- answers ---- */

static size_t answer_head(enum dialect d, const struct event *e, u32 action, u8 *ret)
{
	memset(ret, 0, 16);
	if (d == V5) {
		put_u32(ret, action);
		put_u32(ret + 4, e->id);
		return 8;
	}
	put_u16(ret, e->vcpu);
	ret[8] = (u8)action;
	ret[9] = (u8)e->id;
	return 16;
}

static size_t answer_pf(enum dialect d, u8 *at, const struct pf_answer *how)
{
	const size_t size = d == V5 ? 264 : 272;

	memset(at, 0, size);
	if (d == V5) {
		at[0] = how->singlestep;
		at[1] = how->rep_complete;
		put_u32(at + 4, how->ctx_size);
	} else {
		put_u64(at, how->ctx_addr);
		put_u32(at + 8, how->ctx_size);
		at[12] = how->singlestep;
		at[13] = how->rep_complete;
	}
	if (how->ctx)
		memcpy(at + (d == V5 ? 8 : 16), how->ctx, MIN(how->ctx_size, 256u));
	return size;
}

size_t tool_answer_bytes(enum dialect d, const struct event *e, u32 action, u8 *ret)
{
	size_t n = answer_head(d, e, action, ret);

	if (e->id == KVMI_EVENT_CR || e->id == KVMI_EVENT_MSR) {
		put_u64(ret + n, e->value);
		n += 8;
	}
	if (e->id == KVMI_EVENT_PF)
		n += answer_pf(d, ret + n, &(struct pf_answer){0});
	return n;
}

void tool_send_answer(struct tool *t, u32 seq, const u8 *payload, size_t n)
{
	tool_send_as(t, t->dialect == V5 ? KVMI_EVENT_REPLY : KVMI_V6_EVENT_REPLY, (u16)n, seq,
		payload, n);
}

void tool_answer(struct tool *t, const struct event *e, u32 action)
{
	u8 bytes[512];

	tool_send_answer(t, e->seq, bytes, tool_answer_bytes(t->dialect, e, action, bytes));
}

void tool_answer_value(struct tool *t, const struct event *e, u32 action, u64 value)
{
	struct event with = *e;
	u8 bytes[512];

	with.value = value;
	tool_send_answer(t, e->seq, bytes, tool_answer_bytes(t->dialect, &with, action, bytes));
}

void tool_answer_pf(struct tool *t, const struct event *e, u32 action, struct pf_answer how)
{
	u8 bytes[512];
	size_t n = answer_head(t->dialect, e, action, bytes);

	n += answer_pf(t->dialect, bytes + n, &how);
	tool_send_answer(t, e->seq, bytes, n);
}
