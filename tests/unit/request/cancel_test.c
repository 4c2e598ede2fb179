/* SPDX-License-Identifier: MIT */
/*
 * A thread that its program has cancelled (pthread_cancel()) ends when it has come out of the engine, not while it waits there
 * with what it holds.
 */
#include "tests/unit/world/world.h"

#include <pthread.h>

#include "base/sys.h"
#include "engine/core/machine.h"
#include "engine/exit.h"
#include "engine/request/pause.h"
#include "engine/tap.h"

static struct world w;

/* Others wait for the machine to be resumed. */
static void await_waiters(unsigned n)
{
	while (atomic_load(&w.m->resumed.waiters) < n)
		sys_sched_yield();
}

static void came_out(pthread_t thread)
{
	void *result;

	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, &w);
}

/* Whoever comes next finds nothing held. */
static void is_free(void)
{
	machine_pause(w.m);
	machine_resume(w.m);
}

static int setup(void **state)
{
	world_open(&w, IRQCHIP_NONE);
	return 0;
}

static int teardown(void **state)
{
	world_close(&w);
	return 0;
}

/* ---- a request that pauses the machine ---- */

static void *set_exits(void *opaque)
{
	pthread_cancel(pthread_self());
	machine_set_msr_exits(w.m, 0);
	return opaque;
}

static void test_pausing(void **state)
{
	pthread_t thread;

	machine_pause(w.m);
	assert_int_equal(pthread_create(&thread, NULL, set_exits, &w), 0);
	await_waiters(1);
	machine_resume(w.m);
	came_out(thread);
	is_free();
}

/* ---- a vcpu that is held meanwhile ---- */

static void *run(void *opaque)
{
	pthread_cancel(pthread_self());
	return vcpu_run(w.v, 0) || vcpu_exit(w.v)->reason != EXIT_HLT ? NULL : opaque;
}

static void test_held(void **state)
{
	pthread_t thread;

	WORLD_CODE(&w, 0xf4);
	machine_pause(w.m);
	assert_int_equal(pthread_create(&thread, NULL, run, &w), 0);
	await_waiters(1);
	machine_resume(w.m);
	came_out(thread);
	is_free();
}

/* ---- a subscriber that goes while another thread is in it ---- */

static _Atomic bool let_go;

static enum tap_verdict event(void *opaque, struct vcpu *v, struct tap_event *e)
{
	while (e->kind == TAP_BIRTH && !atomic_load(&let_go))
		sys_sched_yield();
	return TAP_GO_ON;
}

static void *unsubscribe(void *opaque)
{
	pthread_cancel(pthread_self());
	machine_set_tap(w.m, NULL, NULL);
	return opaque;
}

static bool subscriber_is_busy(void)
{
	bool busy;

	pthread_mutex_lock(&w.m->tap.lock);
	busy = w.m->tap.busy;
	pthread_mutex_unlock(&w.m->tap.lock);
	return busy;
}

static void test_unsubscribing(void **state)
{
	static const struct tap ops = {.event = event};
	pthread_t runner, thread;

	atomic_store(&let_go, false);
	WORLD_CODE(&w, 0xf4);
	assert_int_equal(machine_set_tap(w.m, &ops, NULL), 0);
	assert_int_equal(pthread_create(&runner, NULL, run, &w), 0);
	while (!subscriber_is_busy())
		sys_sched_yield();
	assert_int_equal(pthread_create(&thread, NULL, unsubscribe, &w), 0);
	while (!atomic_load(&w.m->tap.idle.waiters))
		sys_sched_yield();
	atomic_store(&let_go, true);
	came_out(thread);
	came_out(runner);
	is_free();
	assert_int_equal(machine_set_tap(w.m, &ops, NULL), 0);
	assert_int_equal(machine_set_tap(w.m, NULL, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pausing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unsubscribing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
