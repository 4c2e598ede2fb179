/* SPDX-License-Identifier: MIT */
/* Our own threads in somebody else's process. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include "base/types.h"

struct own_thread {
	pthread_t id;
	void *(*run)(void *opaque);
	void *opaque;
	_Atomic bool runs;
};

/* With all signals blocked in it. 0 or -errno. *t begins as zero and stays as long as the thread. */
int thread_start(struct own_thread *t, void *(*run)(void *), void *opaque);
/* Waits for its end. No place at which the caller may be cancelled. */
void thread_join(struct own_thread *t);
/* From then on it makes no system call but ours. */
void thread_wait_running(const struct own_thread *t);
/* Was the thread of this number started so, in this process? */
bool thread_is_own(int tid);

#endif
