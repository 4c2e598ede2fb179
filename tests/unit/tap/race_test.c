/* SPDX-License-Identifier: MIT */
/*
 * Two vcpus run while another thread subscribes, changes what is asked and the rights of pages, and goes. Also a test for
 * the thread sanitizer.
 */
#include "watcher.h"

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
		machine_set_page_rights(w.world.m, &p, 1);
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
		assert_int_equal(machine_set_page_rights(w.world.m, &shut, 1), 0);
		a = counter(0);
		b = counter(1);
		nap();
		assert_int_equal(counter(0), a);
		assert_int_equal(counter(1), b);
		assert_int_equal(machine_set_page_rights(w.world.m, &open, 1), 0);
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
	assert_int_equal(machine_set_page_rights(w.world.m, &shut, 1), 0);
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
	if (s.rip != CODE || machine_set_page_rights(w.world.m, &open, 1))
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
			assert_int_equal(machine_set_page_rights(w.world.m, &shut, 1), 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_rights),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_retry_forever),
		cmocka_unit_test(test_from_within),
	};

	return cmocka_run_group_tests_name("tap races", tests, NULL, NULL);
}
