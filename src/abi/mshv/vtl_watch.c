/* SPDX-License-Identifier: MIT */
/*
 * Files that the lower guest's helper thread watches: all are in one epoll, edge by edge, so that what nobody takes does not
 * keep it busy.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "abi/mshv/vtl.h"
#include "base/fd.h"
#include "base/sys.h"

#define BATCH 16

/* Under the lock: so what is found here has not been removed. */
static void look(struct vtl *t, const struct vtl_watch *but)
{
	struct epoll_event e[BATCH];
	int n;

	do {
		n = sys_epoll_wait(t->watches_fd, e, BATCH, 0);
		for (int i = 0; i < n; i++) {
			struct vtl_watch *w = e[i].data.ptr;

			if (w != but)
				w->happened(w);
		}
	} while (n == BATCH);
}

static void ready(void *vtl, u32 events)
{
	struct vtl *t = vtl;

	pthread_mutex_lock(&t->watch_lock);
	look(t, NULL);
	pthread_mutex_unlock(&t->watch_lock);
}

int vtl_watches_begin(struct vtl *t)
{
	int r;

	t->watches_fd = fd_keep(sys_epoll_create1(EPOLL_CLOEXEC));
	if (t->watches_fd < 0)
		return -errno;
	r = machine_watch(t->partition->machine, t->watches_fd, ready, t);
	if (r)
		fd_drop(t->watches_fd);
	return r;
}

void vtl_watches_end(struct vtl *t)
{
	machine_unwatch(t->partition->machine, t->watches_fd, t);
	fd_drop(t->watches_fd);
}

int vtl_watch_add(struct vtl *t, struct vtl_watch *w, bool only_new)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = w};

	if (sys_epoll_ctl(t->watches_fd, EPOLL_CTL_ADD, w->fd, &e))
		return -errno;
	if (only_new)
		look(t, w);
	return 0;
}

void vtl_watch_remove(struct vtl *t, const struct vtl_watch *w)
{
	sys_epoll_ctl(t->watches_fd, EPOLL_CTL_DEL, w->fd, NULL);
}
