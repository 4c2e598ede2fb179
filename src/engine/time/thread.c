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

static void *begin(void *arg)
{
	struct start *s = arg;
	void *(*run)(void *) = s->run;
	void *opaque = s->opaque;

	sys_set_timer_slack(1);
	atomic_store(&s->runs, true); /* *s is gone now */
	return run(opaque);
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
