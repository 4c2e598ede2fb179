/* SPDX-License-Identifier: MIT */
/*
 * Starting a thread that never runs a signal handler of the surrounding program. A file of its own
 * because <signal.h> and the engine's headers claim the same names (REG_RIP).
 */
#include <pthread.h>
#include <signal.h>

#include "engine/time/time.h"

int thread_start(pthread_t *ret, void *(*run)(void *), void *opaque)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(ret, NULL, run, opaque);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}
