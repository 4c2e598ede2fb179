/* SPDX-License-Identifier: MIT */
/*
 * Starting a thread that never runs a signal handler of the surrounding program. A file of its own
 * because <signal.h> and the engine's headers claim the same names (REG_RIP).
 *
 * The C library makes system calls of its own at the start of a thread, which the program may
 * forbid right afterwards (seccomp): so the thread runs before its creator goes on.
 */
#include <pthread.h>
#include <signal.h>

#include "engine/time/time.h"

struct start {
	void *(*run)(void *);
	void *opaque;
	pthread_barrier_t runs; /* no cancellation point, as semaphores are */
};

static void *begin(void *arg)
{
	struct start *s = arg;
	void *(*run)(void *) = s->run;
	void *opaque = s->opaque;

	pthread_barrier_wait(&s->runs); /* *s is gone now */
	return run(opaque);
}

int thread_start(pthread_t *ret, void *(*run)(void *), void *opaque)
{
	struct start s = {.run = run, .opaque = opaque};
	sigset_t all, old;
	int err;

	pthread_barrier_init(&s.runs, NULL, 2);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(ret, NULL, begin, &s);
	if (!err)
		pthread_barrier_wait(&s.runs);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_barrier_destroy(&s.runs);
	return err;
}
