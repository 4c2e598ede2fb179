/* SPDX-License-Identifier: MIT */
/* The dialect of uapi/kvmi.h: its commands, how its events are written and its replies read. */
#include <string.h>

#include "introspect/extra.h"
#include "introspect/inject.h"
#include "introspect/ops.h"
#include "introspect/regs.h"
#include "introspect/vcpu.h"
#include "introspect/vmx.h"

/* ---- commands of the machine ---- */

#define ALWAYS_ALLOWED (BIT(KVMI_GET_VERSION) | BIT(KVMI_EVENT) | BIT(KVMI_EVENT_REPLY))

static int get_version(struct tool_call *c)
{
	struct kvmi_get_version_reply *a = call_answer(c, sizeof(*a));

	if (!a)
		return -KVM_ENOMEM;
	a->version = KVMI_VERSION;
	a->commands = (c->s->rights.commands | ALWAYS_ALLOWED) & KVMI_KNOWN_COMMANDS;
	a->events = c->s->rights.events & KVMI_KNOWN_EVENTS;
	return 0;
}

static int read_physical(struct tool_call *c)
{
	const struct kvmi_read_physical *q = (const void *)c->payload;

	return op_read_physical(c, q->gpa, q->size, -KVM_EINVAL);
}

static int write_physical(struct tool_call *c)
{
	const struct kvmi_write_physical *q = (const void *)c->payload;

	return op_write_physical(c, q->gpa, q->data, q->size, -KVM_EINVAL);
}

static int pause_all_vcpus(struct tool_call *c)
{
	struct kvmi_pause_all_vcpus_reply *a = call_answer(c, sizeof(*a));
	struct watched *w;

	if (!a)
		return -KVM_ENOMEM;
	for_each_watched(c->i, w) a->vcpu_count += watched_pause(w);
	return 0;
}

/* Of these events the tool may ask for those that are known and allowed. */
static int check_events(const struct session *s, u32 events, u32 known)
{
	if (events & ~known)
		return -KVM_EINVAL;
	return events & ~s->rights.events ? -KVM_EPERM : 0;
}

static int control_vm_events(struct tool_call *c)
{
	const struct kvmi_control_vm_events *q = (const void *)c->payload;
	int r = check_events(c->s, q->events, KVMI_KNOWN_VM_EVENTS);

	if (!r)
		session_set_vm_events(c->i, q->events);
	return r;
}

/* ---- commands of a vcpu ---- */

static int get_guest_info(struct tool_call *c)
{
	struct kvmi_get_guest_info_reply *a = call_answer(c, sizeof(*a));

	if (!a)
		return -KVM_ENOMEM;
	a->vcpu_count = watched_count(c->i);
	a->tsc_speed = op_tsc_hz(c);
	return 0;
}

static int get_registers(struct tool_call *c)
{
	const struct kvmi_get_registers *q = (const void *)c->payload;

	return op_get_registers(c, q->msrs_idx, q->nmsrs);
}

/* If the vcpu waits for nothing they are dropped, which the first tools are not told. */
static int set_registers(struct tool_call *c)
{
	const struct kvmi_set_registers *q = (const void *)c->payload;

	return op_set_registers(c, &q->regs, 0);
}

static int get_page_access(struct tool_call *c)
{
	const struct kvmi_get_page_access *q = (const void *)c->payload;

	return q->view ? -KVM_EINVAL : op_get_page_access(c, 0, q->gpa, q->count);
}

static int set_page_access(struct tool_call *c)
{
	const struct kvmi_set_page_access *q = (const void *)c->payload;

	return q->view ? -KVM_EINVAL : op_set_page_access(c, 0, q->entries, q->count);
}

/* The first tools are not told that they are too quick: the last one counts. */
static int inject_exception(struct tool_call *c)
{
	const struct kvmi_inject_exception *q = (const void *)c->payload;

	c->w->injection.waits = c->w->injection.on_way = false;
	return inject_ask(c->w, q->nr, q->has_error, q->error_code, q->address);
}

static int control_events(struct tool_call *c)
{
	const struct kvmi_control_events *q = (const void *)c->payload;
	int r = check_events(c->s, q->events, KVMI_KNOWN_VCPU_EVENTS);

	return r ? r : op_set_events(c, q->events);
}

static int control_cr(struct tool_call *c)
{
	const struct kvmi_control_cr *q = (const void *)c->payload;

	return op_control_cr(c, q->cr, q->enable);
}

static int control_msr(struct tool_call *c)
{
	const struct kvmi_control_msr *q = (const void *)c->payload;

	return op_control_msr(c, q->msr, q->enable);
}

static int get_cpuid(struct tool_call *c)
{
	const struct kvmi_get_cpuid *q = (const void *)c->payload;

	return op_get_cpuid(c, q->function, q->index);
}

/* ---- the table ---- */

static const struct tool_command commands[KVMI_NUM_MESSAGES] = {
#define COMMAND(NAME, name, ...)                                                                   \
	[KVMI_##NAME] = {#NAME, .run = name, .like = KVMI_##NAME, __VA_ARGS__},
#include "introspect/v5.def"
};

/* ---- events ---- */

static size_t extra_breakpoint(const struct tool_event *r, u8 *to)
{
	const struct kvmi_event_breakpoint e = {.gpa = r->breakpoint.gpa};

	memcpy(to, &e, sizeof(e));
	return sizeof(e);
}

static size_t extra_pf(const struct tool_event *r, u8 *to)
{
	const struct kvmi_event_pf e = {.gva = r->pf.gva, .gpa = r->pf.gpa, .mode = r->pf.access};

	memcpy(to, &e, sizeof(e));
	return sizeof(e);
}

static size_t extra_trap(const struct tool_event *r, u8 *to)
{
	const struct kvmi_event_trap e = {.vector = r->trap.vector,
		.type = r->trap.type,
		.error_code = r->trap.error_code,
		.cr2 = r->trap.cr2};

	memcpy(to, &e, sizeof(e));
	return sizeof(e);
}

/* Of these exits SVM tells nothing (APM 2:15.9), so on hosts of AMD the other fields stay 0. */
static size_t extra_descriptor(const struct tool_event *r, u8 *to)
{
	struct kvmi_event_descriptor e = {
		.descriptor = r->descriptor.table, .write = r->descriptor.write};

	if (!r->descriptor.amd) {
		e.arch.vmx.instr_info = vmx_instruction_info(r);
		e.arch.vmx.exit_qualification = vmx_qualification(r);
	}
	memcpy(to, &e, sizeof(e));
	return sizeof(e);
}

static const struct event_kind kinds[KVMI_NUM_EVENTS] = {
	[KVMI_EVENT_CR] = {extra_cr, sizeof(struct kvmi_event_cr_reply)},
	[KVMI_EVENT_MSR] = {extra_msr, sizeof(struct kvmi_event_msr_reply)},
	[KVMI_EVENT_BREAKPOINT] = {extra_breakpoint, 0},
	[KVMI_EVENT_PF] = {extra_pf, sizeof(struct kvmi_event_pf_reply)},
	[KVMI_EVENT_TRAP] = {extra_trap, 0},
	[KVMI_EVENT_DESCRIPTOR] = {extra_descriptor, 0},
};

static size_t write_event(const struct tool_event *r, struct watched *w, u8 *ret)
{
	struct kvmi_event e = {.event = r->event};

	if (w) {
		e.vcpu = (u16)w->index;
		e.mode = regs_read(w->v, &e.regs, &e.sregs);
		regs_read_msrs(w->v, &e.msrs);
	}
	memcpy(ret, &e, sizeof(e));
	return sizeof(e) + (kinds[r->event].extra ? kinds[r->event].extra(r, ret + sizeof(e)) : 0);
}

/* ---- replies ---- */

static size_t reply_size(u32 event)
{
	return sizeof(struct kvmi_event_reply) +
	       (event < KVMI_NUM_EVENTS ? kinds[event].reply_size : 0);
}

static int read_pf(const u8 *payload, struct reply *ret)
{
	struct kvmi_event_pf_reply p;

	memcpy(&p, payload, sizeof(p));
	if (p.ctx_size > sizeof(p.ctx_data))
		return CALL_CLOSE;
	ret->singlestep = p.singlestep;
	ret->rep_complete = p.rep_complete;
	ret->ctx_size = p.ctx_size;
	memcpy(ret->ctx_data, p.ctx_data, p.ctx_size);
	return 0;
}

static int read_specific(u8 event, const u8 *payload, struct reply *ret)
{
	if (event == KVMI_EVENT_CR || event == KVMI_EVENT_MSR)
		memcpy(&ret->new_val, payload, sizeof(ret->new_val));
	return event == KVMI_EVENT_PF ? read_pf(payload, ret) : 0;
}

/* The event that the reply names says how long it must be, and the one that waits whether it is of use. */
static int answer_question(struct watched *w, const u8 *payload, size_t size)
{
	const u8 event = w->question.report->event;
	struct reply reply = {.action = KVMI_EVENT_ACTION_CONTINUE};
	struct kvmi_event_reply head;
	int r = 0;

	memcpy(&head, payload, sizeof(head));
	if (size != reply_size(event)) {
		watched_answer(w, NULL);
		return 0;
	}
	reply.action = head.action;
	r = read_specific(event, payload + sizeof(head), &reply);
	watched_answer(w, r ? NULL : &reply);
	return r;
}

static int read_reply(struct introspection *i, u32 seq, const u8 *payload, size_t size)
{
	struct kvmi_event_reply head;

	if (size < sizeof(head))
		return CALL_CLOSE;
	memcpy(&head, payload, sizeof(head));
	if (size != reply_size(head.event))
		return CALL_CLOSE;
	return watched_reply(i, seq, payload, size, answer_question);
}

const struct dialect kvmi_v5 = {
	.event_id = KVMI_EVENT,
	.reply_id = KVMI_EVENT_REPLY,
	.max_size = UINT16_MAX,
	.exact = true,
	.forbidden = -KVM_EACCES,
	.commands = commands,
	.command_count = ARRAY_SIZE(commands),
	.write_event = write_event,
	.read_reply = read_reply,
};
