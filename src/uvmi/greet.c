/* SPDX-License-Identifier: MIT */
/*
 * The greeting: the VM says who it is, and the tool proves that it knows the cookie. Nothing is read beyond it. The VM
 * may say more than is known here, which is dropped.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/sha1.h"
#include "uvmi/session.h"

/* As other tools have it: at least until the name, at most this. */
#define GREETING_MIN offsetof(struct kvmi_qemu2introspector, name)
#define GREETING_MAX 65536

_Static_assert(
	sizeof(((struct kvmi_introspector2qemu *)0)->cookie_hash) == SHA1_SIZE, "the protocol's");

static int wait_for(int fd, short events, u64 deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	const int left = deadline_left(deadline);

	if (!left)
		return -ETIMEDOUT;
	return poll(&p, 1, left) < 0 && errno != EINTR ? -errno : 0;
}

static int get(int fd, void *data, size_t size, u64 deadline)
{
	u8 *at = data;
	ssize_t n;
	int r = 0;

	while (size && !r) {
		n = recv(fd, at, size, MSG_DONTWAIT);
		if (n > 0) {
			at += n;
			size -= (size_t)n;
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			r = n && errno == ENOTSOCK ? -ENOTSOCK : -ENOTCONN;
		else
			r = wait_for(fd, POLLIN, deadline);
	}
	return r;
}

/* So few bytes that a new connection has room for them. */
static int put(int fd, const void *data, size_t size)
{
	return send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size ? 0 : -ENOTCONN;
}

static int drop(int fd, size_t size, u64 deadline)
{
	u8 bytes[512];
	int r = 0;

	while (size && !r) {
		const size_t part = MIN(size, sizeof(bytes));

		r = get(fd, bytes, part, deadline);
		size -= part;
	}
	return r;
}

/* What the VM says, zero where it says less. */
struct greeting {
	struct kvmi_qemu2introspector known;
	u64 max_gpa; /* later versions add it */
} __attribute__((packed));

static int get_greeting(int fd, struct greeting *g, u64 deadline)
{
	u32 size;
	int r = get(fd, &size, sizeof(size), deadline);

	if (r)
		return r;
	if (size < GREETING_MIN || size > GREETING_MAX)
		return -EPROTO;
	r = get(fd, (u8 *)g + sizeof(size), MIN(size, sizeof(*g)) - sizeof(size), deadline);
	if (!r && size > sizeof(*g))
		r = drop(fd, size - sizeof(*g), deadline);
	return r;
}

int greet(int fd, const void *cookie, size_t cookie_size, u64 deadline, struct uvmi_vm_info *ret_vm)
{
	struct kvmi_introspector2qemu answer = {.struct_size = sizeof(answer)};
	struct greeting g = {.max_gpa = 0};
	int r = get_greeting(fd, &g, deadline);

	if (r)
		return r;
	if (cookie)
		sha1(cookie, cookie_size, answer.cookie_hash);
	r = put(fd, &answer, sizeof(answer));
	if (r)
		return r;
	*ret_vm = (struct uvmi_vm_info){.start_time = g.known.start_time, .max_gpa = g.max_gpa};
	memcpy(ret_vm->uuid, g.known.uuid, sizeof(ret_vm->uuid));
	memcpy(ret_vm->name, g.known.name, sizeof(ret_vm->name) - 1);
	return 0;
}
