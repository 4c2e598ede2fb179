/* SPDX-License-Identifier: MIT */
/* inspect trace, inspect step: events as lines. One table has the kinds. */
#include <errno.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/inspect/inspect.h"

#define EVENT(name) BIT(UVMI_EVENT_##name)

/* What a word of the command line means. */
static const struct trace_kind {
	const char *name;
	u32 events;
	int cr; /* -1: none */
	bool msrs;
} kinds[] = {
	{"cr0", EVENT(CR), 0, false},
	{"cr3", EVENT(CR), 3, false},
	{"cr4", EVENT(CR), 4, false},
	{"msr", EVENT(MSR), -1, true},
	{"exceptions", EVENT(BREAKPOINT) | EVENT(TRAP), -1, false},
	{"hypercalls", EVENT(HYPERCALL), -1, false},
	{"descriptors", EVENT(DESCRIPTOR), -1, false},
	{"xsetbv", EVENT(XSETBV), -1, false},
	{"cpuid", EVENT(CPUID), -1, false},
};

/* Written rarely, and by kernels and rootkits: where system calls go. */
static const u32 usual_msrs[] = {
	0x174, 0x175, 0x176, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084};

struct trace {
	u32 events;
	u32 crs; /* bits */
	const u32 *msrs;
	unsigned n_msrs;
	u64 seen;
};

static const struct trace_kind *find_kind(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

static int parse_kinds(struct inspect *in, struct trace *t)
{
	for (int i = 0; i < in->n_args; i++) {
		const struct trace_kind *k = find_kind(in->args[i]);

		if (!k)
			return inspect_usage("'%s' cannot be traced: choose from cr0, cr3, cr4, "
					     "msr, exceptions, "
					     "hypercalls, descriptors, xsetbv, cpuid",
				in->args[i]);
		t->events |= k->events;
		if (k->cr >= 0)
			t->crs |= BIT(k->cr);
		if (k->msrs) {
			t->msrs = in->n_msrs ? in->msrs : usual_msrs;
			t->n_msrs = in->n_msrs ? in->n_msrs : ARRAY_SIZE(usual_msrs);
		}
	}
	return 0;
}

/* ---- switching on ---- */

static int start_vcpu(struct inspect *in, unsigned vcpu, void *arg)
{
	const struct trace *t = arg;
	int r = 0;

	for (unsigned i = 0; i < UVMI_EVENTS && !r; i++)
		if (t->events & BIT(i))
			r = uvmi_control_events(in->s, vcpu, i, 1);
	for (unsigned i = 0; i < 5 && !r; i++)
		if (t->crs & BIT(i))
			r = uvmi_control_cr(in->s, vcpu, i, 1);
	for (unsigned i = 0; i < t->n_msrs && !r; i++)
		r = uvmi_control_msr(in->s, vcpu, t->msrs[i], 1);
	return r;
}

static int stop_vcpu(struct inspect *in, unsigned vcpu, void *arg)
{
	const struct trace *t = arg;
	int r = 0;

	for (unsigned i = 0; i < UVMI_EVENTS && !r; i++)
		if (t->events & BIT(i))
			r = uvmi_control_events(in->s, vcpu, i, 0);
	return r;
}

/* ---- lines ---- */

static void put_cr(struct inspect *in, const struct uvmi_event *e)
{
	record_number(in, "cr", e->u.cr.cr);
	record_hex(in, "old", e->u.cr.old_value);
	record_hex(in, "new", e->u.cr.new_value);
}

static void put_msr(struct inspect *in, const struct uvmi_event *e)
{
	record_hex(in, "msr", e->u.msr.msr);
	record_hex(in, "old", e->u.msr.old_value);
	record_hex(in, "new", e->u.msr.new_value);
}

static void put_xsetbv(struct inspect *in, const struct uvmi_event *e)
{
	record_number(in, "xcr", (u32)e->regs.rcx);
	record_hex(in, "new", e->regs.rdx << 32 | (u32)e->regs.rax);
}

static void put_breakpoint(struct inspect *in, const struct uvmi_event *e)
{
	record_hex(in, "gpa", e->u.breakpoint.gpa);
}

static void put_trap(struct inspect *in, const struct uvmi_event *e)
{
	record_number(in, "vector", e->u.trap.vector);
	record_hex(in, "error_code", e->u.trap.error_code);
	record_hex(in, "cr2", e->u.trap.cr2);
}

static void put_hypercall(struct inspect *in, const struct uvmi_event *e)
{
	record_hex(in, "rax", e->regs.rax);
	record_hex(in, "rbx", e->regs.rbx);
	record_hex(in, "rcx", e->regs.rcx);
	record_hex(in, "rdx", e->regs.rdx);
	record_hex(in, "rsi", e->regs.rsi);
	record_hex(in, "rdi", e->regs.rdi);
}

static void put_descriptor(struct inspect *in, const struct uvmi_event *e)
{
	static const char *const names[] = {"?", "idtr", "gdtr", "ldtr", "tr"};
	const unsigned i = e->u.descriptor.descriptor;

	record_text(in, "register", i < ARRAY_SIZE(names) ? names[i] : "?");
	record_text(in, "access", e->u.descriptor.write ? "w" : "r");
}

static void put_cpuid(struct inspect *in, const struct uvmi_event *e)
{
	record_hex(in, "function", e->u.cpuid.function);
	record_hex(in, "index", e->u.cpuid.index);
}

static const struct event_line {
	const char *type;
	void (*put)(struct inspect *in, const struct uvmi_event *e);
} event_lines[UVMI_EVENTS] = {
	[UVMI_EVENT_CR] = {"cr", put_cr},
	[UVMI_EVENT_MSR] = {"msr", put_msr},
	[UVMI_EVENT_XSETBV] = {"xsetbv", put_xsetbv},
	[UVMI_EVENT_BREAKPOINT] = {"breakpoint", put_breakpoint},
	[UVMI_EVENT_HYPERCALL] = {"hypercall", put_hypercall},
	[UVMI_EVENT_TRAP] = {"trap", put_trap},
	[UVMI_EVENT_DESCRIPTOR] = {"descriptor", put_descriptor},
	[UVMI_EVENT_CPUID] = {"cpuid", put_cpuid},
};

/* --value asks for writes of one value; what writes nothing is not asked about. */
static bool passes(const struct inspect *in, const struct uvmi_event *e)
{
	if (!in->has_value)
		return true;
	if (e->event == UVMI_EVENT_CR)
		return e->u.cr.new_value == in->value;
	return e->event != UVMI_EVENT_MSR || e->u.msr.new_value == in->value;
}

static bool put_line(struct inspect *in, const struct uvmi_event *e)
{
	record_event(in, event_lines[e->event].type, e);
	event_lines[e->event].put(in, e);
	return record_end(in);
}

/* 1: enough */
static int trace_one(struct inspect *in, struct trace *t, const struct uvmi_event *e)
{
	bool good = true;
	int r;

	if (t->events & BIT(e->event) && passes(in, e)) {
		t->seen++;
		good = put_line(in, e);
	} else if (e->event == UVMI_EVENT_CREATE_VCPU &&
		   (in->vcpu == ALL_VCPUS || in->vcpu == e->vcpu)) {
		r = start_vcpu(in, e->vcpu, t);
		if (r)
			return r;
	}
	r = uvmi_reply_continue(in->s, e);
	if (r)
		return r;
	return !good || (in->count && t->seen >= in->count);
}

static int trace_loop(struct inspect *in, struct trace *t)
{
	struct uvmi_event e;
	int r;

	do {
		r = inspect_next(in, &e, UVMI_FOREVER);
		if (!r)
			r = trace_one(in, t, &e);
	} while (!r);
	return r == 1 || r == -EINTR ? 0 : r;
}

int inspect_trace(struct inspect *in)
{
	struct trace t = {.events = 0};
	int r = parse_kinds(in, &t);

	if (r)
		return r;
	/* vCPUs that start later send the same; a VM that does not permit this has those that it has. */
	uvmi_control_vm_events(in->s, UVMI_EVENT_CREATE_VCPU, 1);
	r = inspect_each(in, start_vcpu, &t);
	if (r)
		return inspect_failed(in, "this cannot be traced", r);
	r = trace_loop(in, &t);
	if (!r)
		r = inspect_each(in, stop_vcpu, &t);
	return r ? inspect_failed(in, "tracing has ended", r) : 0;
}

/* ---- step ---- */

static int put_steps(struct inspect *in, unsigned vcpu, u64 n)
{
	struct uvmi_event e;
	int r = 0;

	while (n && !r) {
		r = inspect_next(in, &e, UVMI_FOREVER);
		if (!r && e.event == UVMI_EVENT_SINGLESTEP) {
			record_event(in, e.u.singlestep.failed ? "step_failed" : "step", &e);
			if (!record_end(in) || e.u.singlestep.failed)
				r = -EINTR;
			n--;
		}
		if (!n || r) /* before the reply, or there would be one more */
			uvmi_control_singlestep(in->s, vcpu, 0);
		if (!r || r == -EINTR)
			uvmi_reply_continue(in->s, &e);
	}
	return r == -EINTR ? 0 : r;
}

int inspect_step(struct inspect *in)
{
	const unsigned vcpu = inspect_one_vcpu(in);
	u64 n;
	int r;

	if (!inspect_number(in->args[0], &n) || !n)
		return inspect_usage("'%s' is not a number of steps", in->args[0]);
	r = uvmi_control_events(in->s, vcpu, UVMI_EVENT_SINGLESTEP, 1);
	if (!r)
		r = uvmi_control_singlestep(in->s, vcpu, 1);
	if (r)
		return inspect_failed(in, "the vCPU cannot be stepped", r);
	r = put_steps(in, vcpu, n);
	if (!r)
		r = uvmi_control_events(in->s, vcpu, UVMI_EVENT_SINGLESTEP, 0);
	return r ? inspect_failed(in, "stepping has ended", r) : 0;
}
