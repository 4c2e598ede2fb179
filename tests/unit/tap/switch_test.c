/* SPDX-License-Identifier: MIT */
/* Views of memory come, change, are switched to and go: while a question is open, between runs, and at random against a model. */
#include "views.h"

#include <errno.h>

#include "engine/exit.h"

/* ---- while a question is open ---- */

static unsigned other_view;
static enum tap_verdict then;

static enum tap_verdict switch_view(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	assert_int_equal(vcpu_set_view(v, other_view), 0);
	return then;
}

static void switch_asked(struct watcher *w)
{
	unsigned view = view_new(w);

	view_deny(w, view, DATA, BIT(TAP_WRITE));
	WATCHER_CODE(w, 0x89, 0x04, 0x25, 0x10, 0x40, 0, 0, 0x89, 0x04, 0x25, 0x20, 0x40, 0, 0,
		0xf4); /* mov %eax, 0x4010; mov %eax, 0x4020 */
	w->answer = switch_view;
	other_view = 0;
	for (unsigned i = 0; i < 4; i++) {
		then = i % 2 ? TAP_RETRY : TAP_GO_ON;
		memset(w->world.ram + DATA, 0x11, PAGE_SIZE);
		assert_int_equal(view_again(w, view), 1);
		assert_int_equal(view_word_at(w, DATA + 0x10), 0);
		assert_int_equal(view_word_at(w, DATA + 0x20), 0);
		assert_int_equal(vcpu_view(w->world.v), 0);
	}
}

static void test_switch_asked(void **state)
{
	view_both(switch_asked);
}

/* From the next instruction on: its data, what it is, and whether it may be executed. */
static void switch_at_cpuid(struct watcher *w)
{
	static const u8 there[] = {0x8b, 0x3c, 0x25, 0x00, 0x40, 0, 0, 0xf4}; /* to %edi */
	unsigned view = view_new(w);

	WATCHER_CODE(w, 0x8b, 0x34, 0x25, 0x00, 0x40, 0, 0, /* mov 0x4000, %esi */
		0x31, 0xc0, 0x0f, 0xa2,                     /* xor %eax, %eax; cpuid */
		0x8b, 0x2c, 0x25, 0x00, 0x40, 0, 0, 0xf4);  /* mov 0x4000, %ebp; hlt */
	memcpy(w->world.ram + OTHER2 + 11, there, sizeof(there));
	view_lead(w, view, DATA, DATA2);
	view_lead(w, view, CODE, OTHER2);
	other_view = view;
	then = TAP_GO_ON;
	vcpu_tap_events(w->world.v, BIT(TAP_CPUID));
	w->answer = NULL;
	for (unsigned i = 0; i < 3; i++) {
		w->answer = NULL;
		assert_int_equal(view_again(w, 0), 1);
		assert_int_equal(gpr_of(w->world.v, RBP), 0x11111111);
		w->answer = switch_view;
		assert_int_equal(view_again(w, 0), 1);
		assert_int_equal(gpr_of(w->world.v, RSI), 0x11111111);
		assert_int_equal(gpr_of(w->world.v, RDI), 0x22222222);
		assert_int_equal(gpr_of(w->world.v, RBP), 0);
	}
	view_deny(w, view, CODE, BIT(TAP_FETCH));
	vcpu_tap_events(w->world.v, BIT(TAP_CPUID) | BIT(TAP_PAGE));
	assert_int_equal(view_again(w, 0), 3);
	assert_int_equal(w->seen[1].s.rip, CODE + 11);
	assert_int_equal(w->seen[1].e.page.access, TAP_FETCH);
}

static void test_switch_at_cpuid(void **state)
{
	view_both(switch_at_cpuid);
}

/* Each instruction in the view that was chosen between it and the one before. */
static enum tap_verdict alternate(struct watcher *w, struct vcpu *v, struct tap_event *e)
{
	assert_int_equal(e->kind, TAP_STEP);
	assert_int_equal(vcpu_set_view(v, w->count % 2 ? other_view : 0), 0);
	return TAP_GO_ON;
}

static void switch_stepping(struct watcher *w)
{
	unsigned view = view_new(w);

	view_lead(w, view, DATA, DATA2);
	other_view = view;
	w->answer = alternate;
	WATCHER_CODE(w, 0x90, 0x8b, 0x04, 0x25, 0x00, 0x40, 0, 0, /* nop; mov 0x4000, %eax */
		0x8b, 0x1c, 0x25, 0x00, 0x40, 0, 0,               /* to %ebx */
		0x8b, 0x34, 0x25, 0x00, 0x40, 0, 0, 0xf4);        /* to %esi; hlt */
	for (unsigned i = 0; i < 3; i++) {
		vcpu_tap_events(w->world.v, 0);
		vcpu_tap_events(w->world.v, BIT(TAP_STEP));
		assert_int_equal(view_again(w, 0), 4);
		assert_int_equal(view_eax(w), 0x22222222);
		assert_int_equal(gpr_of(w->world.v, RBX), 0x11111111);
		assert_int_equal(gpr_of(w->world.v, RSI), 0x22222222);
	}
}

static void test_switch_stepping(void **state)
{
	view_both(switch_stepping);
}

/* One that a device has answered is finished where it began; and it may be gone by then. */
static void switch_answered(struct watcher *w)
{
	unsigned view = view_new(w), short_lived = view_new(w);
	struct exit *x = vcpu_exit(w->world.v);

	view_lead(w, view, CODE, OTHER2);
	view_lead(w, short_lived, DATA, DATA2);
	WATCHER_CODE(w, 0xe4, 0x60, 0x8b, 0x1c, 0x25, 0, 0x40, 0, 0,
		0xf4); /* in $0x60, %al; mov 0x4000, %ebx; hlt */
	memset(w->world.ram + OTHER2, 0xf4, 32);
	for (unsigned i = 0; i < 3; i++) {
		view_enter(w, short_lived);
		watcher_start(w);
		assert_int_equal(vcpu_run(w->world.v, 0), 0);
		assert_int_equal(x->reason, EXIT_IO_IN);
		x->io.data[0] = 0x77;
		view_enter(w, view);
		if (i == 2)
			assert_int_equal(machine_destroy_view(w->world.m, short_lived), 0);
		watcher_run(w);
		/* i == 2: in the new view it is another instruction. */
		assert_int_equal(rip_of(w->world.v), i == 2 ? CODE + 1 : CODE + 3);
		assert_int_equal(view_eax(w), i == 2 ? 0 : 0x77);
	}
}

static void test_switch_answered(void **state)
{
	view_both(switch_answered);
}

/* The exception is delivered where it was asked about, and its handler begins in the new view. */
static void switch_at_exception(struct watcher *w)
{
	unsigned view = view_new(w);

	memset(w->world.ram + OTHER2, 0x90, 8);
	memcpy(w->world.ram + OTHER2, "\xff\xc3\xf4", 3); /* inc %ebx; hlt */
	memcpy(w->world.ram + HANDLER, "\x90\xf4", 2);
	view_lead(w, view, HANDLER, OTHER2);
	view_lead(w, view, IDT, 0x300000);
	other_view = view;
	then = TAP_GO_ON;
	w->answer = switch_view;
	vcpu_tap_events(w->world.v, BIT(TAP_EXCEPTION));
	WATCHER_CODE(w, 0x0f, 0x0b);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(view_again(w, 0), 1);
		assert_int_equal(gpr_of(w->world.v, RBX), 1);
		assert_int_equal(rip_of(w->world.v), HANDLER + 3);
	}
}

static void test_switch_at_exception(void **state)
{
	view_both(switch_at_exception);
}

/* ---- a life ---- */

static void test_life(void **state)
{
	struct machine *m;
	struct watcher w;
	unsigned view, n;
	u32 rights;

	view_begin(&w, false);
	m = w.world.m;
	assert_int_equal(vcpu_set_view(w.world.v, 1), -ENOENT);
	assert_int_equal(vcpu_set_view(w.world.v, VIEWS_MAX), -ENOENT);
	assert_int_equal(machine_destroy_view(m, 0), -EINVAL);
	assert_int_equal(machine_destroy_view(m, 1), -ENOENT);
	assert_int_equal(machine_destroy_view(m, ~0u), -ENOENT);
	assert_int_equal(machine_view_remap(m, 1, 1, 2), -ENOENT);
	assert_int_equal(machine_view_remap(m, 0, BIT64(40), 2), -EINVAL);
	assert_int_equal(machine_view_remap(m, 0, 2, BIT64(40)), -EINVAL);
	assert_int_equal(machine_page_rights(m, 1, 0, &rights), -ENOENT);
	assert_int_equal(machine_set_page_rights(m, 1, &(struct page_rights){0, 1}, 1), -ENOENT);
	for (n = 1; n < VIEWS_MAX; n++) {
		assert_int_equal(machine_create_view(m, &view), 0);
		assert_int_equal(view, n);
	}
	view = 12345;
	assert_int_equal(machine_create_view(m, &view), -ENOSPC);
	assert_int_equal(view, 12345);
	view_enter(&w, 77);
	assert_int_equal(machine_destroy_view(m, 77), -EBUSY);
	view_enter(&w, 78);
	assert_int_equal(machine_destroy_view(m, 77), 0);
	assert_int_equal(vcpu_set_view(w.world.v, 77), -ENOENT);
	assert_int_equal(vcpu_view(w.world.v), 78);
	/* It comes back as new. */
	view_deny(&w, 79, DATA, BIT(TAP_READ));
	view_lead(&w, 79, DATA, DATA2);
	assert_int_equal(machine_destroy_view(m, 79), 0);
	assert_int_equal(machine_create_view(m, &view), 0);
	assert_int_equal(machine_create_view(m, &view), 0);
	assert_int_equal(view, 79);
	WATCHER_CODE(&w, 0x8b, 0x04, 0x25, 0x00, 0x40, 0, 0, 0xf4);
	assert_int_equal(view_again(&w, 79), 0);
	assert_int_equal(view_eax(&w), 0x11111111);
	/* All goes with the subscriber; view 0's remaps, too. */
	view_lead(&w, 79, DATA, DATA2);
	view_lead(&w, 0, DATA, DATA2);
	assert_int_equal(view_result(&w, 0), 0x22222222);
	view_enter(&w, 79);
	machine_set_tap(m, NULL, NULL);
	assert_int_equal(vcpu_view(w.world.v), 0);
	assert_int_equal(vcpu_set_view(w.world.v, 79), -ENOENT);
	assert_int_equal(view_result(&w, 0), 0x11111111);
	watcher_close(&w);
}

/* A vcpu that is made when view 0 denies something. */
static void test_new_vcpu(void **state)
{
	struct vcpu_state s;
	struct watcher w;
	struct vcpu *v, *first;

	view_begin(&w, false);
	view_deny(&w, 0, DATA, BIT(TAP_READ));
	WATCHER_CODE(&w, 0x8b, 0x04, 0x25, 0x00, 0x40, 0, 0, 0xf4);
	v = world_add_vcpu(&w.world);
	vcpu_tap_events(v, BIT(TAP_PAGE));
	vcpu_get(w.world.v, ~0u, &s);
	assert_int_equal(vcpu_set(v, ST_REGS | ST_SREGS, &s), 0);
	first = w.world.v;
	run_to(v, EXIT_HLT);
	assert_int_equal(w.count, 1);
	assert_int_equal(vcpu_view(v), 0);
	assert_ptr_equal(first, w.world.v);
	watcher_close(&w);
}

/* ---- at random, against a model ---- */

#define PAGES   8u
#define PAGE_AT 0x18000u
#define RESULTS 0x6000u
#define VIEWS   5u

struct model {
	unsigned view[VIEWS]; /* the numbers */
	u8 to[VIEWS][PAGES];
	bool denied[VIEWS][PAGES];
	u32 tag[PAGES];
};

static u32 dice;

static unsigned roll(unsigned n)
{
	dice = dice * 1664525 + 1013904223;
	return (dice >> 12) % n;
}

/* mov page, %eax; mov %eax, result; incl page + 4 */
static void put_reader(struct watcher *w)
{
	u8 code[PAGES * 21 + 1], *p = code;

	for (u32 i = 0; i < PAGES; i++) {
		u32 at = PAGE_AT + i * PAGE_SIZE, result = RESULTS + i * 4, count = at + 4;

		memcpy(p, "\x8b\x04\x25", 3);
		memcpy(p + 3, &at, 4);
		memcpy(p + 7, "\x89\x04\x25", 3);
		memcpy(p + 10, &result, 4);
		memcpy(p + 14, "\xff\x04\x25", 3);
		memcpy(p + 17, &count, 4);
		p += 21;
	}
	*p = 0xf4;
	watcher_code(w, CODE, code, sizeof(code));
}

static void change(struct watcher *w, struct model *m)
{
	unsigned v = roll(VIEWS), i = roll(PAGES);

	if (roll(2)) {
		m->to[v][i] = (u8)roll(PAGES);
		view_lead(
			w, m->view[v], PAGE_AT + i * PAGE_SIZE, PAGE_AT + m->to[v][i] * PAGE_SIZE);
	} else {
		m->denied[v][i] = roll(2);
		view_deny(w, m->view[v], PAGE_AT + i * PAGE_SIZE,
			m->denied[v][i] ? BIT(TAP_READ) : 0);
	}
}

static void look(struct watcher *w, const struct model *m, u32 count[PAGES])
{
	unsigned v = roll(VIEWS), asked = 0;

	view_again(w, m->view[v]);
	for (unsigned i = 0; i < PAGES; i++) {
		unsigned to = m->to[v][i];

		count[to]++;
		asked += m->denied[v][i] * 2; /* by the load, and by what reads before it writes */
		assert_int_equal(view_word_at(w, RESULTS + i * 4), to + 1);
	}
	assert_int_equal(w->count, asked);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(view_word_at(w, PAGE_AT + i * PAGE_SIZE + 4), count[i]);
}

static void at_random(struct watcher *w)
{
	struct model m = {0};
	u32 count[PAGES] = {0};

	dice = 1;
	put_reader(w);
	for (u32 i = 0; i < PAGES; i++) {
		const u32 words[2] = {i + 1, 0};

		memcpy(w->world.ram + PAGE_AT + i * PAGE_SIZE, words, 8);
	}
	for (unsigned v = 0; v < VIEWS; v++) {
		m.view[v] = v ? view_new(w) : 0;
		for (u8 i = 0; i < PAGES; i++)
			m.to[v][i] = i;
	}
	for (unsigned n = 0; n < 400; n++) {
		change(w, &m);
		look(w, &m, count);
	}
}

static void test_at_random(void **state)
{
	view_both(at_random);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_switch_asked),
		cmocka_unit_test(test_switch_at_cpuid),
		cmocka_unit_test(test_switch_stepping),
		cmocka_unit_test(test_switch_answered),
		cmocka_unit_test(test_switch_at_exception),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_new_vcpu),
		cmocka_unit_test(test_at_random),
	};

	return cmocka_run_group_tests_name("tap switches of views", tests, NULL, NULL);
}
