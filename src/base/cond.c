/* SPDX-License-Identifier: MIT */
/* See cond.h. Who waits has read the number of changes under the lock; the kernel puts him to sleep if it is still that. */
#include "base/cond.h"

#include <limits.h>
#include <linux/futex.h>

#include "base/sys.h"

static long futex(struct cond *c, int operation, u32 value, const struct timespec *timeout)
{
	return sys_raw(SYS_futex, (long)&c->changes, operation | FUTEX_PRIVATE_FLAG, (long)value,
		(long)timeout, 0, (long)sys_key);
}

static void wait_for(struct cond *c, pthread_mutex_t *lock, const struct timespec *timeout)
{
	u32 seen;

	atomic_fetch_add(&c->waiters, 1);
	seen = atomic_load(&c->changes);
	pthread_mutex_unlock(lock);
	futex(c, FUTEX_WAIT, seen, timeout);
	atomic_fetch_sub(&c->waiters, 1);
	pthread_mutex_lock(lock);
}

void cond_wait(struct cond *c, pthread_mutex_t *lock)
{
	wait_for(c, lock, NULL);
}

u64 cond_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

bool cond_wait_until(struct cond *c, pthread_mutex_t *lock, u64 ns)
{
	const u64 now = cond_now_ns(), rest = ns > now ? ns - now : 0;
	const struct timespec timeout = {
		.tv_sec = (time_t)(rest / 1000000000), .tv_nsec = (long)(rest % 1000000000)};

	if (rest)
		wait_for(c, lock, &timeout);
	return rest;
}

void cond_changed(struct cond *c)
{
	atomic_fetch_add(&c->changes, 1);
	if (atomic_load(&c->waiters))
		futex(c, FUTEX_WAKE, INT_MAX, NULL);
}
