/* SPDX-License-Identifier: MIT */
/*
 * The machine's one helper thread: timers, and descriptors to watch.
 *
 * It is started when the machine is created, with all signals blocked, because VMMs forbid clone
 * by seccomp later. For the same reason arming a timer, which vcpu threads do, uses no system call
 * but a write to an eventfd, and that only if the thread would otherwise wake too late. A guest
 * re-arms its timer right after it fired; so having fired one that does not re-arm itself the thread
 * looks again after a short while (GRACE_NS), which makes the usual re-arm free of system calls.
 *
 * The thread sleeps in ppoll(), whose timeout is the next deadline. The descriptors to watch are in an
 * epoll, made when there may be some, and so are one descriptor to that (watch.c).
 *
 * Timers are in two pairing heaps under one mutex: those by the host's time, and those by the machine's, which can be
 * frozen (freeze.c). fire() runs without it.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "engine/core/machine.h"
#include "base/check.h"
#include "base/fd.h"
#include "base/sys.h"
#include "engine/time/clock.h"
#include "base/thread.h"
#include "engine/time/timer.h"
#include "engine/time/watch.h"

#define GRACE_NS   200000ull
#define NS_PER_SEC 1000000000ull

struct timers {
	struct own_thread thread;
	pthread_mutex_t lock;
	struct cond idle;                /* running has changed to NULL */
	struct timer *heap[2], *running; /* by timer.guest */
	_Atomic u64 frozen_ns;           /* machine_ns() when it was frozen; 0: it runs */
	_Atomic u64 lost_ns;             /* of host_ns(), frozen */
	struct watches watches;
	u64 wakes_at; /* when the thread looks next, UINT64_MAX never */
	int eventfd;
	bool rearmed; /* the running timer, by its own fire() or meanwhile */
	bool stop;
	struct clock clock;
};

u64 host_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * NS_PER_SEC + (u64)ts.tv_nsec;
}

u64 machine_ns(struct machine *m)
{
	struct timers *ts = m->timers;
	u32 moves;
	u64 now;

	do {
		moves = machine_time_begin(m);
		now = atomic_load(&ts->frozen_ns);
		if (!now)
			now = host_ns() - atomic_load(&ts->lost_ns);
	} while (unlikely(machine_time_moved(m, moves)));
	return now;
}

struct clock *machine_clock(struct machine *m)
{
	return &m->timers->clock;
}

/* ---- pairing heap: child is the first child, next a sibling, prev the left sibling or the parent ---- */

static struct timer *meld(struct timer *a, struct timer *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->deadline < a->deadline) {
		struct timer *t = a;
		a = b;
		b = t;
	}
	b->next = a->child;
	b->prev = a;
	if (b->next)
		b->next->prev = b;
	a->child = b;
	return a;
}

/* Two passes: meld neighbours from the left, then the results from the right. */
static struct timer *meld_siblings(struct timer *t)
{
	struct timer *pairs = NULL, *root = NULL;

	while (t) {
		struct timer *a = t, *b = t->next;

		t = b ? b->next : NULL;
		a->next = a->prev = NULL;
		if (b)
			b->next = b->prev = NULL;
		a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		t = pairs->next;
		pairs->next = NULL;
		root = meld(root, pairs);
		pairs = t;
	}
	return root;
}

static void heap_remove(struct timers *ts, struct timer *t)
{
	struct timer *children = meld_siblings(t->child), **heap = &ts->heap[t->guest];

	if (*heap == t) {
		*heap = children;
	} else {
		if (t->prev->child == t)
			t->prev->child = t->next;
		else
			t->prev->next = t->next;
		if (t->next)
			t->next->prev = t->prev;
		*heap = meld(*heap, children);
	}
	t->child = t->next = t->prev = NULL;
	t->deadline = 0;
}

/* ---- timers ---- */

static void wake(struct timers *ts)
{
	u64 one = 1;

	while (sys_write(ts->eventfd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* When it is, by the host's clock. */
static u64 host_deadline(const struct timers *ts, const struct timer *t)
{
	if (!t || (t->guest && atomic_load(&ts->frozen_ns)))
		return UINT64_MAX;
	return t->guest ? t->deadline + atomic_load(&ts->lost_ns) : t->deadline;
}

void timer_arm(struct machine *m, struct timer *t, u64 deadline_ns)
{
	struct timers *ts = m->timers;
	bool must_wake;
	u64 at;

	pthread_mutex_lock(&ts->lock);
	if (t->deadline)
		heap_remove(ts, t);
	t->deadline = deadline_ns ? deadline_ns : 1;
	ts->heap[t->guest] = meld(ts->heap[t->guest], t);
	if (ts->running == t)
		ts->rearmed = true;
	at = host_deadline(ts, t);
	must_wake = at < ts->wakes_at;
	if (must_wake)
		ts->wakes_at = at;
	pthread_mutex_unlock(&ts->lock);
	if (must_wake)
		wake(ts);
}

static bool on_helper_thread(const struct timers *ts)
{
	return pthread_equal(pthread_self(), ts->thread.id);
}

void timer_cancel(struct machine *m, struct timer *t)
{
	struct timers *ts = m->timers;

	pthread_mutex_lock(&ts->lock);
	while (ts->running == t && !on_helper_thread(ts))
		cond_wait(&ts->idle, &ts->lock);
	/* Last, because fire() may have armed it again. */
	if (t->deadline)
		heap_remove(ts, t);
	pthread_mutex_unlock(&ts->lock);
}

/* Called and returns with the lock held. May the one that fired be armed again soon? */
static bool fire(struct timers *ts, struct timer *t)
{
	heap_remove(ts, t);
	ts->running = t;
	ts->rearmed = false;
	pthread_mutex_unlock(&ts->lock);
	t->fire(t);
	pthread_mutex_lock(&ts->lock);
	ts->running = NULL;
	cond_changed(&ts->idle);
	return !ts->rearmed;
}

static struct timer *next_due(const struct timers *ts)
{
	u64 now = host_ns();

	for (unsigned i = 0; i < ARRAY_SIZE(ts->heap) && !ts->stop; i++)
		if (host_deadline(ts, ts->heap[i]) <= now)
			return ts->heap[i];
	return NULL;
}

/* Then sets when to look again. */
static void run_timers(struct timers *ts)
{
	bool grace = false;
	struct timer *t;
	u64 at;

	while ((t = next_due(ts)))
		grace |= fire(ts, t);
	at = MIN(host_deadline(ts, ts->heap[0]), host_deadline(ts, ts->heap[1]));
	ts->wakes_at = grace ? MIN(at, host_ns() + GRACE_NS) : at;
}

void timers_freeze(struct machine *m)
{
	struct timers *ts = m->timers;

	pthread_mutex_lock(&ts->lock);
	atomic_store(&ts->frozen_ns, host_ns() - atomic_load(&ts->lost_ns));
	pthread_mutex_unlock(&ts->lock);
}

void timers_thaw(struct machine *m)
{
	struct timers *ts = m->timers;

	pthread_mutex_lock(&ts->lock);
	atomic_store(&ts->lost_ns, host_ns() - atomic_load(&ts->frozen_ns));
	atomic_store(&ts->frozen_ns, 0);
	pthread_mutex_unlock(&ts->lock);
	wake(ts);
}

/* ---- descriptors ---- */

int fd_watch_prepare(struct machine *m)
{
	int err = watches_prepare(&m->timers->watches);

	wake(m->timers); /* it sleeps without the epoll */
	return err;
}

int fd_watch(struct machine *m, const struct watch_config *c)
{
	return watches_add(&m->timers->watches, c);
}

void fd_unwatch(struct machine *m, int fd, void *opaque)
{
	watches_remove(&m->timers->watches, fd, opaque);
}

void fd_watch_look(struct machine *m)
{
	watches_look(&m->timers->watches);
}

void fd_watch_take(struct machine *m)
{
	watches_take(&m->timers->watches);
}

void fd_watch_give_back(struct machine *m)
{
	watches_give_back(&m->timers->watches);
}

/* ---- the thread ---- */

static void drain(int fd)
{
	u64 count;

	(void)!sys_read(fd, &count, sizeof(count));
}

/*
 * How long to sleep for ns. The kernel takes the liberty to be late by a thousandth of what it is asked for, for nice
 * threads by five, so the end of a long sleep is slept on its own.
 */
static struct timespec sleep_for(u64 ns)
{
	u64 part = ns > NS_PER_SEC / 1000 ? ns - ns / 128 : ns;

	return (struct timespec){(time_t)(part / NS_PER_SEC), (long)(part % NS_PER_SEC)};
}

/* Without the lock. */
static void sleep_until(struct pollfd fds[2], u64 at)
{
	u64 now = at == UINT64_MAX ? 0 : host_ns();
	struct timespec left = sleep_for(at > now ? at - now : 0);

	if (sys_ppoll(fds, 2, at == UINT64_MAX ? NULL : &left) <= 0)
		fds[0].revents = fds[1].revents = 0;
}

static void *helper(void *opaque)
{
	struct timers *ts = opaque;

	pthread_mutex_lock(&ts->lock);
	while (!ts->stop) {
		run_timers(ts);
		struct pollfd fds[] = {
			{ts->eventfd, POLLIN, 0}, {atomic_load(&ts->watches.epoll), POLLIN, 0}};
		u64 at = ts->wakes_at;
		pthread_mutex_unlock(&ts->lock);
		sleep_until(fds, at);
		pthread_mutex_lock(&ts->lock);
		ts->wakes_at = 0; /* awake: nobody needs to wake it */
		if (fds[0].revents)
			drain(ts->eventfd);
		if (!fds[1].revents)
			continue;
		pthread_mutex_unlock(&ts->lock);
		watches_run(&ts->watches);
		pthread_mutex_lock(&ts->lock);
	}
	pthread_mutex_unlock(&ts->lock);
	return NULL;
}

static void close_all(struct timers *ts)
{
	if (ts->eventfd >= 0)
		fd_drop(ts->eventfd);
	watches_fini(&ts->watches);
	pthread_mutex_destroy(&ts->lock);
	free(ts);
}

int timers_create(struct machine *m)
{
	struct timers *ts = calloc(1, sizeof(*ts));
	int err;

	if (!ts)
		return -ENOMEM;
	pthread_mutex_init(&ts->lock, NULL);
	clock_init(&ts->clock);
	watches_init(&ts->watches);
	ts->eventfd = fd_keep(sys_eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	/* The thread itself looks at its id only in a timer's fire(), and nobody has armed one yet. */
	err = ts->eventfd < 0 ? -errno : thread_start(&ts->thread, helper, ts);
	if (err) {
		clock_fini(&ts->clock);
		close_all(ts);
		return err;
	}
	m->timers = ts;
	return 0;
}

void timers_wait_running(struct machine *m)
{
	thread_wait_running(&m->timers->thread);
}

void timers_destroy(struct machine *m)
{
	struct timers *ts = m->timers;

	pthread_mutex_lock(&ts->lock);
	ts->stop = true;
	pthread_mutex_unlock(&ts->lock);
	wake(ts);
	thread_join(&ts->thread);
	uv_assert(!ts->heap[0] && !ts->heap[1]); /* what they belong to has gone before */
	clock_fini(&ts->clock);
	close_all(ts);
	m->timers = NULL;
}
