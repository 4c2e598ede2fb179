/* SPDX-License-Identifier: MIT */
/* The dialect of uapi/kvmi_v6.h: how its events are written and its replies read. */
#include "introspect/v6.h"

#include <string.h>

#include "introspect/extra.h"
#include "introspect/regs.h"
#include "introspect/vcpu.h"

/* ---- events: what follows the common part ---- */

static size_t extra_breakpoint(const struct tool_event *r, u8 *to)
{
	const struct kvmi_v6_event_breakpoint e = {
		.gpa = r->breakpoint.gpa, .insn_len = r->breakpoint.insn_len};

	memcpy(to, &e, sizeof(e));
	return sizeof(e);
}

static size_t extra_pf(const struct tool_event *r, u8 *to)
{
	const struct kvmi_v6_event_pf e = {
		.gva = r->pf.gva, .gpa = r->pf.gpa, .access = r->pf.access, .view = r->pf.view};

	memcpy(to, &e, sizeof(e));
	return sizeof(e);
}

static size_t extra_trap(const struct tool_event *r, u8 *to)
{
	const struct kvmi_v6_event_trap e = {
		.vector = r->trap.vector, .error_code = r->trap.error_code, .cr2 = r->trap.cr2};

	memcpy(to, &e, sizeof(e));
	return sizeof(e);
}

static size_t extra_descriptor(const struct tool_event *r, u8 *to)
{
	const struct kvmi_v6_event_descriptor e = {
		.descriptor = r->descriptor.table, .write = r->descriptor.write};

	memcpy(to, &e, sizeof(e));
	return sizeof(e);
}

static size_t extra_singlestep(const struct tool_event *r, u8 *to)
{
	const struct kvmi_v6_event_singlestep e = {0};

	(void)r;
	memcpy(to, &e, sizeof(e));
	return sizeof(e);
}

static size_t extra_cmd_error(const struct tool_event *r, u8 *to)
{
	const struct kvmi_v6_event_cmd_error e = {.err = r->command_error.err,
		.msg_seq = r->command_error.seq,
		.msg_id = r->command_error.id};

	memcpy(to, &e, sizeof(e));
	return sizeof(e);
}

static size_t extra_cpuid(const struct tool_event *r, u8 *to)
{
	const struct kvmi_v6_event_cpuid e = {.function = r->cpuid.function,
		.index = r->cpuid.index,
		.insn_len = r->cpuid.insn_len};

	memcpy(to, &e, sizeof(e));
	return sizeof(e);
}

static const struct event_kind kinds[KVMI_V6_NUM_EVENTS] = {
	[KVMI_V6_EVENT_CR] = {extra_cr, sizeof(struct kvmi_event_cr_reply)},
	[KVMI_V6_EVENT_MSR] = {extra_msr, sizeof(struct kvmi_event_msr_reply)},
	[KVMI_V6_EVENT_BREAKPOINT] = {extra_breakpoint, 0},
	[KVMI_V6_EVENT_PF] = {extra_pf, sizeof(struct kvmi_v6_event_pf_reply)},
	[KVMI_V6_EVENT_TRAP] = {extra_trap, 0},
	[KVMI_V6_EVENT_DESCRIPTOR] = {extra_descriptor, 0},
	[KVMI_V6_EVENT_SINGLESTEP] = {extra_singlestep, 0},
	[KVMI_V6_EVENT_CMD_ERROR] = {extra_cmd_error, 0},
	[KVMI_V6_EVENT_CPUID] = {extra_cpuid, 0},
};

size_t v6_write_event(const struct tool_event *r, struct watched *w, u8 *ret)
{
	struct kvmi_v6_event e = {.size = sizeof(e), .event = r->event};

	if (w) {
		e.vcpu = (u16)w->index;
		e.view = (u16)vcpu_view(w->v);
		e.mode = regs_read(w->v, &e.regs, &e.sregs);
		regs_read_msrs(w->v, &e.msrs);
	}
	memcpy(ret, &e, sizeof(e));
	return sizeof(e) + (kinds[r->event].extra ? kinds[r->event].extra(r, ret + sizeof(e)) : 0);
}

/* ---- replies ---- */

static int read_pf(const u8 *payload, struct reply *ret)
{
	struct kvmi_v6_event_pf_reply p;

	memcpy(&p, payload, sizeof(p));
	if (p.ctx_size > sizeof(p.ctx_data))
		return CALL_CLOSE;
	ret->singlestep = p.singlestep;
	ret->rep_complete = p.rep_complete;
	ret->has_ctx_addr = true;
	ret->ctx_addr = p.ctx_addr;
	ret->ctx_size = p.ctx_size;
	memcpy(ret->ctx_data, p.ctx_data, p.ctx_size);
	return 0;
}

static bool is_for(const struct watched *w, const struct kvmi_v6_event_reply *head)
{
	return head->hdr.vcpu == w->index && head->event == w->question.report->event &&
	       !head->hdr.padding1 && !head->hdr.padding2 && !head->padding1 && !head->padding2;
}

/* What is missing at the end counts as 0. */
static int answer_question(struct watched *w, const u8 *payload, size_t size)
{
	const struct event_kind *kind = &kinds[w->question.report->event];
	struct {
		struct kvmi_v6_event_reply head;
		u8 specific[sizeof(struct kvmi_v6_event_pf_reply)];
	} m = {0};
	struct reply reply = {0};
	int r = 0;

	if (size > sizeof(m.head) + kind->reply_size)
		return CALL_CLOSE;
	memcpy(&m, payload, size);
	if (!is_for(w, &m.head))
		return CALL_CLOSE;
	reply.action = m.head.action;
	if (kind->extra == extra_pf)
		r = read_pf(m.specific, &reply);
	else
		memcpy(&reply.new_val, m.specific, sizeof(reply.new_val));
	if (!r)
		watched_answer(w, &reply);
	return r;
}

int v6_read_reply(struct introspection *i, u32 seq, const u8 *payload, size_t size)
{
	return watched_reply(i, seq, payload, size, answer_question);
}
