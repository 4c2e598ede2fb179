/* SPDX-License-Identifier: MIT */
/* The dialect of uapi/kvmi_v6.h: its commands. */
#include <errno.h>
#include <string.h>

#include "introspect/command.h"
#include "introspect/inject.h"
#include "introspect/ops.h"
#include "introspect/regs.h"
#include "introspect/v6.h"
#include "introspect/vcpu.h"

/* ---- what the tool may do ---- */

#define VM_EVENTS   (BIT(KVMI_V6_EVENT_UNHOOK) | BIT(KVMI_V6_EVENT_CREATE_VCPU))
#define ALL_EVENTS  (BIT(KVMI_V6_NUM_EVENTS) - 1)
#define VCPU_EVENTS (ALL_EVENTS & ~VM_EVENTS & ~BIT(KVMI_V6_EVENT_CMD_ERROR))

static int get_version(struct tool_call *c)
{
	struct kvmi_v6_get_version_reply *a = call_answer(c, sizeof(*a));

	if (!a)
		return -KVM_ENOMEM;
	a->version = KVMI_VERSION;
	return 0;
}

static int check_command(struct tool_call *c)
{
	const struct kvmi_v6_check *q = (const void *)c->payload;
	const struct tool_command *command = command_find(&kvmi_v6, q->id);

	if (q->id == KVMI_V6_EVENT || q->id == KVMI_V6_EVENT_REPLY)
		return 0;
	if (!command)
		return -KVM_EINVAL;
	return command_allowed(c->s, command) ? 0 : -KVM_EPERM;
}

static int event_allowed(const struct session *s, u16 event, u32 known)
{
	if (event >= KVMI_V6_NUM_EVENTS || !(BIT(event) & known))
		return -KVM_EINVAL;
	return s->rights.events & BIT(event) ? 0 : -KVM_EPERM;
}

static int check_event(struct tool_call *c)
{
	const struct kvmi_v6_check *q = (const void *)c->payload;

	return event_allowed(c->s, q->id, VCPU_EVENTS | VM_EVENTS);
}

/* Commands are answered or not, from the next one on or from this one. */
static int control_cmd_response(struct tool_call *c)
{
	const struct kvmi_v6_control_cmd_response *q = (const void *)c->payload;

	if (q->enable > 1 || q->now > 1 || (q->flags & ~KVMI_V6_RESPONSE_EVENT))
		return -KVM_EINVAL;
	c->s->silent = !q->enable;
	c->s->errors_as_events = c->s->silent && (q->flags & KVMI_V6_RESPONSE_EVENT);
	if (q->now)
		c->answered = q->enable;
	return 0;
}

/* ---- the machine ---- */

static int get_guest_info(struct tool_call *c)
{
	struct kvmi_v6_get_guest_info_reply *a = call_answer(c, sizeof(*a));

	if (!a)
		return -KVM_ENOMEM;
	a->vcpu_count = watched_count(c->i);
	return 0;
}

static int get_vcpu_info(struct tool_call *c)
{
	struct kvmi_v6_get_vcpu_info_reply *a = call_answer(c, sizeof(*a));

	if (!a)
		return -KVM_ENOMEM;
	a->tsc_speed = op_tsc_hz(c);
	return 0;
}

#define PAUSES_MAX 256 /* of one vcpu, that it has not told */

static int pause_vcpu(struct tool_call *c)
{
	const struct kvmi_v6_pause_vcpu *q = (const void *)c->payload;
	struct watched *w = watched_at(c->i, q->hdr.vcpu);

	if (q->wait > 1 || !w)
		return -KVM_EINVAL;
	if (!watched_started(w))
		return -KVM_EAGAIN;
	if (watched_pauses(w) >= PAUSES_MAX)
		return -KVM_EBUSY;
	return watched_pause(w) ? 0 : -KVM_EINVAL;
}

static int get_max_gfn(struct tool_call *c)
{
	struct kvmi_v6_gfn_reply *a = call_answer(c, sizeof(*a));

	if (!a)
		return -KVM_ENOMEM;
	a->gfn = op_end_of_ram(c) - 1;
	return 0;
}

static int get_next_available_gfn(struct tool_call *c)
{
	struct kvmi_v6_gfn_reply *a = call_answer(c, sizeof(*a));

	if (!a)
		return -KVM_ENOMEM;
	a->gfn = op_end_of_ram(c);
	return 0;
}

static int query_physical(struct tool_call *c)
{
	const struct kvmi_v6_query_physical *q = (const void *)c->payload;
	struct kvmi_v6_query_physical_reply *a = call_answer(c, sizeof(*a));
	u64 first, pages;

	if (!a)
		return -KVM_ENOMEM;
	if (q->gfn >> 52 || !op_find_ram(c, q->gfn, &first, &pages))
		return -KVM_ENOENT;
	a->gfn = first;
	a->pages = pages;
	return 0;
}

static int read_physical(struct tool_call *c)
{
	const struct kvmi_read_physical *q = (const void *)c->payload;

	return op_read_physical(c, q->gpa, q->size, -KVM_ENOENT);
}

static int write_physical(struct tool_call *c)
{
	const struct kvmi_write_physical *q = (const void *)c->payload;

	return op_write_physical(c, q->gpa, q->data, q->size, -KVM_ENOENT);
}

static int get_page_access(struct tool_call *c)
{
	const struct kvmi_v6_get_page_access *q = (const void *)c->payload;

	return op_get_page_access(c, q->view, q->gpa, q->count);
}

static int set_page_access(struct tool_call *c)
{
	const struct kvmi_v6_set_page_access *q = (const void *)c->payload;

	_Static_assert(
		sizeof(struct kvmi_v6_page_access_entry) == sizeof(struct kvmi_page_access_entry),
		"the same layout");
	return op_set_page_access(c, q->view, (const void *)q->entries, q->count);
}

/* ---- views of memory ---- */

/* What tap.h says of views, as the protocol has it. */
static int view_error(int error)
{
	switch (error) {
	case 0: return 0;
	case -ENOMEM: return -KVM_ENOMEM;
	case -EBUSY: return -KVM_EBUSY;
	case -ENOSPC: return -KVM_ENOMEM;
	default: return -KVM_EINVAL;
	}
}

static int create_ept_view(struct tool_call *c)
{
	struct kvmi_v6_ept_view *a = call_answer(c, sizeof(*a));
	unsigned view;
	int r = a ? machine_create_view(c->i->machine, &view) : -ENOMEM;

	if (!r)
		a->view = (u16)view;
	return view_error(r);
}

static int destroy_ept_view(struct tool_call *c)
{
	const struct kvmi_v6_ept_view *q = (const void *)c->payload;

	return view_error(machine_destroy_view(c->i->machine, q->view));
}

static int switch_ept_view(struct tool_call *c)
{
	const struct kvmi_v6_switch_ept_view *q = (const void *)c->payload;

	return view_error(vcpu_set_view(c->w->v, q->view));
}

static int get_ept_view(struct tool_call *c)
{
	struct kvmi_v6_ept_view *a = call_answer(c, sizeof(*a));

	if (!a)
		return -KVM_ENOMEM;
	a->view = (u16)vcpu_view(c->w->v);
	return 0;
}

static int change_gfn(struct tool_call *c)
{
	const struct kvmi_v6_change_gfn *q = (const void *)c->payload;

	return view_error(machine_view_remap(c->i->machine, q->view, q->old_gfn, q->new_gfn));
}

/* What hardware without #VE, VMFUNC and sub-page permissions answers. */
static int not_here(struct tool_call *c)
{
	return -KVM_EOPNOTSUPP;
}

/* ---- which events ---- */

static int control_vm_events(struct tool_call *c)
{
	const struct kvmi_v6_control_vm_events *q = (const void *)c->payload;
	int r = event_allowed(c->s, q->event, VM_EVENTS);

	if (r || q->enable > 1)
		return r ? r : -KVM_EINVAL;
	session_set_vm_events(c->i,
		q->enable ? c->s->vm_events | BIT(q->event) : c->s->vm_events & ~BIT(q->event));
	return 0;
}

static int control_events(struct tool_call *c)
{
	const struct kvmi_v6_control_events *q = (const void *)c->payload;
	int r = event_allowed(c->s, q->event, VCPU_EVENTS);

	if (r || q->enable > 1)
		return r ? r : -KVM_EINVAL;
	return op_set_events(
		c, q->enable ? c->w->events | BIT(q->event) : c->w->events & ~BIT(q->event));
}

static int control_cr(struct tool_call *c)
{
	const struct kvmi_v6_control_register *q = (const void *)c->payload;

	return q->enable > 1 ? -KVM_EINVAL : op_control_cr(c, q->index, q->enable);
}

static int control_msr(struct tool_call *c)
{
	const struct kvmi_v6_control_register *q = (const void *)c->payload;

	return q->enable > 1 ? -KVM_EINVAL : op_control_msr(c, q->index, q->enable);
}

static int control_singlestep(struct tool_call *c)
{
	const struct kvmi_v6_control_singlestep *q = (const void *)c->payload;

	return q->enable > 1 ? -KVM_EINVAL : op_single_step(c, q->enable);
}

/* ---- a vcpu ---- */

static int get_registers(struct tool_call *c)
{
	const struct kvmi_v6_get_registers *q = (const void *)c->payload;

	return op_get_registers(c, q->msrs_idx, q->nmsrs);
}

static int set_registers(struct tool_call *c)
{
	const struct kvmi_v6_set_registers *q = (const void *)c->payload;

	return op_set_registers(c, &q->regs, -KVM_EOPNOTSUPP);
}

static int get_cpuid(struct tool_call *c)
{
	const struct kvmi_v6_get_cpuid *q = (const void *)c->payload;

	return op_get_cpuid(c, q->function, q->index);
}

static int set_xsave(struct tool_call *c)
{
	const struct kvmi_v6_set_xsave *q = (const void *)c->payload;

	return op_set_xsave(c, q->area, c->size - sizeof(*q));
}

static int get_xcr(struct tool_call *c)
{
	const struct kvmi_v6_get_xcr *q = (const void *)c->payload;
	struct kvmi_v6_get_xcr_reply *a = call_answer(c, sizeof(*a));
	struct vcpu_view view;

	if (q->xcr)
		return -KVM_EINVAL;
	if (!a)
		return -KVM_ENOMEM;
	vcpu_look(c->w->v, &view);
	a->value = view.xcr0;
	return 0;
}

static int get_mtrr_type(struct tool_call *c)
{
	const struct kvmi_v6_get_mtrr_type *q = (const void *)c->payload;
	struct kvmi_v6_get_mtrr_type_reply *a = call_answer(c, sizeof(*a));

	if (!a)
		return -KVM_ENOMEM;
	a->type = regs_mtrr_type(c->w->v, q->gpa);
	return 0;
}

static int translate_gva(struct tool_call *c)
{
	const struct kvmi_v6_translate_gva *q = (const void *)c->payload;
	struct kvmi_v6_translate_gva_reply *a = call_answer(c, sizeof(*a));

	if (!a)
		return -KVM_ENOMEM;
	a->gpa = regs_translate(c->w->v, q->gva);
	return 0;
}

/* The vector says whether there is an error code. */
static int inject_exception(struct tool_call *c)
{
	const struct kvmi_v6_inject_exception *q = (const void *)c->payload;

	return inject_ask(c->w, q->nr, inject_has_error(q->nr), q->error_code, q->address);
}

/* ---- the table ---- */

static const struct tool_command commands[KVMI_V6_GET_RAM + 1] = {
#define COMMAND(NAME, name, LIKE, ...)                                                             \
	[KVMI_V6_##NAME] = {#NAME, .run = name, .like = KVMI_##LIKE, __VA_ARGS__},
#include "introspect/v6.def"
};

const struct dialect kvmi_v6 = {
	.event_id = KVMI_V6_EVENT,
	.reply_id = KVMI_V6_EVENT_REPLY,
	.max_size = KVMI_V6_MSG_SIZE - sizeof(struct kvmi_msg_hdr),
	.exact = false,
	.forbidden = -KVM_EPERM,
	.commands = commands,
	.command_count = ARRAY_SIZE(commands),
	.write_event = v6_write_event,
	.read_reply = v6_read_reply,
};
