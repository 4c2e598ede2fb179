/* SPDX-License-Identifier: MIT */
/*
 * See event.h. Each kind of question has a function that decides whether the tool is asked, and what its answer means. All
 * of them run on the vcpu's own thread, with the state as it is at the instruction.
 */
#include "introspect/event.h"

#include "introspect/inject.h"
#include "introspect/page.h"
#include "introspect/regs.h"
#include "introspect/vcpu.h"

static bool wants(const struct watched *w, unsigned event)
{
	return w->events & BIT(event);
}

/* ---- what the engine asks ---- */

static const struct {
	u8 event, tap;
} taps[] = {
	{KVMI_V6_EVENT_CR, TAP_CR},
	{KVMI_V6_EVENT_MSR, TAP_MSR_WRITE},
	{KVMI_V6_EVENT_XSETBV, TAP_XCR0},
	{KVMI_V6_EVENT_BREAKPOINT, TAP_SOFT_INT},
	{KVMI_V6_EVENT_HYPERCALL, TAP_HYPERCALL},
	{KVMI_V6_EVENT_PF, TAP_PAGE},
	{KVMI_V6_EVENT_DESCRIPTOR, TAP_TABLE},
	{KVMI_V6_EVENT_CPUID, TAP_CPUID},
};

void event_update_taps(struct watched *w)
{
	u32 wanted = 0;

	for (unsigned n = 0; n < ARRAY_SIZE(taps); n++)
		wanted |= wants(w, taps[n].event) ? BIT(taps[n].tap) : 0;
	if (w->single_step || page_watches_steps(w))
		wanted |= BIT(TAP_STEP);
	if (w->injection.on_way)
		wanted |= BIT(TAP_EXCEPTION);
	if (wanted != w->tap_events)
		vcpu_tap_events(w->v, wanted);
	w->tap_events = wanted;
}

/* ---- what every question has in common ---- */

static bool continues(const struct reply *a)
{
	return a->action == KVMI_EVENT_ACTION_CONTINUE;
}

/* The tool may forbid itself to change anything. */
static void limit(const struct watched *w, u64 value, struct reply *a)
{
	if (!w->owner->session || !w->owner->session->rights.read_only)
		return;
	a->new_val = value;
	a->ctx_size = 0;
	if (a->action == KVMI_EVENT_ACTION_CRASH)
		a->action = KVMI_EVENT_ACTION_CONTINUE;
}

void event_ask(struct watched *w, const struct tool_event *r, u64 value, struct reply *a)
{
	watched_ask(w, r, value, a);
	limit(w, value, a);
	w->crashed |= a->action == KVMI_EVENT_ACTION_CRASH;
}

/* ---- control registers, MSRs, XCR0 ---- */

/* Bit 63 of what is loaded into CR3 is no part of it (SDM 3:2.5). */
static u64 seen_value(unsigned cr, u64 value)
{
	return cr == 3 ? value & ~BIT64(63) : value;
}

static enum tap_verdict on_cr(struct watched *w, struct tap_event *e)
{
	const u64 value = seen_value(e->cr.cr, e->cr.value);
	const struct tool_event r = {.event = KVMI_V6_EVENT_CR,
		.reg = {.index = e->cr.cr, .old = e->cr.old, .value = value}};
	struct reply a;

	if (!wants(w, KVMI_V6_EVENT_CR) || e->cr.old == value)
		return TAP_GO_ON;
	event_ask(w, &r, value, &a);
	if (!continues(&a))
		return TAP_REFUSE;
	if (a.new_val != value)
		e->cr.value = a.new_val;
	return TAP_GO_ON;
}

static enum tap_verdict on_msr(struct watched *w, struct tap_event *e)
{
	struct tool_event r = {
		.event = KVMI_V6_EVENT_MSR, .reg = {.index = e->msr.index, .value = e->msr.value}};
	struct reply a;

	if (!wants(w, KVMI_V6_EVENT_MSR) || vcpu_get_msr(w->v, e->msr.index, &r.reg.old, true) ||
		r.reg.old == r.reg.value)
		return TAP_GO_ON;
	event_ask(w, &r, e->msr.value, &a);
	if (!continues(&a))
		return TAP_REFUSE;
	e->msr.value = a.new_val;
	return TAP_GO_ON;
}

static enum tap_verdict on_xcr0(struct watched *w, struct tap_event *e)
{
	const struct tool_event r = {.event = KVMI_V6_EVENT_XSETBV};
	struct reply a;

	if (wants(w, KVMI_V6_EVENT_XSETBV) && e->xcr.old != e->xcr.value)
		event_ask(w, &r, 0, &a);
	return TAP_GO_ON;
}

/* ---- instructions ---- */

static enum tap_verdict on_soft_int(struct watched *w, struct tap_event *e)
{
	struct tool_event r = {
		.event = KVMI_V6_EVENT_BREAKPOINT, .breakpoint = {.insn_len = e->insn_len}};
	struct reply a;

	if (!wants(w, KVMI_V6_EVENT_BREAKPOINT) || e->soft_int.insn != TAP_INT3)
		return TAP_GO_ON;
	r.breakpoint.gpa = regs_code_gpa(w->v);
	event_ask(w, &r, 0, &a);
	return a.action == KVMI_EVENT_ACTION_RETRY ? TAP_RETRY : TAP_GO_ON;
}

static enum tap_verdict on_table(struct watched *w, struct tap_event *e)
{
	static const u8 names[] = {
		[TAP_GDTR] = KVMI_DESC_GDTR,
		[TAP_IDTR] = KVMI_DESC_IDTR,
		[TAP_LDTR] = KVMI_DESC_LDTR,
		[TAP_TR] = KVMI_DESC_TR,
	};
	const struct tool_event r = {.event = KVMI_V6_EVENT_DESCRIPTOR,
		.descriptor = {.table = names[e->table.table],
			.write = !e->table.store,
			.amd = w->owner->amd,
			.operand = e->table.operand}};
	struct reply a;

	if (!wants(w, KVMI_V6_EVENT_DESCRIPTOR))
		return TAP_GO_ON;
	event_ask(w, &r, 0, &a);
	return continues(&a) ? TAP_GO_ON : TAP_RETRY;
}

static enum tap_verdict on_cpuid(struct watched *w, struct tap_event *e)
{
	const struct tool_event r = {.event = KVMI_V6_EVENT_CPUID,
		.cpuid = {.function = e->cpuid.leaf,
			.index = e->cpuid.index,
			.insn_len = e->insn_len}};
	struct reply a;

	if (wants(w, KVMI_V6_EVENT_CPUID))
		event_ask(w, &r, 0, &a);
	return TAP_GO_ON;
}

/* The instruction's answer is ours; so it is over, with rip behind it also if the tool has set registers. */
static enum tap_verdict on_hypercall(struct watched *w, struct tap_event *e)
{
	const struct tool_event r = {.event = KVMI_V6_EVENT_HYPERCALL};
	const u64 rip = regs_rip(w->v);
	struct reply a;

	if (!wants(w, KVMI_V6_EVENT_HYPERCALL) || !regs_ask_for_event(w->v))
		return TAP_GO_ON;
	event_ask(w, &r, 0, &a);
	if (w->crashed)
		return TAP_GO_ON;
	regs_apply(w);
	regs_end_hypercall(w->v, rip, e->insn_len);
	return TAP_SKIP;
}

/* ---- between instructions ---- */

static enum tap_verdict on_step(struct watched *w, struct tap_event *e)
{
	const struct tool_event r = {.event = KVMI_V6_EVENT_SINGLESTEP};
	struct reply a;

	page_instruction_over(w, e->step.unfinished);
	if (w->single_step && wants(w, KVMI_V6_EVENT_SINGLESTEP))
		event_ask(w, &r, 0, &a);
	return TAP_GO_ON;
}

static bool wants_of_machine(const struct watched *w, unsigned event)
{
	struct introspection *i = w->owner;
	bool wanted;

	pthread_mutex_lock(&i->lock);
	wanted = i->session && (i->session->vm_events & BIT(event));
	pthread_mutex_unlock(&i->lock);
	return wanted;
}

static enum tap_verdict on_birth(struct watched *w, struct tap_event *e)
{
	const struct tool_event r = {.event = KVMI_V6_EVENT_CREATE_VCPU};
	struct reply a;

	if (wants_of_machine(w, KVMI_V6_EVENT_CREATE_VCPU))
		event_ask(w, &r, 0, &a);
	watched_serve(w); /* behind it: a tool that pauses a new vcpu hears that it is new first */
	return TAP_GO_ON;
}

void event_pause(struct watched *w)
{
	const struct tool_event r = {.event = KVMI_V6_EVENT_PAUSE_VCPU};
	struct reply a;

	event_ask(w, &r, 0, &a);
	regs_apply(w); /* before what comes behind the answer is done */
}

static enum tap_verdict on_pause(struct watched *w, struct tap_event *e)
{
	watched_serve(w);
	return TAP_GO_ON;
}

/* ---- the subscriber ---- */

static enum tap_verdict (*const on[TAP_KINDS])(struct watched *w, struct tap_event *e) = {
	[TAP_CR] = on_cr,
	[TAP_XCR0] = on_xcr0,
	[TAP_MSR_WRITE] = on_msr,
	[TAP_TABLE] = on_table,
	[TAP_EXCEPTION] = inject_delivers,
	[TAP_SOFT_INT] = on_soft_int,
	[TAP_HYPERCALL] = on_hypercall,
	[TAP_CPUID] = on_cpuid,
	[TAP_STEP] = on_step,
	[TAP_PAGE] = page_event,
	[TAP_BIRTH] = on_birth,
	[TAP_PAUSE] = on_pause,
};

/*
 * A vcpu that the tool has crashed runs no more, also when it is run again: birth and pause are not asked twice, so another
 * pause is.
 */
static enum tap_verdict stay_crashed(struct watched *w)
{
	vcpu_tap_pause(w->v);
	return TAP_STOP;
}

static enum tap_verdict answer(struct watched *w, struct tap_event *e)
{
	enum tap_verdict verdict;

	if (w->crashed)
		return stay_crashed(w);
	verdict = on[e->kind] ? on[e->kind](w, e) : TAP_GO_ON;
	if (w->crashed)
		return stay_crashed(w);
	regs_apply(w);
	verdict = inject_after(w, e, verdict);
	event_update_taps(w);
	return verdict;
}

static enum tap_verdict event(void *opaque, struct vcpu *v, struct tap_event *e)
{
	struct watched *w = watched_find(opaque, v);

	if (!w)
		return TAP_GO_ON;
	if (e->kind != TAP_END)
		return answer(w, e);
	watched_gone(w);
	return TAP_GO_ON;
}

static void exists(void *opaque, struct vcpu *v, unsigned index)
{
	watched_add(opaque, v, index);
}

static void memory_gone(void *opaque, void *hva, u64 size)
{
	struct introspection *i = opaque;

	maps_memory_gone(i->maps, i, hva, size);
}

const struct tap introspect_tap = {.event = event, .exists = exists, .memory_gone = memory_gone};

/* ---- what needs no answer ---- */

void event_unhook(struct introspection *i, struct session *s)
{
	const struct tool_event r = {.event = KVMI_V6_EVENT_UNHOOK};

	session_send_event(i, s, &r, NULL);
}

void event_command_error(struct introspection *i, struct session *s, u16 id, u32 seq, int err)
{
	const struct tool_event r = {.event = KVMI_V6_EVENT_CMD_ERROR,
		.command_error = {.err = err, .seq = seq, .id = id}};

	session_send_event(i, s, &r, NULL);
}
