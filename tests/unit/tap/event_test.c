/* SPDX-License-Identifier: MIT */
/* Every kind of event but those of pages, by step and by translation, and every answer. */
#include "watcher.h"

#include <errno.h>

#include "engine/exit.h"

/* ---- one guest, two executors ---- */

typedef void (*prepare_fn)(struct watcher *w);

static void run_one(struct watcher *w, bool step, u32 events, prepare_fn prepare)
{
	watcher_open(w, step);
	for (unsigned cr = 0; cr < 9; cr++)
		assert_int_equal(vcpu_tap_cr(w->v, cr, true),
			cr == 0 || cr == 3 || cr == 4 || cr == 8 ? 0 : -EINVAL);
	assert_int_equal(vcpu_tap_events(w->v, events), 0);
	prepare(w);
	watcher_run(w);
	if (!step) { /* again: with what has been translated and filled */
		w->count = 0;
		prepare(w);
		watcher_run(w);
	}
}

static void both(u32 events, prepare_fn prepare, void (*check)(struct watcher *w))
{
	static struct watcher a, b;

	run_one(&a, true, events, prepare);
	run_one(&b, false, events, prepare);
	watcher_compare(&a, &b);
	check(&a);
	watcher_close(&a);
	watcher_close(&b);
}

static void expect(const struct seen *s, enum tap_kind kind, u64 rip)
{
	assert_int_equal(s->e.kind, kind);
	assert_int_equal(s->s.rip, rip);
}

/* ---- control registers ---- */

static void prepare_cr(struct watcher *w)
{
	WATCHER_CODE(w, 0xb8, 0x08, 0, 1, 0, /* mov $0x10008, %eax */
		0x0f, 0x22, 0xd8,            /* mov %rax, %cr3 */
		0x0f, 0x20, 0xe0,            /* mov %cr4, %rax */
		0x0f, 0xba, 0xe8, 0x02,      /* bts $2, %eax (TSD) */
		0x0f, 0x22, 0xe0,            /* mov %rax, %cr4 */
		0x0f, 0x20, 0xc0,            /* mov %cr0, %rax */
		0x0f, 0xba, 0xe8, 0x03,      /* bts $3, %eax (TS) */
		0x0f, 0x22, 0xc0,            /* mov %rax, %cr0 */
		0x0f, 0x06,                  /* clts */
		0xb8, 0x05, 0, 0, 0,         /* mov $5, %eax */
		0x44, 0x0f, 0x22, 0xc0,      /* mov %rax, %cr8 */
		0x0f, 0x22, 0xd0,            /* mov %rax, %cr2: not asked */
		0xf4);
}

static void check_cr(struct watcher *w)
{
	static const struct {
		u8 cr;
		u16 at;
	} want[] = {{3, 5}, {4, 15}, {0, 25}, {0, 28}, {8, 35}};

	assert_int_equal(w->count, ARRAY_SIZE(want));
	for (unsigned i = 0; i < w->count; i++) {
		expect(&w->seen[i], TAP_CR, CODE + want[i].at);
		assert_int_equal(w->seen[i].e.cr.cr, want[i].cr);
	}
	assert_int_equal(w->seen[0].e.cr.old, PML4);
	assert_int_equal(w->seen[0].e.cr.value, PML4 | 8);
	assert_int_equal(w->seen[0].s.cr3, PML4);
	assert_int_equal(w->seen[0].e.insn_len, 3);
	assert_int_equal(w->seen[1].e.cr.value ^ w->seen[1].e.cr.old, CR4_TSD);
	assert_int_equal(w->seen[2].e.cr.value ^ w->seen[2].e.cr.old, CR0_TS);
	assert_int_equal(w->seen[3].e.cr.old ^ w->seen[3].e.cr.value, CR0_TS);
	assert_int_equal(w->seen[4].e.cr.value, 5);
}

static void test_cr(void **state)
{
	both(BIT(TAP_CR), prepare_cr, check_cr);
}

/* ---- answers, on a CR3 write ---- */

static enum tap_verdict change_cr(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	e->cr.value = PML4 | 0x10;
	return TAP_GO_ON;
}

static enum tap_verdict change_cr_wrong(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	if (e->kind == TAP_CR)
		e->cr.value = BIT64(63);
	return TAP_GO_ON;
}

static enum tap_verdict skip_it(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	return TAP_SKIP;
}

static enum tap_verdict refuse_it(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	return e->kind == TAP_CR ? TAP_REFUSE : TAP_GO_ON;
}

/* The guest would write it again: with another value. */
static enum tap_verdict retry(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	if (w->count > 1)
		return TAP_GO_ON;
	watcher_set_gpr(w, RAX, PML4 | 0x18);
	return TAP_RETRY;
}

static enum tap_verdict move_away(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	struct vcpu_state s;

	vcpu_get(v, ST_REGS, &s);
	s.rip += 3;
	assert_int_equal(vcpu_set(v, ST_REGS, &s), 0);
	return TAP_GO_ON;
}

static u64 cr3_of(struct watcher *w)
{
	struct vcpu_state s;

	vcpu_get(w->v, ST_SREGS, &s);
	return s.cr3;
}

typedef enum tap_verdict (*answer_fn)(struct watcher *w, struct vcpu *v, struct tap_event *e);

static void cr3_answered(struct watcher *w, answer_fn answer, unsigned asked, u64 cr3, u64 rip)
{
	static const u8 code[] = {0xb8, 0x08, 0, 1, 0, 0x0f, 0x22, 0xd8, 0xf4};

	watcher_code(w, CODE, code, sizeof(code));
	w->answer = answer;
	assert_int_equal(vcpu_tap_events(w->v, BIT(TAP_CR) | BIT(TAP_EXCEPTION)), 0);
	watcher_run(w);
	assert_int_equal(w->count, asked);
	assert_int_equal(cr3_of(w), cr3);
	assert_int_equal(watcher_rip(w), rip);
}

static void answers(bool step)
{
	struct watcher w;
	struct vcpu_state s;

	watcher_open(&w, step);
	vcpu_tap_cr(w.v, 3, true);
	cr3_answered(&w, NULL, 1, PML4 | 8, CODE + 9);
	cr3_answered(&w, change_cr, 1, PML4 | 0x10, CODE + 9);
	cr3_answered(&w, skip_it, 1, PML4, CODE + 9);
	cr3_answered(&w, move_away, 1, PML4, CODE + 9);
	cr3_answered(&w, refuse_it, 2, PML4, HANDLER + 1);
	cr3_answered(&w, change_cr_wrong, 2, PML4, HANDLER + 1);
	assert_int_equal(w.seen[1].e.exception.vector, X86_GP);
	expect(&w.seen[1], TAP_EXCEPTION, CODE + 5);
	cr3_answered(&w, retry, 2, PML4 | 0x18, CODE + 9);
	assert_int_equal(w.seen[1].e.cr.value, PML4 | 0x18);
	vcpu_get(w.v, ST_REGS, &s);
	watcher_close(&w);
}

static void test_answers(void **state)
{
	answers(true);
	answers(false);
}

static enum tap_verdict stop(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	return w->count < 3 ? TAP_STOP : TAP_GO_ON;
}

static void stops(bool step)
{
	struct watcher w;

	watcher_open(&w, step);
	vcpu_tap_cr(w.v, 3, true);
	vcpu_tap_events(w.v, BIT(TAP_CR));
	w.answer = stop;
	WATCHER_CODE(&w, 0xb8, 0x08, 0, 1, 0, 0x0f, 0x22, 0xd8, 0xf4);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(vcpu_run(w.v, 0), 0);
		assert_int_equal(vcpu_exit(w.v)->reason, EXIT_TAP);
		assert_int_equal(vcpu_tap_event(w.v)->kind, TAP_CR);
		assert_int_equal(watcher_rip(&w), CODE + 5);
		assert_int_equal(cr3_of(&w), PML4);
	}
	watcher_run(&w);
	assert_int_equal(w.count, 3);
	assert_int_equal(cr3_of(&w), PML4 | 8);
	watcher_close(&w);
}

static void test_stop(void **state)
{
	stops(true);
	stops(false);
}

/* Nobody is asked who has not asked for it. */
static void test_selection(void **state)
{
	struct watcher w;

	watcher_open(&w, false);
	prepare_cr(&w);
	watcher_run(&w);
	assert_int_equal(w.count, 0);
	vcpu_tap_events(w.v, BIT(TAP_CR));
	vcpu_tap_cr(w.v, 4, true);
	prepare_cr(&w);
	watcher_run(&w);
	assert_int_equal(w.count, 1);
	vcpu_tap_cr(w.v, 4, false);
	prepare_cr(&w);
	watcher_run(&w);
	assert_int_equal(w.count, 0);
	assert_int_equal(vcpu_tap_events(w.v, BIT(TAP_PAUSE)), -EINVAL);
	assert_int_equal(vcpu_tap_events(w.v, BIT(TAP_KINDS)), -EINVAL);
	assert_int_equal(vcpu_tap_msr(w.v, 0x12345, true, true), -EINVAL);
	watcher_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cr),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_selection),
	};

	return cmocka_run_group_tests_name("tap events", tests, NULL, NULL);
}
