/* SPDX-License-Identifier: MIT */
/*
 * See watch.h. The helper thread serves all watches. A vcpu that waits for an interrupt serves those that any thread may (irqfds),
 * and so spares itself the helper thread's waking up, which takes longer than many a device.
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

/* In the key, so that epoll tells it. */
#define KEY_ANYWHERE 1ull

struct watch {
	struct watch_config c;
	u64 key; /* what epoll hands back; never used twice */
	struct watch *next;
};

void watches_init(struct watches *ws)
{
	pthread_mutex_init(&ws->lock, NULL);
	atomic_init(&ws->epoll, -1);
}

void watches_fini(struct watches *ws)
{
	uv_assert(!ws->list);
	if (ws->epoll >= 0)
		fd_drop(ws->epoll);
	pthread_mutex_destroy(&ws->lock);
}

int watches_prepare(struct watches *ws)
{
	int err = 0;

	pthread_mutex_lock(&ws->lock);
	if (ws->epoll < 0) {
		int epoll = fd_keep(sys_epoll_create1(EPOLL_CLOEXEC));

		err = epoll < 0 ? -errno : 0;
		atomic_store(&ws->epoll, epoll < 0 ? -1 : epoll);
	}
	pthread_mutex_unlock(&ws->lock);
	return err;
}

/* With the lock held. */
static int link_watch(struct watches *ws, struct watch *w)
{
	struct epoll_event ev = {.events = EPOLLIN};

	w->key = ws->next_key << 1 | (w->c.anywhere ? KEY_ANYWHERE : 0);
	ev.data.u64 = w->key;
	ws->next_key++;
	if (sys_epoll_ctl(ws->epoll, EPOLL_CTL_ADD, w->c.fd, &ev))
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
		sys_epoll_ctl(ws->epoll, EPOLL_CTL_DEL, fd, NULL);
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

void watches_run(struct watches *ws, bool helper)
{
	struct epoll_event ev[BATCH];
	int epoll = atomic_load(&ws->epoll);
	int n = epoll < 0 ? 0 : sys_epoll_wait(epoll, ev, BATCH, 0);

	for (int i = 0; i < n; i++)
		if (helper || (ev[i].data.u64 & KEY_ANYWHERE))
			serve(ws, &ev[i], helper);
}
