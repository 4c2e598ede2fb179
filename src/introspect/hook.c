/* SPDX-License-Identifier: MIT */
/* A tool whose socket the VMM has: introspection_hook(). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "base/sys.h"
#include "introspect/receiver.h"

static void *receive(void *opaque)
{
	struct introspection *i = opaque;

	receiver_serve(i);
	receiver_end(i);
	return NULL;
}

#define ASK_NS 20000000

/* 0: there is no session any more, and nobody begins one. i->lock is held. */
static int await_end(struct introspection *i, bool (*enough)(void *opaque), void *opaque)
{
	while (i->session || i->hooking || i->closing) {
		if (enough(opaque))
			return -EINTR;
		cond_wait_until(&i->idle, &i->lock, cond_now_ns() + ASK_NS);
	}
	return 0;
}

/* The last session's thread has nothing to do any more but to end. */
static void join_last(struct introspection *i)
{
	if (i->has_thread)
		thread_join(&i->thread);
	i->has_thread = false;
	memset(&i->thread, 0, sizeof(i->thread));
}

static int start(struct introspection *i)
{
	int r = receiver_watch(i);

	if (!r)
		r = thread_start(&i->thread, receive, i);
	i->has_thread = !r;
	if (r)
		receiver_end(i);
	return r;
}

static int keep_socket(int fd)
{
	struct stat st;
	int kept;

	if (sys_fstat(fd, &st) || !S_ISSOCK(st.st_mode))
		return -EINVAL;
	kept = fd_keep(sys_fcntl(fd, F_DUPFD_CLOEXEC, 0));
	return kept < 0 ? -errno : kept;
}

int introspection_hook(struct introspection *i, int fd, const struct introspect_rights *rights,
	bool (*enough)(void *opaque), void *opaque)
{
	int kept = keep_socket(fd), r;

	if (kept < 0)
		return kept;
	pthread_mutex_lock(&i->lock);
	r = i->target ? -EBUSY : await_end(i, enough, opaque);
	i->hooking |= !r;
	pthread_mutex_unlock(&i->lock);
	if (r) {
		fd_drop(kept);
		return r;
	}
	join_last(i);
	r = receiver_begin(i, kept, rights);
	if (r)
		fd_drop(kept);
	else
		r = start(i);
	pthread_mutex_lock(&i->lock);
	i->hooking = false;
	cond_changed(&i->idle);
	pthread_mutex_unlock(&i->lock);
	return r;
}
