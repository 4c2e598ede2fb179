/* SPDX-License-Identifier: MIT */
/*
 * Events as the VM sends them, in either dialect, become the structure of the public header. Whatever has not the size
 * that it must have is -EPROTO.
 */
#include <errno.h>
#include <string.h>

#include "uvmi/session.h"

_Static_assert(
	sizeof(struct uvmi_event_msrs) == sizeof(struct kvmi_event_msrs), "copied as they are");

/* What follows the common part. */
struct rest {
	const u8 *at;
	size_t size;
};

/* v5: exactly; v6: at least, because structures may grow. */
static bool has(enum uvmi_dialect dialect, struct rest rest, size_t size)
{
	return dialect == UVMI_V5 ? rest.size == size : rest.size >= size;
}

/* A structure of this type from the rest, or -EPROTO from the function that uses it. */
#define TAKE(type, name)                                                                           \
	struct type name;                                                                          \
	if (!has(dialect, rest, sizeof(name)))                                                     \
		return -EPROTO;                                                                    \
	memcpy(&(name), rest.at, sizeof(name))

static int take_cr(enum uvmi_dialect dialect, struct rest rest, struct uvmi_event *e)
{
	TAKE(kvmi_event_cr, cr);
	e->u.cr.cr = cr.cr;
	e->u.cr.old_value = cr.old_value;
	e->u.cr.new_value = cr.new_value;
	return 0;
}

static int take_msr(enum uvmi_dialect dialect, struct rest rest, struct uvmi_event *e)
{
	TAKE(kvmi_event_msr, msr);
	e->u.msr.msr = msr.msr;
	e->u.msr.old_value = msr.old_value;
	e->u.msr.new_value = msr.new_value;
	return 0;
}

static int take_breakpoint(enum uvmi_dialect dialect, struct rest rest, struct uvmi_event *e)
{
	if (dialect == UVMI_V5) {
		TAKE(kvmi_event_breakpoint, v5);
		e->u.breakpoint.gpa = v5.gpa;
		e->u.breakpoint.insn_len = 1; /* INT3 without prefixes; the message does not tell */
		return 0;
	}
	TAKE(kvmi_v6_event_breakpoint, v6);
	e->u.breakpoint.gpa = v6.gpa;
	e->u.breakpoint.insn_len = v6.insn_len;
	return 0;
}

static int take_pf(enum uvmi_dialect dialect, struct rest rest, struct uvmi_event *e)
{
	if (dialect == UVMI_V5) {
		TAKE(kvmi_event_pf, v5);
		e->u.pf.gva = v5.gva;
		e->u.pf.gpa = v5.gpa;
		e->u.pf.access = (u8)v5.mode;
		return 0;
	}
	TAKE(kvmi_v6_event_pf, v6);
	e->u.pf.gva = v6.gva;
	e->u.pf.gpa = v6.gpa;
	e->u.pf.access = v6.access;
	e->u.pf.view = v6.view;
	return 0;
}

/* v6 has two forms: first that of v5, then one of its own, which is shorter. */
static int take_trap(enum uvmi_dialect dialect, struct rest rest, struct uvmi_event *e)
{
	if (dialect == UVMI_V5 || rest.size >= sizeof(struct kvmi_event_trap)) {
		TAKE(kvmi_event_trap, v5);
		e->u.trap.vector = v5.vector;
		e->u.trap.type = v5.type;
		e->u.trap.error_code = v5.error_code;
		e->u.trap.cr2 = v5.cr2;
		return 0;
	}
	TAKE(kvmi_v6_event_trap, v6);
	e->u.trap.vector = v6.vector;
	e->u.trap.error_code = v6.error_code;
	e->u.trap.cr2 = v6.cr2;
	return 0;
}

static int take_descriptor(enum uvmi_dialect dialect, struct rest rest, struct uvmi_event *e)
{
	if (dialect == UVMI_V5) {
		TAKE(kvmi_event_descriptor, v5);
		e->u.descriptor.descriptor = v5.descriptor;
		e->u.descriptor.write = v5.write;
		return 0;
	}
	TAKE(kvmi_v6_event_descriptor, v6);
	e->u.descriptor.descriptor = v6.descriptor;
	e->u.descriptor.write = v6.write;
	return 0;
}

static int take_singlestep(enum uvmi_dialect dialect, struct rest rest, struct uvmi_event *e)
{
	TAKE(kvmi_v6_event_singlestep, step);
	e->u.singlestep.failed = step.failed;
	return 0;
}

static int take_cmd_error(enum uvmi_dialect dialect, struct rest rest, struct uvmi_event *e)
{
	TAKE(kvmi_v6_event_cmd_error, error);
	e->u.cmd_error.err = error.err == -KVM_ENOSYS ? -ENOSYS : error.err;
	e->u.cmd_error.seq = error.msg_seq;
	e->u.cmd_error.id = error.msg_id;
	return 0;
}

static int take_cpuid(enum uvmi_dialect dialect, struct rest rest, struct uvmi_event *e)
{
	TAKE(kvmi_v6_event_cpuid, cpuid);
	e->u.cpuid.function = cpuid.function;
	e->u.cpuid.index = cpuid.index;
	e->u.cpuid.insn_len = cpuid.insn_len;
	return 0;
}

static int take_nothing(enum uvmi_dialect dialect, struct rest rest, struct uvmi_event *e)
{
	return has(dialect, rest, 0) ? 0 : -EPROTO;
}

static int (*const take[UVMI_EVENTS])(
	enum uvmi_dialect dialect, struct rest rest, struct uvmi_event *e) = {
	[UVMI_EVENT_UNHOOK] = take_nothing,
	[UVMI_EVENT_CR] = take_cr,
	[UVMI_EVENT_MSR] = take_msr,
	[UVMI_EVENT_XSETBV] = take_nothing,
	[UVMI_EVENT_BREAKPOINT] = take_breakpoint,
	[UVMI_EVENT_HYPERCALL] = take_nothing,
	[UVMI_EVENT_PF] = take_pf,
	[UVMI_EVENT_TRAP] = take_trap,
	[UVMI_EVENT_DESCRIPTOR] = take_descriptor,
	[UVMI_EVENT_CREATE_VCPU] = take_nothing,
	[UVMI_EVENT_PAUSE_VCPU] = take_nothing,
	[UVMI_EVENT_SINGLESTEP] = take_singlestep,
	[UVMI_EVENT_CMD_ERROR] = take_cmd_error,
	[UVMI_EVENT_CPUID] = take_cpuid,
};

static int common_v5(const u8 *payload, size_t size, struct uvmi_event *e, struct rest *rest)
{
	struct kvmi_event c;

	if (size < sizeof(c))
		return -EPROTO;
	memcpy(&c, payload, sizeof(c));
	if (c.event >= KVMI_NUM_EVENTS)
		return -EPROTO;
	e->event = (u8)c.event;
	e->vcpu = c.vcpu;
	e->mode = c.mode;
	e->regs = c.regs;
	e->sregs = c.sregs;
	memcpy(&e->msrs, &c.msrs, sizeof(e->msrs));
	*rest = (struct rest){payload + sizeof(c), size - sizeof(c)};
	return 0;
}

/* The common part says itself how long it is. */
static int common_v6(const u8 *payload, size_t size, struct uvmi_event *e, struct rest *rest)
{
	struct kvmi_v6_event c;

	if (size < sizeof(c))
		return -EPROTO;
	memcpy(&c, payload, sizeof(c));
	if (c.event >= UVMI_EVENTS || c.size < sizeof(c) || c.size > size)
		return -EPROTO;
	e->event = c.event;
	e->vcpu = c.vcpu;
	e->view = c.view;
	e->mode = c.mode;
	e->regs = c.regs;
	e->sregs = c.sregs;
	memcpy(&e->msrs, &c.msrs, sizeof(e->msrs));
	*rest = (struct rest){payload + c.size, size - c.size};
	return 0;
}

int event_decode(enum uvmi_dialect dialect, const u8 *payload, size_t size, struct uvmi_event *ret)
{
	struct rest rest;
	int r;

	memset(ret, 0, sizeof(*ret));
	r = dialect == UVMI_V5 ? common_v5(payload, size, ret, &rest)
			       : common_v6(payload, size, ret, &rest);
	return r ? r : take[ret->event](dialect, rest, ret);
}
