/* SPDX-License-Identifier: MIT */
/* What comes from the VM: bytes become messages, and each message goes to whom it is for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uvmi/session.h"

#define ERROR_MAX 4095 /* Linux's own limit of -errno */

static struct pending *take_pending(struct uvmi *s, u32 seq)
{
	for (struct pending **at = &s->pending; *at; at = &(*at)->next) {
		struct pending *p = *at;

		if (p->seq == seq) {
			*at = p->next;
			return p;
		}
	}
	return NULL;
}

/* The id of the command, or -1: nobody has given it up. */
static int take_orphan(struct uvmi *s, u32 seq)
{
	for (struct orphan **at = &s->orphans; *at; at = &(*at)->next) {
		struct orphan *o = *at;
		const int id = o->id;

		if (o->seq == seq) {
			*at = o->next;
			free(o);
			return id;
		}
	}
	return -1;
}

/* 0, -errno, or 1: it is no error of the protocol. */
static int error_of(s32 err)
{
	if (err == -KVM_ENOSYS)
		return -ENOSYS;
	return err <= 0 && err >= -ERROR_MAX ? err : 1;
}

/* v5 knows no other size than the right one; v6 lets answers grow. */
static bool size_is_good(const struct uvmi *s, const struct pending *p, size_t size)
{
	return size >= p->min && (s->dialect == UVMI_V6 || size <= p->max);
}

static int give_answer(struct uvmi *s, struct pending *p, const u8 *payload, size_t size)
{
	struct kvmi_error_code code;
	int r;

	memcpy(&code, payload, sizeof(code));
	r = error_of(code.err);
	if (r > 0 || (r == 0 && !size_is_good(s, p, size - sizeof(code))))
		return -EPROTO;
	if (r == 0) {
		p->got = size - sizeof(code);
		if (p->out)
			memcpy(p->out, payload + sizeof(code), MIN(p->got, p->max));
	}
	p->result = r;
	p->done = true;
	return 0;
}

static int answer_arrived(struct uvmi *s, const struct kvmi_msg_hdr *h, const u8 *payload)
{
	struct pending *p;
	int r;

	if (h->size < sizeof(struct kvmi_error_code))
		return -EPROTO;
	p = take_pending(s, h->seq);
	if (!p)
		return take_orphan(s, h->seq) == h->id ? 0 : -EPROTO;
	r = p->id == h->id ? give_answer(s, p, payload, h->size) : -EPROTO;
	if (r) { /* who waits for it finds that the session has failed */
		p->next = s->pending;
		s->pending = p;
	}
	return r;
}

static int message_arrived(struct uvmi *s, const struct kvmi_msg_hdr *h, const u8 *payload)
{
	const u16 event = s->dialect == UVMI_V5 ? KVMI_EVENT : KVMI_V6_EVENT;

	if (h->id == event)
		return event_arrived(s, h->seq, payload, h->size);
	return answer_arrived(s, h, payload);
}

/* All messages that are complete; what is left moves to the front. */
static int give_out(struct uvmi *s)
{
	struct kvmi_msg_hdr h;
	size_t at = 0;
	int r = 0;

	while (!r && s->have - at >= sizeof(h)) {
		memcpy(&h, s->message + at, sizeof(h));
		if (s->have - at < sizeof(h) + h.size)
			break;
		r = message_arrived(s, &h, s->message + at + sizeof(h));
		at += sizeof(h) + h.size;
	}
	memmove(s->message, s->message + at, s->have - at);
	s->have -= at;
	return r;
}

/* A descriptor that nobody waits for is closed. */
static void take_files(struct uvmi *s, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		const bool files = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS;
		const size_t n = files ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (s->wants_files && s->n_files < FILES_MAX)
				s->files[s->n_files++] = fd;
			else
				close(fd);
		}
	}
}

static ssize_t take_bytes(struct uvmi *s)
{
	_Alignas(struct cmsghdr) u8 control[CMSG_SPACE(FILES_MAX * sizeof(int))];
	struct iovec part = {s->message + s->have, MESSAGE_MAX - s->have};
	struct msghdr m = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	const ssize_t n = recvmsg(s->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n >= 0)
		take_files(s, &m);
	return n;
}

/* Until the socket is empty: what came before its end counts. */
int peer_take(struct uvmi *s)
{
	ssize_t n;
	int r = 0;

	while (!r) {
		n = take_bytes(s);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0)
			r = -ENOTCONN;
		else {
			s->have += (size_t)n;
			r = give_out(s);
		}
	}
	return r ? peer_fail(s, r) : 0;
}
