/* SPDX-License-Identifier: MIT */
/*
 * engine/intercept.h: what leaves for the VMM of a partition, alone and with a subscriber that stands between the guest and
 * it. Neither notices that the other comes or goes.
 */
#include "tests/unit/world/partition.h"

#include <errno.h>

#include "engine/core/vcpu.h"
#include "engine/intercept.h"

#define PAT 0x277

/* ---- a subscriber ---- */

static struct watching {
	unsigned asked; /* without births, pauses and ends */
	struct tap_event last;
	enum tap_verdict verdict;
	void (*change)(struct tap_event *e);
} tool;

static enum tap_verdict event(void *opaque, struct vcpu *v, struct tap_event *e)
{
	if (e->kind == TAP_BIRTH || e->kind == TAP_PAUSE || e->kind == TAP_END)
		return TAP_GO_ON;
	tool.asked++;
	tool.last = *e;
	if (tool.change)
		tool.change(e);
	return tool.verdict;
}

static const struct tap ops = {.event = event};

static void tool_comes(u32 events)
{
	memset(&tool, 0, sizeof(tool));
	assert_int_equal(machine_set_tap(w.m, &ops, NULL), 0);
	assert_int_equal(vcpu_tap_events(w.v, events), 0);
}

static void tool_goes(void)
{
	assert_int_equal(machine_set_tap(w.m, NULL, NULL), 0);
}

/* What has been asked since the last time. */
static void asked(unsigned count)
{
	assert_int_equal(tool.asked, count);
	tool.asked = 0;
}

/* ---- guests ---- */

static const struct tap_event *intercepted(enum tap_kind kind)
{
	leaves(EXIT_INTERCEPT);
	assert_int_equal(vcpu_intercepted(w.v)->kind, kind);
	return vcpu_intercepted(w.v);
}

/* mov $leaf, %eax; cpuid */
static void guest_cpuid(u8 leaf)
{
	const u8 code[] = {0xb8, leaf, 0, 0, 0, 0x0f, 0xa2, SAY};

	world_put(&w, CODE, code, sizeof(code));
	start_at(CODE);
}

/* After the MOV, which is no part of the question; leaves() wants that nothing happens. */
static void runs_to_cpuid(u8 leaf)
{
	guest_cpuid(leaf);
	run_to(w.v, EXIT_INTERCEPT);
	assert_int_equal(rip_of(w.v), CODE + 5);
}

static void guest_wrmsr(void)
{
	GUEST(0x0f, 0x30, SAY);
	set_gpr(RCX, PAT);
	set_gpr(RAX, 0x00070406);
	set_gpr(RDX, 0x00070406);
}

/* An exception waits among the events, as the processor's own: the VMM of a partition takes it from there. */
static const struct tap_event *excepted(u8 vector)
{
	struct vcpu_state s;

	run_to(w.v, EXIT_INTERCEPT);
	assert_int_equal(vcpu_intercepted(w.v)->kind, TAP_EXCEPTION);
	assert_int_equal(vcpu_intercepted(w.v)->exception.vector, vector);
	no_insn();
	vcpu_get(w.v, ST_EVENT, &s);
	assert_true(s.events.exception.injected);
	assert_int_equal(s.events.exception.vector, vector);
	return vcpu_intercepted(w.v);
}

static void inject(u8 vector)
{
	struct vcpu_state s;

	vcpu_get(w.v, ST_EVENT, &s);
	memset(&s.events.exception, 0, sizeof(s.events.exception));
	s.events.exception.injected = true;
	s.events.exception.vector = vector;
	assert_int_equal(vcpu_set(w.v, ST_EVENT, &s), 0);
}

static void handler_says(u8 vector)
{
	static const u8 code[] = {SAY};

	gate(vector, HANDLER);
	world_put(&w, HANDLER, code, sizeof(code));
}

/* ---- alone ---- */

static void cpuid(void **state)
{
	assert_int_equal(machine_intercept_cpuid(w.m, 1, true), 0);
	runs_to_cpuid(1);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(intercepted(TAP_CPUID)->cpuid.leaf, 1);
		insn_is(2);
	}
	goes_on();
	guest_cpuid(0);
	says();
	assert_int_equal(machine_intercept_cpuid(w.m, 1, false), 0);
	assert_int_equal(machine_intercept_cpuid(w.m, 1, false), 0);
	guest_cpuid(1);
	says();
	assert_int_equal(w.v->cpu.tap_events, 0);
}

static void msrs(void **state)
{
	assert_int_equal(machine_intercept_msr(w.m, PAT, true, true), 0);
	assert_int_equal(machine_intercept_msr(w.m, 0x12345678, true, true), -EINVAL);
	guest_wrmsr();
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(intercepted(TAP_MSR_WRITE)->msr.index, PAT);
		assert_int_equal(vcpu_intercepted(w.v)->msr.value, 0x0007040600070406);
		insn_is(2);
	}
	goes_on();
	GUEST(0x0f, 0x32, SAY); /* rdmsr */
	set_gpr(RCX, PAT);
	says();
	assert_int_equal(machine_intercept_msr(w.m, PAT, true, false), 0);
	assert_int_equal(machine_intercept_msr(w.m, PAT, false, true), 0);
	guest_wrmsr();
	says();
	GUEST(0x0f, 0x32, SAY);
	set_gpr(RCX, PAT);
	assert_int_equal(intercepted(TAP_MSR_READ)->msr.value, 0x0007040600070406);
	goes_on();
}

static void exceptions(void **state)
{
	handler_says(X86_UD);
	machine_intercept_exceptions(w.m, BIT(X86_UD));
	GUEST(0x0f, 0x0b); /* ud2 */
	assert_false(excepted(X86_UD)->exception.injected);
	excepted(X86_UD); /* nobody has taken it */
	inject(X86_UD);   /* this one is the VMM's own */
	says();
	machine_intercept_exceptions(w.m, 0);
	GUEST(0x0f, 0x0b);
	says();
}

/* INT3 raises one; INT 3 in two bytes does not. */
static void software(void **state)
{
	handler_says(X86_BP);
	machine_intercept_exceptions(w.m, BIT(X86_BP));
	GUEST(0xcc, SAY);
	assert_int_equal(intercepted(TAP_SOFT_INT)->soft_int.insn, TAP_INT3);
	goes_on();
	GUEST(0xcd, 3);
	says();
}

static void room(void **state)
{
	for (u32 leaf = 0; leaf < INTERCEPT_LEAVES; leaf++)
		assert_int_equal(machine_intercept_cpuid(w.m, 0x100 + leaf, true), 0);
	assert_int_equal(machine_intercept_cpuid(w.m, 1, true), -ENOSPC);
	assert_int_equal(machine_intercept_cpuid(w.m, 0x100, true), 0); /* is there */
	assert_int_equal(machine_intercept_cpuid(w.m, 0x110, false), 0);
	assert_int_equal(machine_intercept_cpuid(w.m, 1, true), 0);
	runs_to_cpuid(1);
	goes_on();
}

/* Those that are made later go by the same. */
static void new_vcpu(void **state)
{
	static struct vcpu_state s;
	struct vcpu *v;

	assert_int_equal(machine_intercept_cpuid(w.m, 1, true), 0);
	v = world_add_vcpu(&w);
	world_give_cpuid(v);
	guest_cpuid(1);
	vcpu_get(w.v, ST_REGS | ST_SREGS | ST_XSAVE | ST_XCR | ST_MP, &s);
	assert_int_equal(vcpu_set(v, ST_REGS | ST_SREGS | ST_XSAVE | ST_XCR | ST_MP, &s), 0);
	run_to(v, EXIT_INTERCEPT);
	assert_int_equal(vcpu_intercepted(v)->kind, TAP_CPUID);
	runs_to_cpuid(1);
	goes_on();
}

/* ---- with a subscriber ---- */

/* It is asked first, once for each time that the instruction is executed, and only for what it has asked for. */
static void both_see(void **state)
{
	assert_int_equal(machine_intercept_cpuid(w.m, 1, true), 0);
	tool_comes(BIT(TAP_CPUID));
	runs_to_cpuid(1);
	asked(1);
	intercepted(TAP_CPUID); /* executed again */
	asked(1);
	goes_on();
	asked(0);
	guest_cpuid(0); /* its own alone */
	says();
	asked(1);
	assert_int_equal(vcpu_tap_events(w.v, BIT(TAP_CR)), 0);
	runs_to_cpuid(1); /* the VMM's alone */
	asked(0);
	tool_goes();
}

static void one_leaves(void **state)
{
	assert_int_equal(machine_intercept_cpuid(w.m, 1, true), 0);
	tool_comes(BIT(TAP_CPUID));
	tool_goes();
	runs_to_cpuid(1);
	asked(0);
	tool_comes(BIT(TAP_CPUID));
	assert_int_equal(machine_intercept_cpuid(w.m, 1, false), 0);
	guest_cpuid(1);
	says();
	asked(1);
	tool_goes();
	guest_cpuid(1);
	says();
	asked(0);
	assert_int_equal(w.v->cpu.tap_events, 0);
}

static void change_value(struct tap_event *e)
{
	e->msr.value = 0x0007040600070400;
}

/* What the one changes is what the other sees. */
static void changed_value(void **state)
{
	u64 value;

	tool_comes(BIT(TAP_MSR_WRITE));
	assert_int_equal(vcpu_tap_msr(w.v, PAT, true, true), 0);
	assert_int_equal(machine_intercept_msr(w.m, PAT, true, true), 0);
	tool.change = change_value;
	guest_wrmsr();
	assert_int_equal(intercepted(TAP_MSR_WRITE)->msr.value, 0x0007040600070400);
	assert_int_equal(tool.last.msr.value, 0x0007040600070406);
	goes_on();
	assert_int_equal(vcpu_tap_msr(w.v, PAT, true, false), 0); /* the selections are two */
	asked(1);
	guest_wrmsr();
	assert_int_equal(intercepted(TAP_MSR_WRITE)->msr.value, 0x0007040600070406);
	goes_on();
	asked(0);
	assert_int_equal(vcpu_tap_msr(w.v, PAT, true, true), 0);
	assert_int_equal(machine_intercept_msr(w.m, PAT, true, false), 0);
	guest_wrmsr();
	says();
	asked(1);
	assert_int_equal(vcpu_get_msr(w.v, PAT, &value, false), 0);
	assert_int_equal(value, 0x0007040600070400);
	tool_goes();
}

static void change_vector(struct tap_event *e)
{
	e->exception.vector = X86_GP;
	e->exception.has_error = true;
	e->exception.error = 8;
}

static void changed_exception(void **state)
{
	const struct tap_event *e;

	machine_intercept_exceptions(w.m, BIT(X86_GP));
	tool_comes(BIT(TAP_EXCEPTION));
	tool.change = change_vector;
	GUEST(0x0f, 0x0b);
	e = excepted(X86_GP);
	assert_true(e->exception.has_error);
	assert_int_equal(e->exception.error, 8);
	assert_false(e->exception.injected);
	asked(1);
	tool_goes();
}

/* What it ends is not there to be intercepted. */
static void ended(void **state)
{
	assert_int_equal(machine_intercept_cpuid(w.m, 1, true), 0);
	tool_comes(BIT(TAP_CPUID));
	tool.verdict = TAP_SKIP;
	guest_cpuid(1);
	says();
	handler_says(X86_GP);
	tool.verdict = TAP_REFUSE;
	guest_cpuid(1);
	says();
	assert_int_equal(rip_of(w.v), HANDLER);
	asked(2);
	tool.verdict = TAP_STOP;
	guest_cpuid(1);
	run_to(w.v, EXIT_TAP);
	assert_int_equal(vcpu_tap_event(w.v)->kind, TAP_CPUID);
	tool.verdict = TAP_GO_ON;
	intercepted(TAP_CPUID);
	asked(2);
	tool_goes();
}

/* A step is over before what comes next is intercepted; the VMM's doing the instruction is no step of the guest's. */
static void steps(void **state)
{
	assert_int_equal(machine_intercept_cpuid(w.m, 1, true), 0);
	tool_comes(BIT(TAP_STEP));
	runs_to_cpuid(1);
	asked(1);
	assert_int_equal(tool.last.kind, TAP_STEP);
	tool_goes();
	intercepted(TAP_CPUID);
	goes_on();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_WAYS(cpuid),
		BOTH_WAYS(msrs),
		BOTH_WAYS(exceptions),
		BOTH_WAYS(software),
		BOTH_WAYS(room),
		BOTH_WAYS(new_vcpu),
		BOTH_WAYS(both_see),
		BOTH_WAYS(one_leaves),
		BOTH_WAYS(changed_value),
		BOTH_WAYS(changed_exception),
		BOTH_WAYS(ended),
		BOTH_WAYS(steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
