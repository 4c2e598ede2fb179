/* SPDX-License-Identifier: MIT */
/* base/cond.h: who waits wakes, and is not ended there; nor is who waits for a thread's end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cond.h"
#include "base/sys.h"
#include "base/thread.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cond changed;
static bool done;

static void set_done(bool is)
{
	pthread_mutex_lock(&lock);
	done = is;
	pthread_mutex_unlock(&lock);
	cond_changed(&changed);
}

static void await_waiters(unsigned n)
{
	while (atomic_load(&changed.waiters) < n)
		sys_sched_yield();
}

static void *wait_done(void *opaque)
{
	pthread_mutex_lock(&lock);
	while (!done)
		cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	return opaque;
}

static void ends_by_itself(pthread_t thread)
{
	void *result;

	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, &done);
}

static void test_all_wake(void **state)
{
	pthread_t thread[3];

	set_done(false);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, wait_done, &done), 0);
	await_waiters(3);
	set_done(true);
	for (unsigned i = 0; i < 3; i++)
		ends_by_itself(thread[i]);
	assert_int_equal(atomic_load(&changed.waiters), 0);
}

static void test_not_cancelled(void **state)
{
	pthread_t thread;

	set_done(false);
	assert_int_equal(pthread_create(&thread, NULL, wait_done, &done), 0);
	await_waiters(1);
	assert_int_equal(pthread_cancel(thread), 0);
	set_done(true);
	ends_by_itself(thread);
	assert_int_equal(pthread_mutex_trylock(&lock), 0);
	pthread_mutex_unlock(&lock);
}

static void test_time(void **state)
{
	const u64 begun = cond_now_ns(), until = begun + 2000000;

	pthread_mutex_lock(&lock);
	assert_false(cond_wait_until(&changed, &lock, begun));
	while (cond_wait_until(&changed, &lock, until))
		;
	assert_true(cond_now_ns() >= until);
	pthread_mutex_unlock(&lock);
}

static void test_woken_in_time(void **state)
{
	pthread_t thread;

	set_done(false);
	assert_int_equal(pthread_create(&thread, NULL, wait_done, &done), 0);
	await_waiters(1);
	set_done(true);
	pthread_mutex_lock(&lock);
	while (!done)
		assert_true(cond_wait_until(&changed, &lock, cond_now_ns() + 3600000000000));
	pthread_mutex_unlock(&lock);
	ends_by_itself(thread);
}

/* ---- a thread's end ---- */

static struct own_thread ours;

static void *join_ours(void *opaque)
{
	pthread_cancel(pthread_self());
	thread_join(&ours);
	return opaque;
}

static void test_join(void **state)
{
	pthread_t joiner;

	set_done(false);
	assert_int_equal(thread_start(&ours, wait_done, NULL), 0);
	assert_int_equal(pthread_create(&joiner, NULL, join_ours, &done), 0);
	await_waiters(1);
	set_done(true);
	ends_by_itself(joiner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_wake),
		cmocka_unit_test(test_not_cancelled),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_woken_in_time),
		cmocka_unit_test(test_join),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
