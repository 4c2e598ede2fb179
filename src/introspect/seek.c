/* SPDX-License-Identifier: MIT */
/*
 * A machine that looks for its tool, which listens: connect, greet, serve, and again. The greeting is the one that QEMU and
 * the tools agree on (struct kvmi_qemu2introspector).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/sys.h"
#include "introspect/receiver.h"
#include "introspect/secret.h"
#include "introspect/target.h"
#include "introspect/wire.h"

#define RETRY_NS   500000000
#define CONNECT_MS 2000
#define ANSWER_MS  10000

/* ---- connecting ---- */

static int finish_connecting(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return sys_poll(&p, 1, CONNECT_MS) > 0 && !(p.revents & (POLLERR | POLLHUP)) ? 0
										     : -ETIMEDOUT;
}

/* Not blocking, so that who wants this thread's end does not wait for a peer's queue. */
static int connect_to(const struct introspect_target *t)
{
	int fd = fd_keep(
		sys_socket(t->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	int r;

	if (fd < 0)
		return -errno;
	r = sys_connect(fd, &t->address, t->address_size) ? -errno : 0;
	if (r == -EINPROGRESS)
		r = finish_connecting(fd);
	if (!r && !sys_fcntl(fd, F_SETFL, 0))
		return fd;
	fd_drop(fd);
	return r ? r : -errno;
}

/* ---- greeting ---- */

static void process_name(char *ret, size_t size)
{
	int fd = sys_open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : sys_read(fd, ret, size - 1);

	if (fd >= 0)
		sys_close(fd);
	if (n > 0)
		ret[n - (ret[n - 1] == '\n')] = 0;
}

static void introduce(const struct introspection *i, struct kvmi_qemu2introspector *ret)
{
	*ret = (struct kvmi_qemu2introspector){
		.struct_size = sizeof(*ret), .start_time = i->start_time};
	memcpy(ret->uuid, i->uuid, sizeof(ret->uuid));
	if (i->target->name[0])
		memcpy(ret->name, i->target->name, sizeof(ret->name));
	else
		process_name(ret->name, sizeof(ret->name));
}

#define ANSWER_MAX 65536

/* The tool may say more than we know of. Nothing behind it is read. */
static int skip(int fd, size_t n)
{
	u8 unknown[256];
	int r = 0;

	for (; n && !r; n -= MIN(n, sizeof(unknown)))
		r = wire_read(fd, unknown, MIN(n, sizeof(unknown)), ANSWER_MS);
	return r;
}

static int read_answer(int fd, struct kvmi_introspector2qemu *ret)
{
	int r = wire_read(fd, &ret->struct_size, sizeof(ret->struct_size), ANSWER_MS);

	if (r)
		return r;
	if (ret->struct_size < sizeof(*ret) || ret->struct_size > ANSWER_MAX)
		return -EPROTO;
	r = wire_read(fd, ret->cookie_hash, sizeof(ret->cookie_hash), ANSWER_MS);
	return r ? r : skip(fd, ret->struct_size - sizeof(*ret));
}

static int greet(const struct introspection *i, int fd)
{
	const struct introspect_target *t = i->target;
	struct kvmi_qemu2introspector introduction;
	struct kvmi_introspector2qemu answer;
	int r;

	introduce(i, &introduction);
	r = wire_write(fd, &introduction, sizeof(introduction));
	if (!r)
		r = read_answer(fd, &answer);
	if (!r && t->has_cookie && !secret_same(answer.cookie_hash, t->cookie_hash, SHA1_SIZE))
		r = -EACCES;
	return r;
}

/* ---- again and again ---- */

static void serve_one(struct introspection *i, int fd)
{
	if (receiver_begin(i, fd, &i->target->rights)) {
		fd_drop(fd);
		return;
	}
	if (!greet(i, fd) && !receiver_watch(i))
		receiver_serve(i);
	receiver_end(i);
}

/* True: it is the end. */
static bool pause_or_end(struct introspection *i)
{
	const u64 until = cond_now_ns() + RETRY_NS;
	bool ending;

	pthread_mutex_lock(&i->lock);
	while (!i->ending && cond_wait_until(&i->idle, &i->lock, until))
		;
	ending = i->ending;
	pthread_mutex_unlock(&i->lock);
	return ending;
}

static void *seek(void *opaque)
{
	struct introspection *i = opaque;

	do {
		int fd = connect_to(i->target);

		if (fd >= 0)
			serve_one(i, fd);
	} while (!pause_or_end(i));
	return NULL;
}

/* Version 4, variant 1 (RFC 9562). */
static void make_uuid(u8 uuid[16])
{
	if (SYS_CALL3(SYS_getrandom, uuid, 16, 0) != 16)
		return;
	uuid[6] = (u8)((uuid[6] & 0x0f) | 0x40);
	uuid[8] = (u8)((uuid[8] & 0x3f) | 0x80);
}

int introspection_look_for(struct introspection *i, const struct introspect_target *t)
{
	int r;

	i->target = t;
	i->start_time = time(NULL);
	make_uuid(i->uuid);
	r = thread_start(&i->thread, seek, i);
	i->has_thread = !r;
	return r;
}
