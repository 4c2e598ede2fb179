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

/* All zero at first, but for the epolls. */
struct watches {
	pthread_mutex_t lock;
	struct cond idle; /* running has changed to NULL */
	struct watch *list, *running;
	pthread_t runner; /* who runs it */
	u64 last_key;
	unsigned takers;   /* who look themselves */
	_Atomic int epoll; /* the helper thread's; -1: watches_prepare() was not called */
	/* of what any thread may serve; in the other one while there are no takers */
	_Atomic int anywhere;
};

void watches_init(struct watches *ws);
void watches_fini(struct watches *ws); /* nothing may be watched */
int watches_prepare(struct watches *ws);
int watches_add(struct watches *ws, const struct watch_config *c);
void watches_remove(struct watches *ws, int fd, void *opaque);
/* By the helper thread: call ready() of all that are readable. */
void watches_run(struct watches *ws);
/* By any thread: of those that any thread may serve. */
void watches_look(struct watches *ws);
/* Until they are given back the helper thread does not hear of these, for somebody else looks. */
void watches_take(struct watches *ws);
void watches_give_back(struct watches *ws);

#endif
