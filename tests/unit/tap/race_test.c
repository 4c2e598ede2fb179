/* SPDX-License-Identifier: MIT */
/*
 * Two vcpus run while another thread subscribes, changes what is asked and the rights of pages, and goes. Also a test for
 * the thread sanitizer.
 */
#include "watcher.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "engine/exit.h"

#define COUNTER 0x6000u /* vcpu 0's, the other one's is 8 bytes further */

static struct watcher w;
static struct vcpu *second;
static _Atomic bool stop;
static _Atomic unsigned wrong, asked[TAP_KINDS];
static _Atomic bool
	closed; /* the page of counters may not be written, and the setter has returned */

static u64 counter(unsigned i)
{
	return __atomic_load_n((u64 *)(w.world.ram + COUNTER + i * 8), __ATOMIC_SEQ_CST);
}

static void wait_until_runs(void)
{
	u64 a = counter(0), b = counter(1);

	while (counter(0) == a || counter(1) == b)
		sched_yield();
}

/* Until told to stop. */
static void *run_vcpu(void *opaque)
{
	while (!atomic_load(&stop))
		if (vcpu_run(opaque, 0))
			atomic_fetch_add(&wrong, 1);
	return NULL;
}

static enum tap_verdict count(void *opaque, struct vcpu *v, struct tap_event *e)
{
	atomic_fetch_add(&asked[e->kind], 1);
	return TAP_GO_ON;
}

static enum tap_verdict retry(void *opaque, struct vcpu *v, struct tap_event *e)
{
	atomic_fetch_add(&asked[e->kind], 1);
	return e->kind == TAP_PAGE ? TAP_RETRY : TAP_GO_ON;
}

/* vcpu 1 begins where vcpu 0 does: with the registers of long mode, rbx pointing to its counter. */
static void open_two(void)
{
	static const u8 code[] = {0x48, 0xff, 0x03, /* incq (%rbx) */
		0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, /* mov %cr3, %rax; mov %rax, %cr3 */
		0xcd, 0x21, 0xeb, 0xf3};            /* int $0x21; jmp */
	struct vcpu_state s;

	watcher_open(&w, false);
	machine_set_tap(w.world.m, NULL, NULL);
	memcpy(w.world.ram + HANDLER, "\x48\xcf", 2);
	watcher_code(&w, CODE, code, sizeof(code));
	watcher_set_gpr(&w, RBX, COUNTER);
	vcpu_get(w.world.v, ~0u, &s);
	assert_int_equal(vcpu_create(w.world.m, 1, &second), 0);
	s.gpr[RBX] = COUNTER + 8;
	s.gpr[RSP] = STACK - 0x800;
	vcpu_set(second, ST_REGS | ST_SREGS, &s);
}

static void close_two(void)
{
	machine_set_tap(w.world.m, NULL, NULL);
	vcpu_destroy(second);
	watcher_close(&w);
}

static void run_two(pthread_t thread[2])
{
	atomic_store(&stop, false);
	pthread_create(&thread[0], NULL, run_vcpu, w.world.v);
	pthread_create(&thread[1], NULL, run_vcpu, second);
	wait_until_runs();
}

static void end_two(pthread_t thread[2])
{
	atomic_store(&stop, true);
	vcpu_kick(w.world.v);
	vcpu_kick(second);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	assert_int_equal(atomic_load(&wrong), 0);
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

/* ---- what is asked changes while they run ---- */

static void test_changes(void **state)
{
	static const struct tap ops = {.event = count};
	const u32 events = BIT(TAP_CR) | BIT(TAP_SOFT_INT) | BIT(TAP_STEP) | BIT(TAP_PAGE);
	pthread_t thread[2];

	open_two();
	run_two(thread);
	for (unsigned i = 0; i < 60; i++) {
		struct vcpu *v = i & 1 ? second : w.world.v;
		struct page_rights p = {COUNTER, i & 2 ? RIGHTS_ALL : RIGHTS_ALL & ~i};

		assert_int_equal(machine_set_tap(w.world.m, &ops, NULL), 0);
		vcpu_tap_cr(v, 3, true);
		vcpu_tap_events(v, events & (i * 0x9e3779b1u >> 8 | BIT(i % 10)));
		machine_set_page_rights(w.world.m, 0, &p, 1);
		vcpu_tap_pause(v);
		nap();
		machine_set_tap(w.world.m, NULL, NULL);
		/* Nobody is asked any more. */
		unsigned before = 0, after = 0;
		for (unsigned k = 0; k < TAP_KINDS; k++)
			before += atomic_load(&asked[k]);
		nap();
		for (unsigned k = 0; k < TAP_KINDS; k++)
			after += atomic_load(&asked[k]);
		assert_int_equal(before, after);
	}
	wait_until_runs();
	end_two(thread);
	assert_true(atomic_load(&asked[TAP_CR]) && atomic_load(&asked[TAP_PAGE]) &&
		    atomic_load(&asked[TAP_STEP]) && atomic_load(&asked[TAP_PAUSE]));
	close_two();
}

/* ---- rights hold on all vcpus when the setter returns ---- */

/* Whoever is asked waits until the page is open again. */
static enum tap_verdict hold(void *opaque, struct vcpu *v, struct tap_event *e)
{
	atomic_fetch_add(&asked[e->kind], 1);
	while (e->kind == TAP_PAGE && atomic_load(&closed) && !atomic_load(&stop))
		sched_yield();
	return TAP_RETRY;
}

static void test_rights(void **state)
{
	static const struct tap ops = {.event = hold};
	struct page_rights shut = {COUNTER, RIGHTS_ALL & ~BIT(TAP_WRITE)};
	struct page_rights open = {COUNTER, RIGHTS_ALL};
	pthread_t thread[2];

	open_two();
	machine_set_tap(w.world.m, &ops, NULL);
	vcpu_tap_events(w.world.v, BIT(TAP_PAGE));
	vcpu_tap_events(second, BIT(TAP_PAGE));
	run_two(thread);
	for (unsigned i = 0; i < 30; i++) {
		u64 a, b;

		atomic_store(&closed, true);
		assert_int_equal(machine_set_page_rights(w.world.m, 0, &shut, 1), 0);
		a = counter(0);
		b = counter(1);
		nap();
		assert_int_equal(counter(0), a);
		assert_int_equal(counter(1), b);
		assert_int_equal(machine_set_page_rights(w.world.m, 0, &open, 1), 0);
		atomic_store(&closed, false);
		wait_until_runs();
	}
	end_two(thread);
	close_two();
}

/* ---- paused: no instruction after the call ---- */

static enum tap_verdict hold_pause(void *opaque, struct vcpu *v, struct tap_event *e)
{
	while (e->kind == TAP_PAUSE && atomic_load(&closed))
		sched_yield();
	return TAP_GO_ON;
}

static void test_pause(void **state)
{
	static const struct tap ops = {.event = hold_pause};
	pthread_t thread[2];

	open_two();
	machine_set_tap(w.world.m, &ops, NULL);
	run_two(thread);
	for (unsigned i = 0; i < 30; i++) {
		u64 a, b;

		atomic_store(&closed, true);
		vcpu_tap_pause(w.world.v);
		vcpu_tap_pause(second);
		a = counter(0);
		b = counter(1);
		nap();
		assert_int_equal(counter(0), a);
		assert_int_equal(counter(1), b);
		atomic_store(&closed, false);
		wait_until_runs();
	}
	end_two(thread);
	close_two();
}

static _Atomic bool held, let_go;

static enum tap_verdict hold_first(void *opaque, struct vcpu *v, struct tap_event *e)
{
	if (e->kind == TAP_PAUSE)
		atomic_store(&held, true);
	while (e->kind == TAP_PAUSE && !atomic_load(&let_go))
		sched_yield();
	return TAP_GO_ON;
}

/* Pauses that nobody has been told of are over when the subscriber goes, also the one that a vcpu is just about to tell of. */
static void test_pauses_go(void **state)
{
	static const struct tap ops = {.event = hold_first};
	pthread_t thread[2];

	open_two();
	run_two(thread);
	for (unsigned i = 0; i < 60; i++) {
		atomic_store(&held, false);
		atomic_store(&let_go, false);
		assert_int_equal(machine_set_tap(w.world.m, &ops, NULL), 0);
		vcpu_tap_pause(w.world.v);
		while (!atomic_load(&held))
			sched_yield();
		for (unsigned n = 0; n < 5000; n++)
			vcpu_tap_pause(w.world.v);
		atomic_store(&let_go, true);
		machine_set_tap(w.world.m, NULL, NULL);
		wait_until_runs();
	}
	end_two(thread);
	close_two();
}

/* ---- who says retry for ever can be called away from ---- */

static void test_retry_forever(void **state)
{
	static const struct tap ops = {.event = retry};
	struct page_rights shut = {COUNTER, RIGHTS_ALL & ~BIT(TAP_WRITE)};
	pthread_t thread[2];

	open_two();
	machine_set_tap(w.world.m, &ops, NULL);
	vcpu_tap_events(w.world.v, BIT(TAP_PAGE));
	vcpu_tap_events(second, BIT(TAP_PAGE));
	run_two(thread);
	assert_int_equal(machine_set_page_rights(w.world.m, 0, &shut, 1), 0);
	atomic_store(&asked[TAP_PAGE], 0);
	while (atomic_load(&asked[TAP_PAGE]) < 1000)
		sched_yield();
	end_two(thread);
	close_two();
}

/* ---- the subscriber opens pages from within, while others shut them; a third vcpu comes and goes ---- */

static enum tap_verdict open_again(void *opaque, struct vcpu *v, struct tap_event *e)
{
	const struct page_rights open = {COUNTER, RIGHTS_ALL};
	struct vcpu_state s;

	atomic_fetch_add(&asked[e->kind], 1);
	if (e->kind != TAP_PAGE)
		return TAP_GO_ON;
	vcpu_get(v, ST_REGS | ST_SREGS, &s);
	if (s.rip != CODE || machine_set_page_rights(w.world.m, 0, &open, 1))
		atomic_fetch_add(&wrong, 1);
	return TAP_RETRY;
}

static void *come_and_go(void *opaque)
{
	struct vcpu *v;

	while (!atomic_load(&stop)) {
		if (vcpu_create(w.world.m, 2, &v))
			atomic_fetch_add(&wrong, 1);
		else
			vcpu_destroy(v);
	}
	return NULL;
}

static void test_from_within(void **state)
{
	static const struct tap ops = {.event = open_again};
	const struct page_rights shut = {COUNTER, RIGHTS_ALL & ~BIT(TAP_READ)};
	pthread_t thread[2], third;

	open_two();
	run_two(thread);
	pthread_create(&third, NULL, come_and_go, NULL);
	for (unsigned i = 0; i < 10; i++) {
		atomic_store(&asked[TAP_PAGE], 0);
		assert_int_equal(machine_set_tap(w.world.m, &ops, NULL), 0);
		vcpu_tap_events(w.world.v, BIT(TAP_PAGE));
		vcpu_tap_events(second, BIT(TAP_PAGE));
		while (atomic_load(&asked[TAP_PAGE]) < 5) {
			assert_int_equal(machine_set_page_rights(w.world.m, 0, &shut, 1), 0);
			sched_yield();
		}
		assert_int_equal(machine_set_tap(w.world.m, NULL, NULL), 0);
	}
	wait_until_runs();
	end_two(thread);
	pthread_join(third, NULL);
	assert_true(atomic_load(&asked[TAP_END]));
	close_two();
}

/* ---- the second vcpu counts elsewhere from when the call has returned ---- */

#define SPARE(n) (0x20000u + (n)*PAGE_SIZE)

static u64 counter_at(u32 page)
{
	return __atomic_load_n((u64 *)(w.world.ram + page + 8), __ATOMIC_SEQ_CST);
}

static void counts_only_in(u32 page)
{
	static const u32 pages[] = {COUNTER, SPARE(0), SPARE(1)};
	u64 before[ARRAY_SIZE(pages)], first = counter(0);

	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
		before[i] = counter_at(pages[i]);
	nap();
	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
		while (pages[i] == page && counter_at(page) == before[i])
			sched_yield();
	while (counter(0) == first)
		sched_yield();
	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
		if (pages[i] != page)
			assert_int_equal(counter_at(pages[i]), before[i]);
}

/* Views are made and destroyed beside it; that of the second vcpu never. */
static void *other_views(void *opaque)
{
	unsigned used = *(unsigned *)opaque, view;
	int r;

	while (!atomic_load(&stop)) {
		if (machine_create_view(w.world.m, &view) || view == used ||
			machine_view_remap(w.world.m, view, COUNTER >> PAGE_SHIFT, 1) ||
			machine_destroy_view(w.world.m, view))
			atomic_fetch_add(&wrong, 1);
		r = machine_destroy_view(w.world.m, used);
		if (r != -EBUSY)
			atomic_fetch_add(&wrong, 1);
		nap();
	}
	return NULL;
}

static void remap_counter(unsigned view, u32 to)
{
	assert_int_equal(
		machine_view_remap(w.world.m, view, COUNTER >> PAGE_SHIFT, to >> PAGE_SHIFT), 0);
}

static void test_views(void **state)
{
	pthread_t thread[2], third;
	unsigned a, b;

	open_two();
	assert_int_equal(machine_create_view(w.world.m, &a), 0);
	assert_int_equal(machine_create_view(w.world.m, &b), 0);
	remap_counter(a, SPARE(0));
	run_two(thread);
	assert_int_equal(vcpu_set_view(second, a), 0);
	for (unsigned i = 0; i < 20; i++) {
		remap_counter(b, SPARE(i % 2));
		assert_int_equal(vcpu_set_view(second, b), 0);
		counts_only_in(SPARE(i % 2));
		remap_counter(b, SPARE(!(i % 2)));
		counts_only_in(SPARE(!(i % 2)));
		assert_int_equal(vcpu_set_view(second, 0), 0);
		counts_only_in(COUNTER);
	}
	assert_int_equal(vcpu_set_view(second, a), 0);
	pthread_create(&third, NULL, other_views, &a);
	for (unsigned i = 0; i < 40; i++) {
		remap_counter(a, SPARE(i % 2));
		counts_only_in(SPARE(i % 2));
	}
	end_two(thread);
	pthread_join(third, NULL);
	close_two();
}

/* ---- both are asked, and answer by going from one view to the other ---- */

static unsigned ring[4];

static enum tap_verdict go_round(void *opaque, struct vcpu *v, struct tap_event *e)
{
	unsigned n = atomic_fetch_add(&asked[e->kind], 1);

	if (e->kind != TAP_CR && e->kind != TAP_PAGE)
		return TAP_GO_ON;
	if (vcpu_set_view(v, ring[n % ARRAY_SIZE(ring)]))
		atomic_fetch_add(&wrong, 1);
	return n % 3 ? TAP_GO_ON : TAP_RETRY;
}

static void test_switches(void **state)
{
	static const struct tap ops = {.event = go_round};
	const struct page_rights shut = {COUNTER, RIGHTS_ALL & ~BIT(TAP_WRITE)};
	pthread_t thread[2];
	struct vcpu *v[2];

	open_two();
	assert_int_equal(machine_set_tap(w.world.m, &ops, NULL), 0);
	for (unsigned i = 1; i < ARRAY_SIZE(ring); i++)
		assert_int_equal(machine_create_view(w.world.m, &ring[i]), 0);
	assert_int_equal(machine_set_page_rights(w.world.m, ring[1], &shut, 1), 0);
	remap_counter(ring[2], SPARE(0));
	v[0] = w.world.v;
	v[1] = second;
	for (unsigned i = 0; i < 2; i++) {
		vcpu_tap_cr(v[i], 3, true);
		vcpu_tap_events(v[i], BIT(TAP_CR) | BIT(TAP_PAGE));
	}
	run_two(thread);
	atomic_store(&asked[TAP_PAGE], 0);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(vcpu_set_view(v[i % 2], ring[i % 4]), 0);
		remap_counter(ring[3], i % 2 ? COUNTER : SPARE(1));
		nap();
	}
	while (atomic_load(&asked[TAP_PAGE]) < 100)
		sched_yield();
	end_two(thread);
	close_two();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_pauses_go),
		cmocka_unit_test(test_retry_forever),
		cmocka_unit_test(test_from_within),
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_switches),
	};

	return cmocka_run_group_tests_name("tap races", tests, NULL, NULL);
}
