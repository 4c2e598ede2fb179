/* SPDX-License-Identifier: MIT */
/* Messages to the VM. A message goes out in one piece, and nothing of another thread's between. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "uvmi/session.h"

#define PARTS_MAX 4 /* of a payload */

/* Takes n bytes off the front. */
static void advance(struct msghdr *m, size_t n)
{
	while (n && m->msg_iovlen) {
		const size_t part = MIN(n, m->msg_iov->iov_len);

		m->msg_iov->iov_base = (u8 *)m->msg_iov->iov_base + part;
		m->msg_iov->iov_len -= part;
		n -= part;
		if (!m->msg_iov->iov_len) {
			m->msg_iov++;
			m->msg_iovlen--;
		}
	}
	while (m->msg_iovlen && !m->msg_iov->iov_len) {
		m->msg_iov++;
		m->msg_iovlen--;
	}
}

/*
 * The VM may be unable to read because nobody reads what it sends. So if no other thread does, this one reads while it
 * waits for room.
 */
static int wait_for_room(struct uvmi *s, u64 deadline)
{
	const bool reads = !s->reading;
	struct pollfd p = {.fd = s->fd, .events = (short)(POLLOUT | (reads ? POLLIN : 0))};
	int left = deadline_left(deadline), r = 0;

	if (!left)
		return peer_fail(s, -ETIMEDOUT);
	s->reading |= reads;
	peer_unlock(s);
	poll(&p, 1, left);
	peer_lock(s);
	if (reads) {
		if (!s->failed && p.revents & ~POLLOUT)
			r = peer_take(s);
		s->reading = false;
		pthread_cond_broadcast(&s->changed);
	}
	return s->failed ? s->failed : r;
}

static int send_all(struct uvmi *s, struct msghdr *m)
{
	const u64 deadline = deadline_in(s->timeout_ms);
	ssize_t n;
	int r = 0;

	advance(m, 0);
	while (m->msg_iovlen && !r) {
		n = sendmsg(s->fd, m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0)
			advance(m, (size_t)n);
		else if (errno == EAGAIN)
			r = wait_for_room(s, deadline);
		else if (errno != EINTR)
			r = peer_fail(s, -ENOTCONN);
	}
	return r;
}

int peer_send(struct uvmi *s, struct iovec *parts, int n)
{
	struct msghdr m = {.msg_iov = parts, .msg_iovlen = (size_t)n};
	int r;

	while (!s->failed && (s->sending || (s->batch.open && !batch_is_mine(s))))
		pthread_cond_wait(&s->changed, &s->lock);
	if (s->failed)
		return s->failed;
	s->sending = true;
	r = send_all(s, &m);
	s->sending = false;
	pthread_cond_broadcast(&s->changed);
	return r;
}

int peer_message(struct uvmi *s, u16 id, u32 seq, const struct iovec *payload, int n)
{
	struct kvmi_msg_hdr h = {.id = id, .seq = seq};
	struct iovec parts[1 + PARTS_MAX] = {PART(h)};
	size_t size = 0;

	if (n > PARTS_MAX)
		return -EINVAL;
	for (int i = 0; i < n; i++) {
		parts[1 + i] = payload[i];
		size += payload[i].iov_len;
	}
	if (size > (s->dialect == UVMI_V5 ? UINT16_MAX : KVMI_V6_MSG_SIZE - sizeof(h)))
		return -E2BIG;
	h.size = (u16)size;
	return batch_is_mine(s) ? batch_add_message(s, parts, 1 + n) : peer_send(s, parts, 1 + n);
}
