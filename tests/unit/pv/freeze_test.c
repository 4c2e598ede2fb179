/* SPDX-License-Identifier: MIT */
/*
 * Frozen time as a guest of Hyper-V's interface sees it: synthetic timers while the vcpu sleeps, reference time and the page
 * by which the guest computes it.
 */
#include <pthread.h>
#include <time.h>

#include "tests/unit/world/hvguest.h"
#include "engine/core/vcpu.h"
#include "engine/pv/hyperv/hv.h"

#define MS 10000ull /* of reference time */

static void nap_ms(long ms)
{
	struct timespec ts = {.tv_nsec = ms * 1000000};

	nanosleep(&ts, NULL);
}

/* ---- a vcpu that sleeps until its timer's interrupt ---- */

static _Atomic bool woken;

static void *sleeper(void *opaque)
{
	struct world *w = opaque;

	wait_for_interrupt(w);
	atomic_store(&woken, true);
	return NULL;
}

static pthread_t sleep_until_timer(struct world *w)
{
	pthread_t thread;

	atomic_store(&woken, false);
	assert_int_equal(pthread_create(&thread, NULL, sleeper, w), 0);
	while (atomic_load(&w->v->where) != VCPU_ASLEEP && !atomic_load(&woken))
		nap_ms(1);
	return thread;
}

/* Freezes the vcpu's time in its sleep. False: on a busy machine that was over already. */
static bool stays_asleep(struct world *w, u64 due)
{
	u64 at;

	machine_freeze_time(w->m, true);
	at = hv_reference_time(w->m);
	if (at >= due)
		return false;
	nap_ms(60);
	assert_false(atomic_load(&woken));
	assert_int_equal(hv_reference_time(w->m), at);
	return true;
}

static void assert_wakes_after(struct world *w, pthread_t thread, u64 at)
{
	machine_freeze_time(w->m, false);
	pthread_join(thread, NULL);
	assert_true(atomic_load(&woken));
	assert_true(reference_time(w) >= at);
	hv_eoi(w);
}

static void timer_world(struct world *w)
{
	hv_open(w, true);
	enable_interrupts(w);
}

static void test_message(void **state)
{
	struct world w;
	u64 due, expiry;
	pthread_t t;

	timer_world(&w);
	assert_int_equal(vcpu_set_msr(w.v, SIMP, PAGE_AT | 1, true), 0);
	wrmsr(&w, SINT2, VECTOR);
	due = reference_time(&w) + 20 * MS;
	wrmsr(&w, STIMER0_COUNT, due);
	wrmsr(&w, STIMER0_CONFIG, 2 << 16 | 1);
	t = sleep_until_timer(&w);
	stays_asleep(&w, due);
	assert_wakes_after(&w, t, due);
	memcpy(&expiry, w.ram + PAGE_AT + 2 * 256 + 16 + 8, 8);
	assert_int_equal(expiry, due);
	world_close(&w);
}

static void test_direct_periodic(void **state)
{
	struct world w;
	pthread_t t;
	u64 start;

	timer_world(&w);
	wrmsr(&w, STIMER0_COUNT, 15 * MS);
	start = reference_time(&w);
	wrmsr(&w, STIMER0_CONFIG, 3 | BIT(12) | VECTOR << 4);
	for (unsigned i = 1; i <= 3; i++) {
		t = sleep_until_timer(&w);
		stays_asleep(&w, start + i * 15 * MS);
		assert_wakes_after(&w, t, start + i * 15 * MS);
	}
	world_close(&w);
}

/* The VMM sets it while time stands: so much is left when it goes on. */
static void test_set_while_frozen(void **state)
{
	struct world w;
	pthread_t t;
	u64 start;

	timer_world(&w);
	machine_freeze_time(w.m, true);
	start = reference_time(&w);
	assert_int_equal(vcpu_set_msr(w.v, STIMER0_CONFIG, BIT(12) | VECTOR << 4 | 1, true), 0);
	assert_int_equal(vcpu_set_msr(w.v, STIMER0_COUNT, start + 5 * MS, true), 0);
	t = sleep_until_timer(&w);
	assert_true(stays_asleep(&w, start + 5 * MS));
	assert_wakes_after(&w, t, start + 5 * MS);
	world_close(&w);
}

/* A one-shot timer is an absolute time: with a clock that is set beyond it, it is over. */
static void test_clock_set(void **state)
{
	struct world w;
	pthread_t t;

	timer_world(&w);
	wrmsr(&w, STIMER0_COUNT, 1000000 * MS);
	wrmsr(&w, STIMER0_CONFIG, BIT(12) | VECTOR << 4 | 1);
	t = sleep_until_timer(&w);
	assert_true(stays_asleep(&w, 1000000 * MS));
	machine_set_clock(w.m, 999990 * MS * 100);
	nap_ms(60);
	assert_false(atomic_load(&woken));
	assert_wakes_after(&w, t, 1000000 * MS);
	world_close(&w);
}

/* ---- reference time ---- */

static u64 by_page(struct world *w)
{
	u64 scale;
	s64 offset;

	memcpy(&scale, w->ram + PAGE_AT + 8, 8);
	memcpy(&offset, w->ram + PAGE_AT + 16, 8);
	return (u64)((unsigned __int128)msr_of(w, 0x10) * scale >> 64) + (u64)offset;
}

static void assert_page_right(struct world *w)
{
	u64 before = reference_time(w), page = by_page(w);

	assert_in_range(page, before, reference_time(w));
}

static void test_page(void **state)
{
	struct world w;
	u64 at;

	hv_open(&w, false);
	wrmsr(&w, REFERENCE_TSC, PAGE_AT | 1);
	machine_freeze_time(w.m, true);
	at = reference_time(&w);
	nap_ms(20);
	assert_int_equal(reference_time(&w), at);
	assert_page_right(&w);
	machine_freeze_time(w.m, false);
	assert_page_right(&w);
	assert_true(reference_time(&w) >= at);

	/* Each of the two is set, in either order. */
	for (unsigned i = 0; i < 2; i++) {
		machine_freeze_time(w.m, true);
		if (i)
			assert_int_equal(vcpu_set_msr(w.v, 0x10, BIT64(45), true), 0);
		machine_set_clock(w.m, 7000000000ull);
		if (!i)
			assert_int_equal(vcpu_set_msr(w.v, 0x10, BIT64(44), true), 0);
		assert_in_range(reference_time(&w), 70000000 - 1, 70000000 + 1);
		assert_page_right(&w);
		machine_freeze_time(w.m, false);
		assert_page_right(&w);
		assert_in_range(reference_time(&w), 70000000 - 1, 670000000);
	}
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_direct_periodic),
		cmocka_unit_test(test_set_while_frozen),
		cmocka_unit_test(test_clock_set),
		cmocka_unit_test(test_page),
	};

	return cmocka_run_group_tests_name("hv-freeze", tests, NULL, NULL);
}
