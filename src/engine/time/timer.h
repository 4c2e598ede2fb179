/* SPDX-License-Identifier: MIT */
/* Timers and descriptors that the machine's one helper thread watches. */
#ifndef ENGINE_TIME_TIMER_H
#define ENGINE_TIME_TIMER_H

#include "engine/core/machine.h"

int timers_create(struct machine *m); /* starts the helper thread, all signals blocked in it */
void timers_wait_running(
	struct machine *m);             /* before the program can forbid what a new thread does */
void timers_destroy(struct machine *m); /* no timer may be armed and nothing watched */

struct timer {
	struct timer *child, *next, *prev; /* pairing heap, private to timer.c */
	u64 deadline;                      /* 0 when not armed */
	bool guest;                        /* the deadline is in machine_ns(), not in host_ns() */
	void (*fire)(struct timer *t);     /* on the helper thread, no engine lock held */
};
void timer_arm(struct machine *m, struct timer *t, u64 deadline_ns); /* re-arms if armed */
void timer_cancel(
	struct machine *m, struct timer *t); /* waits for a running fire(), unless called by it */
u64 host_ns(void);                           /* CLOCK_MONOTONIC */
/* The same without what has passed while the machine's time was frozen: the time of what guests wait for. */
u64 machine_ns(struct machine *m);
/* See freeze.c. While frozen, timers of guests stay armed and do not fire. Under the clock's lock. */
void timers_freeze(struct machine *m);
void timers_thaw(struct machine *m);
/* Call ready(opaque, EPOLL*) on the helper thread whenever fd is readable, until unwatched, which waits for a call in progress. */
struct watch_config {
	int fd;
	bool anywhere; /* or on a thread that calls fd_watch_look(), no engine lock held */
	void (*ready)(void *opaque, u32 events);
	void *opaque;
};
int fd_watch(struct machine *m, const struct watch_config *c);
void fd_unwatch(struct machine *m, int fd, void *opaque);
/* Is one of those readable that may be served anywhere? Then it is served here and now. */
void fd_watch_look(struct machine *m);
/* Who looks all the time takes these, so that the helper thread need not wake up, and gives them back. */
void fd_watch_take(struct machine *m);
void fd_watch_give_back(struct machine *m);
/* What fd_watch() needs is made here, before sandboxes forbid it. 0 or -errno. */
int fd_watch_prepare(struct machine *m);

#endif
