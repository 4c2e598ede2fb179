/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that are watched: an epoll, and what to call when one is readable. Private to time/; others use fd_watch()
 * and its like (timer.h).
 */
#ifndef ENGINE_TIME_WATCH_H
#define ENGINE_TIME_WATCH_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/cond.h"
#include "base/types.h"
#include "engine/time/timer.h"

struct watch;

/* All zero at first, but for epoll. */
struct watches {
	pthread_mutex_t lock;
	struct cond idle; /* running has changed to NULL */
	struct watch *list, *running;
	pthread_t runner; /* who runs it */
	u64 next_key;
	_Atomic int epoll; /* -1: watches_prepare() was not called */
};

void watches_init(struct watches *ws);
void watches_fini(struct watches *ws); /* nothing may be watched */
int watches_prepare(struct watches *ws);
int watches_add(struct watches *ws, const struct watch_config *c);
void watches_remove(struct watches *ws, int fd, void *opaque);
/* Call ready() of all that are readable; helper: or of those alone that any thread may serve. */
void watches_run(struct watches *ws, bool helper);

#endif
