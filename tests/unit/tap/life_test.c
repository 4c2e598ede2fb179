/* SPDX-License-Identifier: MIT */
/*
 * The course of a vcpu as the subscriber sees it: its steps, birth, pauses and end; and what is switched on, or done by the subscriber
 * itself, while something is under way.
 */
#include "watcher.h"

#include <errno.h>

#include "engine/exit.h"
#include "engine/irqchip.h"

/* ---- single step ---- */

static void prepare_step(struct watcher *w)
{
	vcpu_tap_events(w->world.v, 0); /* so that the first instruction follows none */
	WATCHER_CODE(w, 0xbf, 0, 0x40, 0, 0, 0xb9, 2, 0, 0, 0, /* mov $DATA, %edi; mov $2, %ecx */
		0xf3, 0xaa, 0x0f, 0x0b);                       /* rep stosb; ud2 */
	vcpu_tap_events(w->world.v, BIT(TAP_STEP));
}

static void check_step(struct watcher *w)
{
	static const u32 want[] = {CODE + 5, CODE + 10, CODE + 10, CODE + 12, HANDLER};

	assert_int_equal(w->count, ARRAY_SIZE(want));
	for (unsigned i = 0; i < w->count; i++) {
		watcher_expect(&w->seen[i], TAP_STEP, want[i]);
		assert_int_equal(w->seen[i].e.step.unfinished, i == 2);
	}
	assert_int_equal(w->seen[2].s.gpr[RCX], 1);
}

static void test_step(void **state)
{
	watcher_both(0, prepare_step, check_step);
}

/* Switched on by the answer to a question: the instruction that asked it is the first to be seen over. */
static enum tap_verdict step_from_here(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	if (e->kind == TAP_CPUID)
		vcpu_tap_events(v, BIT(TAP_CPUID) | BIT(TAP_STEP));
	return TAP_GO_ON;
}

static void prepare_step_from_answer(struct watcher *w)
{
	vcpu_tap_events(w->world.v, BIT(TAP_CPUID));
	WATCHER_CODE(w, 0x0f, 0xa2, 0x90, 0x90, 0xf4); /* cpuid; nop; nop; hlt */
	w->answer = step_from_here;
}

static void check_step_from_answer(struct watcher *w)
{
	assert_int_equal(w->count, 4);
	watcher_expect(&w->seen[0], TAP_CPUID, CODE);
	for (unsigned i = 1; i < w->count; i++)
		watcher_expect(&w->seen[i], TAP_STEP, CODE + 1 + i);
}

static void test_step_from_answer(void **state)
{
	watcher_both(BIT(TAP_CPUID), prepare_step_from_answer, check_step_from_answer);
}

/* An interrupt that waits then is not taken before that instruction, else it would be no step of it. */
static enum tap_verdict step_with_nmi(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	if (e->kind != TAP_CPUID)
		return TAP_GO_ON;
	vcpu_nmi(v);
	vcpu_tap_events(v, BIT(TAP_STEP));
	return TAP_RETRY;
}

static void prepare_step_with_nmi(struct watcher *w)
{
	vcpu_tap_events(w->world.v, BIT(TAP_CPUID));
	WATCHER_CODE(w, 0x0f, 0xa2, 0x90, 0xf4); /* cpuid; nop; hlt */
	w->answer = step_with_nmi;
}

static void check_step_with_nmi(struct watcher *w)
{
	u64 from;

	assert_int_equal(w->count, 2);
	watcher_expect(&w->seen[0], TAP_CPUID, CODE);
	watcher_expect(&w->seen[1], TAP_STEP, HANDLER);
	memcpy(&from, w->world.ram + w->seen[1].s.gpr[RSP], sizeof(from));
	assert_int_equal(from, CODE + 2);
}

static void test_step_with_nmi(void **state)
{
	watcher_both(BIT(TAP_CPUID), prepare_step_with_nmi, check_step_with_nmi);
}

/*
 * Where each instruction has a breakpoint that the tool steps across, an interrupt is not held before every one of them.
 * The handler is a breakpoint, too.
 */
#define LOOP (CODE + 15)

static enum tap_verdict step_across(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	const struct msi msi = {0xfee00000, 0x40};
	bool hit = e->kind == TAP_SOFT_INT;

	if (w->count == 1)
		assert_int_equal(irq_msi(w->world.m, &msi), 1);
	if (rip_of(v) == HANDLER || w->count > 20)
		return TAP_STOP;
	assert_int_equal(machine_write(w->world.m, LOOP, hit ? "\xeb" : "\xcc", 1), 0);
	vcpu_tap_events(v, BIT(TAP_SOFT_INT) | (hit ? BIT(TAP_STEP) : 0));
	return hit ? TAP_RETRY : TAP_GO_ON;
}

static void test_steps_across(void **state)
{
	struct watcher w;

	watcher_open_with(&w, IRQCHIP_SPLIT);
	assert_int_equal(vcpu_set_msr(w.world.v, 0x1b, 0xfee00d00, true), 0); /* x2APIC */
	WATCHER_CODE(&w, 0xb9, 0x0f, 0x08, 0, 0, 0xb8, 0xff, 0x01, 0, 0, 0x31, 0xd2, 0x0f,
		0x30,              /* SVR = 0x1ff */
		0xfb, 0xcc, 0xfe); /* sti; jmp . under a breakpoint */
	w.world.ram[HANDLER] = 0xcc;
	w.answer = step_across;
	vcpu_tap_events(w.world.v, BIT(TAP_SOFT_INT));
	assert_int_equal(vcpu_run(w.world.v, 0), 0);
	assert_int_equal(rip_of(w.world.v), HANDLER);
	watcher_close(&w);
}

/* ---- a vcpu's life ---- */

static unsigned births, ends, pauses;

static enum tap_verdict life(void *opaque, struct vcpu *v, struct tap_event *e)
{
	births += e->kind == TAP_BIRTH;
	ends += e->kind == TAP_END;
	pauses += e->kind == TAP_PAUSE;
	return e->kind == TAP_PAUSE && pauses == 2 ? TAP_STOP : TAP_GO_ON;
}

static struct vcpu *existing[2];

static void life_exists(void *opaque, struct vcpu *v, unsigned index)
{
	existing[index] = v;
}

static void test_life(void **state)
{
	static const struct tap ops = {.event = life, .exists = life_exists};
	struct watcher w;
	struct vcpu *second;

	watcher_open(&w, false);
	assert_int_equal(machine_set_tap(w.world.m, &ops, NULL), -EBUSY);
	assert_int_equal(machine_set_tap(w.world.m, NULL, NULL), 0);
	assert_int_equal(machine_set_tap(w.world.m, &ops, NULL), 0);
	assert_ptr_equal(existing[0], w.world.v); /* before it runs */
	assert_int_equal(vcpu_create(w.world.m, 1, &second), 0);
	assert_ptr_equal(existing[1], second);
	assert_true(vcpu_started(second)); /* without a local APIC nobody waits for SIPI */
	WATCHER_CODE(&w, 0xf4);
	watcher_run(&w);
	watcher_start(&w);
	watcher_run(&w);
	assert_int_equal(births, 1); /* once; the other one has not run */
	vcpu_destroy(second);
	assert_int_equal(ends, 1);
	for (unsigned i = 0; i < 3; i++)
		vcpu_tap_pause(w.world.v);
	watcher_start(&w);
	assert_int_equal(vcpu_run(w.world.v, 0), 0);
	assert_int_equal(vcpu_exit(w.world.v)->reason, EXIT_TAP);
	assert_int_equal(vcpu_tap_event(w.world.v)->kind, TAP_PAUSE);
	assert_int_equal(pauses, 2);
	assert_int_equal(rip_of(w.world.v), CODE);
	watcher_run(&w);
	assert_int_equal(pauses, 3);
	watcher_close(&w);
	assert_int_equal(ends, 1);
}

/* ---- a pause that comes when the delivery of an interrupt is about to begin (the linker's --wrap) ---- */

static bool pause_now;

void __real_recheck_on_interrupt(struct vcpu *v);
void __wrap_recheck_on_interrupt(struct vcpu *v);

void __wrap_recheck_on_interrupt(struct vcpu *v)
{
	if (pause_now)
		vcpu_tap_pause(
			v); /* any thread may, and this one is as far outside as others believe */
	pause_now = false;
	__real_recheck_on_interrupt(v);
}

static void test_pause_before_delivery(void **state)
{
	struct vcpu_state s;
	struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		watcher_open(&w, step);
		WATCHER_CODE(&w, 0x90, 0xf4);
		vcpu_get(w.world.v, ST_REGS, &s);
		s.rflags |= FL_IF;
		vcpu_set(w.world.v, ST_REGS, &s);
		vcpu_interrupt(w.world.v, 0x40);
		pause_now = true;
		watcher_run(&w);
		assert_false(pause_now);
		assert_int_equal(w.count, 1);
		watcher_expect(&w.seen[0], TAP_PAUSE, CODE); /* not delivered yet */
		assert_int_equal(w.seen[0].s.gpr[RSP], STACK);
		/* And once, when it goes on. */
		assert_int_equal(rip_of(w.world.v), HANDLER + 1);
		assert_int_equal(gpr_of(w.world.v, RSP), STACK - 40);
		assert_int_equal(watcher_frame(&w, 0), CODE);
		watcher_close(&w);
	}
}

/* ---- what is switched on while user space has an instruction ---- */

#define ITEMS 16

static void ins_with_change(bool step)
{
	struct watcher w;
	struct exit *x;

	watcher_open(&w, step);
	WATCHER_CODE(&w, 0xbf, 0x00, 0x40, 0, 0, /* mov $DATA, %edi */
		0xb9, ITEMS, 0, 0, 0,            /* mov $ITEMS, %ecx */
		0xba, 0x60, 0, 0, 0,             /* mov $0x60, %edx */
		0xf3, 0x6c, 0xf4);               /* rep insb */
	watcher_start(&w);
	assert_int_equal(vcpu_run(w.world.v, 0), 0);
	x = vcpu_exit(w.world.v);
	assert_int_equal(x->reason, EXIT_IO_IN);
	assert_int_equal(x->io.count, ITEMS);
	for (u8 i = 0; i < ITEMS; i++)
		x->io.data[i] = (u8)(0x80 + i);
	assert_int_equal(vcpu_tap_events(w.world.v, BIT(TAP_STEP)), 0);
	assert_int_equal(vcpu_run(w.world.v, 0), 0);
	assert_int_equal(x->reason, EXIT_HLT); /* the device has been asked once */
	for (u8 i = 0; i < ITEMS; i++)
		assert_int_equal(w.world.ram[DATA + i], 0x80 + i);
	assert_int_equal(w.count, 0); /* nothing is over since it was switched on: HLT begins */
	watcher_close(&w);
}

/* And what follows goes by it at once. */
static void test_step_after_answer(void **state)
{
	struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		watcher_open(&w, step);
		WATCHER_CODE(&w, 0xe4, 0x60, 0x90, 0x90, 0xf4); /* in $0x60, %al; nop; nop; hlt */
		assert_int_equal(vcpu_run(w.world.v, 0), 0);
		assert_int_equal(vcpu_exit(w.world.v)->reason, EXIT_IO_IN);
		assert_int_equal(vcpu_tap_events(w.world.v, BIT(TAP_STEP)), 0);
		watcher_run(&w);
		assert_int_equal(w.count, 2);
		watcher_expect(&w.seen[0], TAP_STEP, CODE + 3);
		watcher_expect(&w.seen[1], TAP_STEP, CODE + 4);
		watcher_close(&w);
	}
}

static void test_ins_with_change(void **state)
{
	ins_with_change(true);
	ins_with_change(false);
}

/* ---- an exception that the subscriber does itself ---- */

static enum tap_verdict emulate(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	struct vcpu_state s;

	assert_int_equal(e->exception.vector, X86_UD);
	vcpu_get(v, ST_REGS, &s);
	s.rip += 2;
	s.gpr[RBX]++;
	assert_int_equal(vcpu_set(v, ST_REGS, &s), 0);
	return w->count & 1 ? TAP_SKIP : TAP_GO_ON; /* whatever it answers */
}

static void emulated(bool step)
{
	struct watcher w;

	watcher_open(&w, step);
	WATCHER_CODE(&w, 0x0f, 0x0b, 0x0f, 0x0b, 0x90, 0xf4); /* ud2; ud2; nop; hlt */
	w.answer = emulate;
	assert_int_equal(vcpu_tap_events(w.world.v, BIT(TAP_EXCEPTION)), 0);
	watcher_run(&w);
	assert_int_equal(w.count, 2);
	assert_int_equal(gpr_of(w.world.v, RBX), 2);
	assert_int_equal(rip_of(w.world.v), CODE + 6);
	watcher_close(&w);
}

static void test_emulated(void **state)
{
	emulated(true);
	emulated(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_step),
		cmocka_unit_test(test_step_from_answer),
		cmocka_unit_test(test_step_with_nmi),
		cmocka_unit_test(test_steps_across),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_pause_before_delivery),
		cmocka_unit_test(test_ins_with_change),
		cmocka_unit_test(test_step_after_answer),
		cmocka_unit_test(test_emulated),
	};

	return cmocka_run_group_tests_name("tap life", tests, NULL, NULL);
}
