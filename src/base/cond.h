/* SPDX-License-Identifier: MIT */
/*
 * A condition variable for code that is called by a program's threads. pthread_cond_wait(3) is a place at which a thread may be cancelled
 * (pthread_cancel()): it would end there with whatever it holds. This one is no such place, costs nothing to make, needs
 * no end, and is the same in a forked child, whoever waited there.
 *
 * It is all zero at first. As with others, who waits holds the lock, looks at what he waits for, and looks again afterwards: it may
 * return for nothing.
 */
#ifndef BASE_COND_H
#define BASE_COND_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/types.h"

struct cond {
	_Atomic u32 changes, waiters;
};

void cond_wait(struct cond *c, pthread_mutex_t *lock);
/* False: it is this time already. */
bool cond_wait_until(struct cond *c, pthread_mutex_t *lock, u64 ns);
u64 cond_now_ns(void);
/* After a change that was made under the lock, which may be held. Wakes all; no system call if there are none. */
void cond_changed(struct cond *c);

#endif
