/* SPDX-License-Identifier: MIT */
/* See stream.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "abi/stream.h"
#include "base/fd.h"
#include "base/sys.h"

#define ENDS 8 /* for who reads without us */

struct stream {
	pthread_mutex_t lock;
	bool paused;
	int feed;   /* where packets go in */
	int reader; /* a duplicate of the program's end: what was put can be taken back */
};

/* ---- the sockets ---- */

static int put(int fd, const void *packet, size_t n)
{
	struct iovec v = {(void *)packet, n};
	const struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	return sys_sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -EAGAIN : 0;
}

/* Bytes of a packet, or -1: there is none. */
static ssize_t take(int fd, void *packet)
{
	struct iovec v = {packet, STREAM_PACKET_MAX};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};

	return sys_recvmsg(fd, &m, MSG_DONTWAIT);
}

static void put_end(struct stream *s)
{
	put(s->feed, NULL, 0);
}

/* ---- life ---- */

int stream_create(bool cloexec, int *ret_fd, struct stream **ret)
{
	struct stream *s = malloc(sizeof(*s));
	int pair[2];

	if (!s)
		return -ENOMEM;
	if (sys_socketpair(AF_UNIX, SOCK_SEQPACKET | (cloexec ? SOCK_CLOEXEC : 0), 0, pair)) {
		free(s);
		return -errno;
	}
	*s = (struct stream){.feed = fd_keep(pair[1]),
		.reader = fd_keep(sys_fcntl(pair[0], F_DUPFD_CLOEXEC, 0))};
	pthread_mutex_init(&s->lock, NULL);
	if (s->feed < 0 || s->reader < 0) {
		sys_close(pair[0]);
		stream_destroy(s, true);
		return -EMFILE;
	}
	stream_pause(s, true);
	*ret_fd = pair[0];
	*ret = s;
	return 0;
}

void stream_destroy(struct stream *s, bool here)
{
	if (here && s->feed >= 0)
		fd_drop(s->feed);
	if (here && s->reader >= 0)
		fd_drop(s->reader);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- packets ---- */

int stream_put(struct stream *s, const void *packet, size_t n)
{
	int r;

	pthread_mutex_lock(&s->lock);
	r = s->paused ? -EAGAIN : put(s->feed, packet, n);
	pthread_mutex_unlock(&s->lock);
	return r;
}

struct packet {
	struct packet *next;
	size_t n;
	u8 bytes[STREAM_PACKET_MAX];
};

/* All that wait but the ends, in their order. One for which there is no memory is lost. */
static struct packet *take_all(struct stream *s)
{
	struct packet *first = NULL, **last = &first, *p;
	u8 bytes[STREAM_PACKET_MAX];
	ssize_t n;

	while ((n = take(s->reader, bytes)) >= 0) {
		p = n ? malloc(sizeof(*p)) : NULL;
		if (!p)
			continue;
		p->n = (size_t)n;
		p->next = NULL;
		memcpy(p->bytes, bytes, p->n);
		*last = p;
		last = &p->next;
	}
	return first;
}

static void put_all(struct stream *s, struct packet *p)
{
	struct packet *next;

	for (; p; p = next) {
		next = p->next;
		put(s->feed, p->bytes, p->n);
		free(p);
	}
}

void stream_pause(struct stream *s, bool pause)
{
	pthread_mutex_lock(&s->lock);
	if (pause && !s->paused)
		for (unsigned i = 0; i < ENDS; i++)
			put_end(s);
	else if (!pause && s->paused)
		put_all(s, take_all(s));
	s->paused = pause;
	pthread_mutex_unlock(&s->lock);
}

int stream_read_check(struct stream *s, size_t n, size_t packet)
{
	if (n < packet)
		return -EINVAL;
	pthread_mutex_lock(&s->lock);
	if (s->paused)
		put_end(s);
	pthread_mutex_unlock(&s->lock);
	return 0;
}
