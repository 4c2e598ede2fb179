/* SPDX-License-Identifier: MIT */
/*
 * See watch.h. The helper thread serves all watches. A vcpu that waits for an interrupt serves those that any thread may (irqfds),
 * and so spares itself the helper thread's waking up, which takes longer than many a device. They are in an epoll of their own, and
 * that is in the helper thread's, but for the time that vcpus look themselves: else the thread would wake up all the same, and take the
 * vcpu's CPU where there are few. (If the vcpu loses its CPU meanwhile, they wait until it has one again.)
 *
 * One watch runs at a time, so that who removes one has to wait for one thread at most. ready() runs without the lock, and
 * may remove its own watch.
 */
#include "engine/time/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/sys.h"

#define BATCH 16

/* In the helper thread's epoll: some of the other are readable. No watch's key. */
#define KEY_ANYWHERE 0ull

struct watch {
	struct watch_config c;
	u64 key; /* what epoll hands back; never used twice */
	struct watch *next;
};

void watches_init(struct watches *ws)
{
	pthread_mutex_init(&ws->lock, NULL);
	atomic_init(&ws->epoll, -1);
	atomic_init(&ws->anywhere, -1);
}

void watches_fini(struct watches *ws)
{
	uv_assert(!ws->list);
	if (ws->epoll >= 0)
		fd_drop(ws->epoll);
	if (ws->anywhere >= 0)
		fd_drop(ws->anywhere);
	pthread_mutex_destroy(&ws->lock);
}

static int new_epoll(void)
{
	int epoll = fd_keep(sys_epoll_create1(EPOLL_CLOEXEC));

	return epoll < 0 ? -errno : epoll;
}

/* What any thread may serve, in the helper thread's epoll: does it hear of it? */
static int set_hearing(struct watches *ws, int op, bool hears)
{
	struct epoll_event ev = {.events = hears ? EPOLLIN : 0, .data.u64 = KEY_ANYWHERE};

	return sys_epoll_ctl(ws->epoll, op, ws->anywhere, &ev) ? -errno : 0;
}

/* Both, or none. */
static int prepare(struct watches *ws)
{
	int anywhere = new_epoll(), epoll = anywhere < 0 ? anywhere : new_epoll(), err;

	if (epoll < 0) {
		if (anywhere >= 0)
			fd_drop(anywhere);
		return epoll;
	}
	atomic_store(&ws->anywhere, anywhere);
	atomic_store(&ws->epoll, epoll);
	err = set_hearing(ws, EPOLL_CTL_ADD, true);
	if (err) {
		fd_drop(atomic_exchange(&ws->epoll, -1));
		fd_drop(atomic_exchange(&ws->anywhere, -1));
	}
	return err;
}

int watches_prepare(struct watches *ws)
{
	int err;

	pthread_mutex_lock(&ws->lock);
	err = ws->epoll >= 0 ? 0 : prepare(ws);
	pthread_mutex_unlock(&ws->lock);
	return err;
}

static int epoll_of(const struct watches *ws, const struct watch *w)
{
	return w->c.anywhere ? ws->anywhere : ws->epoll;
}

/* With the lock held. */
static int link_watch(struct watches *ws, struct watch *w)
{
	struct epoll_event ev = {.events = EPOLLIN};

	w->key = ++ws->last_key;
	ev.data.u64 = w->key;
	if (sys_epoll_ctl(epoll_of(ws, w), EPOLL_CTL_ADD, w->c.fd, &ev))
		return -errno;
	w->next = ws->list;
	ws->list = w;
	return 0;
}

int watches_add(struct watches *ws, const struct watch_config *c)
{
	struct watch *w = malloc(sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	*w = (struct watch){.c = *c};
	pthread_mutex_lock(&ws->lock);
	err = link_watch(ws, w);
	pthread_mutex_unlock(&ws->lock);
	if (err)
		free(w);
	return err;
}

static struct watch *unlink_watch(struct watches *ws, int fd, void *opaque)
{
	for (struct watch **p = &ws->list; *p; p = &(*p)->next) {
		struct watch *w = *p;

		if (w->c.fd != fd || w->c.opaque != opaque)
			continue;
		*p = w->next;
		return w;
	}
	return NULL;
}

void watches_remove(struct watches *ws, int fd, void *opaque)
{
	struct watch *w;

	pthread_mutex_lock(&ws->lock);
	w = unlink_watch(ws, fd, opaque);
	if (w)
		sys_epoll_ctl(epoll_of(ws, w), EPOLL_CTL_DEL, fd, NULL);
	while (w && ws->running == w && !pthread_equal(pthread_self(), ws->runner))
		cond_wait(&ws->idle, &ws->lock);
	pthread_mutex_unlock(&ws->lock);
	free(w);
}

static struct watch *with_key(const struct watches *ws, u64 key)
{
	struct watch *w;

	for (w = ws->list; w && w->key != key; w = w->next)
		;
	return w; /* NULL: removed since epoll told us */
}

/* With the lock held, but not in ready(). */
static void run(struct watches *ws, struct watch *w, u32 events)
{
	ws->running = w;
	ws->runner = pthread_self();
	pthread_mutex_unlock(&ws->lock);
	w->c.ready(w->c.opaque, events); /* w may be gone after it */
	pthread_mutex_lock(&ws->lock);
	ws->running = NULL;
	cond_changed(&ws->idle);
}

/* A vcpu does not wait for what the helper thread runs: that may be waiting for the vcpu. */
static void serve(struct watches *ws, const struct epoll_event *ev, bool helper)
{
	struct watch *w = NULL;

	pthread_mutex_lock(&ws->lock);
	while (helper && ws->running)
		cond_wait(&ws->idle, &ws->lock);
	if (!ws->running)
		w = with_key(ws, ev->data.u64);
	if (w)
		run(ws, w, ev->events);
	pthread_mutex_unlock(&ws->lock);
}

static void run_epoll(struct watches *ws, int epoll, bool helper)
{
	struct epoll_event ev[BATCH];
	int n = epoll < 0 ? 0 : sys_epoll_wait(epoll, ev, BATCH, 0);

	for (int i = 0; i < n; i++)
		if (ev[i].data.u64 == KEY_ANYWHERE)
			run_epoll(ws, atomic_load(&ws->anywhere), helper);
		else
			serve(ws, &ev[i], helper);
}

void watches_run(struct watches *ws)
{
	run_epoll(ws, atomic_load(&ws->epoll), true);
}

void watches_look(struct watches *ws)
{
	run_epoll(ws, atomic_load(&ws->anywhere), false);
}

/* What has become readable meanwhile is told when the helper thread hears again. Without an epoll there is nothing to hear. */
static void count_takers(struct watches *ws, unsigned takers)
{
	if (ws->epoll >= 0 && !ws->takers != !takers)
		(void)set_hearing(ws, EPOLL_CTL_MOD, !takers);
	ws->takers = takers;
}

void watches_take(struct watches *ws)
{
	pthread_mutex_lock(&ws->lock);
	count_takers(ws, ws->takers + 1);
	pthread_mutex_unlock(&ws->lock);
}

void watches_give_back(struct watches *ws)
{
	pthread_mutex_lock(&ws->lock);
	count_takers(ws, ws->takers - 1);
	pthread_mutex_unlock(&ws->lock);
}
