/* SPDX-License-Identifier: MIT */
/* Waiting for the VM: whoever waits reads, if nobody else does. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "uvmi/session.h"

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * NS_PER_S + (u64)t.tv_nsec;
}

u64 deadline_in(int timeout_ms)
{
	return timeout_ms < 0 ? UINT64_MAX : now_ns() + (u64)timeout_ms * NS_PER_MS;
}

int deadline_left(u64 deadline)
{
	const u64 now = now_ns();

	if (deadline == UINT64_MAX)
		return -1;
	if (deadline <= now)
		return 0;
	return (int)MIN((deadline - now + NS_PER_MS - 1) / NS_PER_MS, (u64)INT32_MAX);
}

void peer_lock(struct uvmi *s)
{
	pthread_mutex_lock(&s->lock);
}

void peer_unlock(struct uvmi *s)
{
	pthread_mutex_unlock(&s->lock);
}

int peer_fail(struct uvmi *s, int error)
{
	if (!s->failed) {
		s->failed = error;
		/* The VM lets its guest go on at once, and whoever polls notices. */
		shutdown(s->fd, SHUT_RDWR);
		pthread_cond_broadcast(&s->changed);
	}
	return s->failed;
}

int peer_refuse(struct uvmi *s)
{
	int r;

	peer_lock(s);
	r = peer_fail(s, -EPROTO);
	peer_unlock(s);
	return r;
}

/* The eventfd is level-triggered: emptied, or the next poll() would not wait. */
static void take_wake(struct uvmi *s)
{
	u64 n;

	if (read(s->wake_fd, &n, sizeof(n)) == sizeof(n))
		pthread_cond_broadcast(&s->changed);
}

/* The socket's turn: this thread reads. The lock is free while it waits. */
static int read_once(struct uvmi *s, u64 deadline)
{
	struct pollfd fds[2] = {
		{.fd = s->fd, .events = POLLIN}, {.fd = s->wake_fd, .events = POLLIN}};
	int r;

	s->reading = true;
	peer_unlock(s);
	poll(fds, ARRAY_SIZE(fds), deadline_left(deadline));
	peer_lock(s);
	if (fds[1].revents)
		take_wake(s);
	r = s->failed ? s->failed : peer_take(s);
	s->reading = false;
	pthread_cond_broadcast(&s->changed);
	return r;
}

static void wait_for_change(struct uvmi *s, u64 deadline)
{
	struct timespec t = {(time_t)(deadline / NS_PER_S), (long)(deadline % NS_PER_S)};

	if (deadline == UINT64_MAX)
		pthread_cond_wait(&s->changed, &s->lock);
	else
		pthread_cond_timedwait(&s->changed, &s->lock, &t);
}

int peer_wait(struct uvmi *s, bool (*ready)(struct uvmi *s, void *arg), void *arg, u64 deadline)
{
	bool tried = false;

	while (!ready(s, arg)) {
		if (s->failed)
			return s->failed;
		if (tried && deadline_left(deadline) == 0)
			return -ETIMEDOUT;
		tried = true;
		if (s->reading)
			wait_for_change(s, deadline);
		else if (!read_once(s, deadline) && s->late.n)
			pause_reply_late(s);
	}
	return 0;
}
