/* SPDX-License-Identifier: MIT */
/* See wire.h. The socket's own calls are made as the rest of the engine's: the program may forbid itself the C library's. */
#include "introspect/wire.h"

#include <errno.h>
#include <string.h>

#include "base/sys.h"

void wire_shut(int fd)
{
	sys_shutdown(fd, SHUT_RDWR);
}

static ssize_t receive_some(int fd, void *buffer, size_t n)
{
	struct iovec iov = {.iov_base = buffer, .iov_len = n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t got;

	do
		got = sys_recvmsg(fd, &m, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	return got ? got : -ECONNRESET;
}

static int wait_readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int r = sys_poll(&p, 1, timeout_ms);

	return r > 0 || (r < 0 && errno == EINTR) ? 0 : -ETIMEDOUT;
}

int wire_read(int fd, void *buffer, size_t n, int timeout_ms)
{
	for (size_t at = 0; at < n;) {
		int r = wait_readable(fd, timeout_ms);
		ssize_t got = r ? r : receive_some(fd, (u8 *)buffer + at, n - at);

		if (got < 0)
			return (int)got;
		at += (size_t)got;
	}
	return 0;
}

int wire_write(int fd, const void *buffer, size_t n)
{
	for (size_t at = 0; at < n;) {
		struct iovec iov = {.iov_base = (u8 *)buffer + at, .iov_len = n - at};
		struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t put = sys_sendmsg(fd, &m, MSG_NOSIGNAL);

		if (put < 0 && errno != EINTR)
			return -errno;
		at += put < 0 ? 0 : (size_t)put;
	}
	return 0;
}

bool wire_takes_files(int fd)
{
	struct sockaddr_storage name;
	socklen_t n = sizeof(name);

	return !sys_getsockname(fd, &name, &n) && name.ss_family == AF_UNIX;
}

/* The descriptors go with the first byte, and what follows by itself. */
static int write_with_files(int fd, const void *message, size_t n, const int *files, unsigned count)
{
	union {
		struct cmsghdr align;
		u8 bytes[CMSG_SPACE(RAM_FILES_MAX * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)message, .iov_len = 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(count * sizeof(int))};

	control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.align), files, count * sizeof(int));
	while (sys_sendmsg(fd, &m, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return wire_write(fd, (const u8 *)message + 1, n - 1);
}

void wire_send(struct session *s, const void *message, size_t n, const int *fd, unsigned files)
{
	int r;

	pthread_mutex_lock(&s->send_lock);
	r = files ? write_with_files(s->fd, message, n, fd, files) : wire_write(s->fd, message, n);
	pthread_mutex_unlock(&s->send_lock);
	if (r)
		wire_shut(s->fd);
}

static size_t held(const struct inbox *in)
{
	return in->end - in->begin;
}

/* How much must be there before the next message is. */
static size_t wanted(const struct inbox *in)
{
	const size_t header = sizeof(struct kvmi_msg_hdr);
	struct kvmi_msg_hdr h;

	if (held(in) < header)
		return header;
	memcpy(&h, in->bytes + in->begin, header);
	return header + h.size;
}

/*
 * A tool asks many things in a row, and to be woken for each costs more than what is asked, above all on a host that is a guest
 * itself. So the thread looks for a while, and lets others run meanwhile, before it sleeps.
 */
static ssize_t receive_soon(int fd, void *buffer, size_t n)
{
	const u64 until = cond_now_ns() + WIRE_SOON_NS;
	struct iovec iov = {.iov_base = buffer, .iov_len = n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	do {
		ssize_t got = sys_recvmsg(fd, &m, MSG_DONTWAIT);

		if (got > 0)
			return got;
		if (!got || (errno != EAGAIN && errno != EINTR))
			break;
		sys_sched_yield();
	} while (cond_now_ns() < until);
	return receive_some(fd, buffer, n);
}

static int fill(int fd, struct inbox *in)
{
	ssize_t got;

	memmove(in->bytes, in->bytes + in->begin, held(in));
	in->end = held(in);
	in->begin = 0;
	got = receive_soon(fd, in->bytes + in->end, sizeof(in->bytes) - in->end);
	if (got < 0)
		return (int)got;
	in->end += (size_t)got;
	return 0;
}

int wire_receive(int fd, struct inbox *in, struct kvmi_msg_hdr *ret, const u8 **ret_payload)
{
	size_t n;

	while (held(in) < (n = wanted(in))) {
		int r = fill(fd, in);

		if (r)
			return r;
	}
	memcpy(ret, in->bytes + in->begin, sizeof(*ret));
	*ret_payload = in->bytes + in->begin + sizeof(*ret);
	in->begin += n;
	return 0;
}
