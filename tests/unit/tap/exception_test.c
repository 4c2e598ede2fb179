/* SPDX-License-Identifier: MIT */
/* Exceptions and software interrupts: each asks before it is delivered, by step and by translation. */
#include "watcher.h"

#include <errno.h>

#include "engine/exit.h"

/* ---- exceptions ---- */

/* #UD, whose gate is none: #GP, whose gate is none: #DF. */
static void prepare_chain(struct watcher *w)
{
	WATCHER_CODE(w, 0x43, 0x8d, 0x04, 0x00, 0x0f, 0x0b); /* lea (%r8,%r8), %eax; ud2 */
	w->world.ram[IDT + X86_UD * 16 + 5] = w->world.ram[IDT + X86_GP * 16 + 5] = 0;
}

static void check_chain(struct watcher *w)
{
	static const struct {
		u8 vector;
		bool has_error;
		u32 error;
	} want[] = {{X86_UD, false, 0}, {X86_GP, true, X86_UD * 8 + 3}, {X86_DF, true, 0}};

	assert_int_equal(w->count, ARRAY_SIZE(want));
	for (unsigned i = 0; i < w->count; i++) {
		watcher_expect(&w->seen[i], TAP_EXCEPTION, CODE + 4);
		assert_int_equal(w->seen[i].e.exception.vector, want[i].vector);
		assert_int_equal(w->seen[i].e.exception.has_error, want[i].has_error);
		assert_int_equal(w->seen[i].e.exception.error, want[i].error);
		assert_false(w->seen[i].e.exception.injected);
		assert_int_equal(w->seen[i].s.gpr[RSP], STACK);
	}
}

static void prepare_pf(struct watcher *w)
{
	WATCHER_CODE(w, 0xff, 0xc3, 0x88, 0x04, 0x25, 0, 0, 0x30, 0,
		0x9c); /* inc %ebx; mov %al, 0x300000; pushf */
}

static void check_pf(struct watcher *w)
{
	assert_int_equal(w->count, 1);
	watcher_expect(&w->seen[0], TAP_EXCEPTION, CODE + 2);
	assert_int_equal(w->seen[0].e.exception.vector, X86_PF);
	assert_int_equal(w->seen[0].e.exception.error, PF_W);
	assert_int_equal(w->seen[0].e.exception.payload, 0x300000);
	assert_int_equal(w->seen[0].s.cr2, 0);
	assert_int_equal(rip_of(w->world.v), HANDLER + 1);
}

static void test_exceptions(void **state)
{
	watcher_both(BIT(TAP_EXCEPTION), prepare_chain, check_chain);
	watcher_both(BIT(TAP_EXCEPTION), prepare_pf, check_pf);
}

static enum tap_verdict change_exception(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	e->exception.vector = X86_PF;
	e->exception.has_error = true;
	e->exception.error = 0x15;
	e->exception.payload = 0x1234567;
	return TAP_GO_ON;
}

static enum tap_verdict drop_exception(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	machine_write(w->world.m, CODE + 4, "\x90\x90\xf4", 3);
	return TAP_SKIP;
}

static void test_change_exception(void **state)
{
	struct vcpu_state s;
	struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		watcher_open(&w, step);
		vcpu_tap_events(w.world.v, BIT(TAP_EXCEPTION));
		w.answer = change_exception;
		WATCHER_CODE(&w, 0x43, 0x8d, 0x04, 0x00, 0x0f, 0x0b);
		watcher_run(&w);
		assert_int_equal(w.count, 1);
		vcpu_get(w.world.v, ST_SREGS, &s);
		assert_int_equal(s.cr2, 0x1234567);
		assert_int_equal(watcher_frame(&w, 0), 0x15);
		assert_int_equal(watcher_frame(&w, 1), CODE + 4);
		w.answer = drop_exception;
		watcher_start(&w);
		watcher_run(&w);
		assert_int_equal(w.count, 1);
		assert_int_equal(rip_of(w.world.v), CODE + 7);
		/* The VMM's. */
		w.answer = NULL;
		watcher_start(&w);
		assert_int_equal(vcpu_inject_exception(w.world.v, X86_DB), 0);
		watcher_run(&w);
		assert_int_equal(w.count, 1);
		assert_true(w.seen[0].e.exception.injected);
		assert_int_equal(w.seen[0].e.exception.vector, X86_DB);
		watcher_close(&w);
	}
}

/* ---- software interrupts ---- */

static void prepare_soft(struct watcher *w)
{
	/* Handlers return; so does #BP's. */
	w->world.ram[HANDLER] = 0x48; /* iretq */
	w->world.ram[HANDLER + 1] = 0xcf;
	WATCHER_CODE(
		w, 0xcd, 0x21, 0xcc, 0x3e, 0xcc, 0xf1, 0xf4); /* int $0x21; int3 twice; icebp */
}

static void check_soft(struct watcher *w)
{
	static const struct {
		u8 vector, insn, at, len;
	} want[] = {{0x21, TAP_INT_N, 0, 2}, {X86_BP, TAP_INT3, 2, 1}, {X86_BP, TAP_INT3, 3, 2},
		{X86_DB, TAP_ICEBP, 5, 1}};

	assert_int_equal(w->count, ARRAY_SIZE(want));
	for (unsigned i = 0; i < w->count; i++) {
		watcher_expect(&w->seen[i], TAP_SOFT_INT, CODE + want[i].at);
		assert_int_equal(w->seen[i].e.soft_int.vector, want[i].vector);
		assert_int_equal(w->seen[i].e.soft_int.insn, want[i].insn);
		assert_int_equal(w->seen[i].e.insn_len, want[i].len);
		assert_int_equal(w->seen[i].s.gpr[RSP], STACK);
	}
}

static void test_soft(void **state)
{
	watcher_both(BIT(TAP_SOFT_INT) | BIT(TAP_EXCEPTION), prepare_soft, check_soft);
}

static enum tap_verdict change_soft(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	if (e->soft_int.insn == TAP_INT_N)
		return TAP_SKIP;
	e->soft_int.vector = X86_UD;
	return TAP_GO_ON;
}

static void test_change_soft(void **state)
{
	struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		watcher_open(&w, step);
		vcpu_tap_events(w.world.v, BIT(TAP_SOFT_INT));
		w.answer = change_soft;
		WATCHER_CODE(&w, 0xcd, 0x21, 0xcc);
		w.world.ram[IDT + X86_UD * 16] = 8; /* another handler: HANDLER + 8 */
		w.world.ram[HANDLER + 8] = 0xf4;
		watcher_run(&w);
		assert_int_equal(rip_of(w.world.v), HANDLER + 9);
		assert_int_equal(watcher_frame(&w, 0), CODE + 3);
		watcher_close(&w);
	}
}

/* INT n of real mode is translated, where nobody asks for it; INTO. */
static void prepare_real(struct watcher *w)
{
	static const u16 entry[2] = {HANDLER, 0};
	struct vcpu_state s;

	memcpy(w->world.ram + 0x21 * 4, entry, 4);
	memcpy(w->world.ram + X86_OF * 4, entry, 4);
	w->world.ram[HANDLER] = 0xcf;                       /* iret */
	WATCHER_CODE(w, 0xb9, 3, 0, 0xcd, 0x21, 0xe2, 0xfc, /* mov $3, %cx; int $0x21; loop */
		0xb0, 0x7f, 0x04, 0x01, 0xce, 0xf4);        /* mov $0x7f, %al; add $1, %al; into */
	vcpu_get(w->world.v, ST_SREGS, &s);
	s.cr0 = CR0_ET | CR0_NE;
	s.cr3 = s.cr4 = s.efer = 0;
	for (unsigned i = 0; i <= SEG_GS; i++)
		s.seg[i] = (struct segment){.limit = 0xffff, .attr = i == SEG_CS ? 0x9b : 0x93};
	s.idt = (struct dtable){.limit = 0xffff};
	assert_int_equal(vcpu_set(w->world.v, ST_SREGS, &s), 0);
}

static void check_real(struct watcher *w)
{
	assert_int_equal(w->count, 4);
	for (unsigned i = 0; i < 3; i++) {
		watcher_expect(&w->seen[i], TAP_SOFT_INT, CODE + 3);
		assert_int_equal(w->seen[i].s.gpr[RCX], 3 - i);
	}
	watcher_expect(&w->seen[3], TAP_SOFT_INT, CODE + 11);
	assert_int_equal(w->seen[3].e.soft_int.vector, X86_OF);
}

/* Switched on when the code has been translated. */
static void test_real(void **state)
{
	struct watcher w;

	watcher_both(BIT(TAP_SOFT_INT), prepare_real, check_real);
	watcher_open(&w, false);
	prepare_real(&w);
	watcher_run(&w);
	assert_int_equal(w.count, 0);
	prepare_real(&w);
	vcpu_tap_events(w.world.v, BIT(TAP_SOFT_INT));
	watcher_run(&w);
	check_real(&w);
	watcher_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exceptions),
		cmocka_unit_test(test_change_exception),
		cmocka_unit_test(test_soft),
		cmocka_unit_test(test_change_soft),
		cmocka_unit_test(test_real),
	};

	return cmocka_run_group_tests_name("tap exceptions", tests, NULL, NULL);
}
