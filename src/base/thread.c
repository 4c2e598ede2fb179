/* SPDX-License-Identifier: MIT */
/*
 * Starting a thread that never runs a signal handler of the surrounding program, and whose sleeps are exact.
 *
 * The C library makes system calls of its own at the start of a thread, which the program may
 * forbid right afterwards (seccomp): so the thread runs before the program goes on. That takes a while on another
 * processor, in which there is something else to do.
 */
#include <pthread.h>
#include <signal.h>

#include "base/sys.h"
#include "base/thread.h"

/* The C library's, by which it cancels threads, and has all of them change their user. */
#define LIBC_OWN (BIT64(32 - 1) | BIT64(33 - 1))

/* ---- which threads are ours ---- */

#define OWN_MAX 1024 /* those beyond are taken for the program's */

/* Process and thread, 0: free. A forked child has none of its parent's. */
static _Atomic u64 own[OWN_MAX];

static u64 identity(int tid)
{
	return (u64)(u32)sys_getpid() << 32 | (u32)tid;
}

static bool exchange(u64 from, u64 to)
{
	for (unsigned i = 0; i < OWN_MAX; i++) {
		u64 is = from;

		if (atomic_compare_exchange_strong(&own[i], &is, to))
			return true;
	}
	return false;
}

bool thread_is_own(int tid)
{
	const u64 wanted = identity(tid);

	for (unsigned i = 0; i < OWN_MAX; i++)
		if (atomic_load_explicit(&own[i], memory_order_relaxed) == wanted)
			return true;
	return false;
}

/* ---- their start ---- */

static void *begin(void *arg)
{
	struct own_thread *t = arg;
	const u64 self = identity(sys_gettid());
	void *r;

	sys_set_timer_slack(1);
	exchange(0, self);
	atomic_store(&t->runs, true);
	r = t->run(t->opaque);
	exchange(self, 0);
	return r;
}

int thread_start(struct own_thread *t, void *(*run)(void *), void *opaque)
{
	const u64 all = ~LIBC_OWN;
	u64 old;
	int err;

	t->run = run;
	t->opaque = opaque;
	sys_sigprocmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&t->id, NULL, begin, t);
	sys_sigprocmask(SIG_SETMASK, &old, NULL);
	return err;
}

void thread_join(struct own_thread *t)
{
	int cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_join(t->id, NULL);
	pthread_setcancelstate(cancel, NULL);
}

/* Soon; and unlike semaphores and conditions this is no cancellation point. */
void thread_wait_running(const struct own_thread *t)
{
	while (!atomic_load(&t->runs))
		sys_sched_yield();
}
