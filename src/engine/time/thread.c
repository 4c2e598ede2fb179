/* SPDX-License-Identifier: MIT */
/*
 * Starting a thread that never runs a signal handler of the surrounding program, and whose sleeps are exact. A
 * file of its own because <signal.h> and the engine's headers claim the same names (REG_RIP).
 *
 * The C library makes system calls of its own at the start of a thread, which the program may
 * forbid right afterwards (seccomp): so the thread runs before its creator goes on.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/sys.h"
#include "engine/time/time.h"

struct start {
	void *(*run)(void *);
	void *opaque;
	_Atomic bool runs;
};

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
	struct start *s = arg;
	void *(*run)(void *) = s->run;
	void *opaque = s->opaque, *r;
	const u64 self = identity(sys_gettid());

	sys_set_timer_slack(1);
	exchange(0, self);
	atomic_store(&s->runs, true); /* *s is gone now */
	r = run(opaque);
	exchange(self, 0);
	return r;
}

int thread_start(pthread_t *ret, void *(*run)(void *), void *opaque)
{
	struct start s = {.run = run, .opaque = opaque};
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(ret, NULL, begin, &s);
	/* Soon; and unlike semaphores and conditions this is no cancellation point. */
	while (!err && !atomic_load(&s.runs))
		sys_sched_yield();
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}
