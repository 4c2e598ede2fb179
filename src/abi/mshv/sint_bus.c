/* SPDX-License-Identifier: MIT */
/*
 * Ends of /dev/mshv_sint in several processes. Each has a socket with a name in the abstract name space, made from the session's
 * and a number: its place. Who sends tries all places. So nobody keeps a list, and an end that is gone has left no trace.
 *
 * Anybody on the machine can send to such a name: what does not come from the same user is dropped. A message for which an end
 * has no room stays where it is, and so do those behind it, until there is (sint_bus_go_on()).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "abi/mshv/sint.h"
#include "base/fd.h"
#include "base/sys.h"

#define PLACES 32 /* ends of a session that are reached from other processes */

enum { BUS_MESSAGE, BUS_EVENT };

struct bus_packet {
	u32 kind; /* BUS_* */
	u32 flag; /* of an event */
	struct hv_message message;
};

/* ---- names ---- */

static socklen_t name_of(const struct vtl *t, int place, struct sockaddr_un *ret)
{
	int n;

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "uservisor-mshv-sint/%s/%d",
		dev_session(t->dev), place);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static int bind_somewhere(struct sint_end *e)
{
	struct sockaddr_un name;

	for (int place = 0; place < PLACES; place++) {
		socklen_t n = name_of(e->vtl, place, &name);

		if (!sys_bind(e->bus.fd, &name, n)) {
			e->place = place;
			return 0;
		}
	}
	return -errno;
}

/* ---- what arrives ---- */

static bool is_from_same_user(struct msghdr *m)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(m);
	struct ucred from;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
		return false;
	memcpy(&from, CMSG_DATA(c), sizeof(from));
	return from.uid == sys_geteuid();
}

static bool is_valid(const struct bus_packet *p)
{
	if (p->kind == BUS_EVENT)
		return p->flag < SINT_FLAGS;
	return p->kind == BUS_MESSAGE && p->message.type &&
	       p->message.len <= sizeof(p->message.payload);
}

/* 1: *ret is a packet; 0: it was none that counts; -1: there are no more. */
static int receive(int fd, struct bus_packet *ret)
{
	u8 control[CMSG_SPACE(sizeof(struct ucred))] __attribute__((aligned(8)));
	struct iovec v = {ret, sizeof(*ret)};
	struct msghdr m = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n = sys_recvmsg(fd, &m, MSG_DONTWAIT);

	if (n < 0)
		return -1;
	return n == sizeof(*ret) && !(m.msg_flags & MSG_TRUNC) && is_from_same_user(&m) &&
	       is_valid(ret);
}

/* e->lock is held. */
void sint_bus_go_on(struct sint_end *e)
{
	struct bus_packet p;
	int r;

	if (e->bus.fd < 0)
		return;
	while (!sint_end_is_full(e) && (r = receive(e->bus.fd, &p)) >= 0) {
		if (!r)
			continue;
		if (p.kind == BUS_EVENT)
			sint_end_event(e, p.flag);
		else
			sint_end_message(e, &p.message);
	}
}

static void happened(struct vtl_watch *w)
{
	struct sint_end *e = container_of(w, struct sint_end, bus);

	pthread_mutex_lock(&e->lock);
	sint_bus_go_on(e);
	pthread_mutex_unlock(&e->lock);
}

/* ---- joining and leaving ---- */

static void leave(struct sint_end *e)
{
	if (e->bus.fd >= 0)
		fd_drop(e->bus.fd);
	e->bus.fd = -1;
	e->place = -1;
}

void sint_bus_join(struct sint_end *e)
{
	const int on = 1;

	if (!dev_session(e->vtl->dev))
		return;
	e->bus =
		(struct vtl_watch){.fd = fd_keep(sys_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
			.happened = happened};
	if (e->bus.fd < 0)
		return;
	pthread_mutex_lock(&e->vtl->watch_lock);
	if (sys_setsockopt(e->bus.fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ||
		bind_somewhere(e) || vtl_watch_add(e->vtl, &e->bus, false))
		leave(e);
	pthread_mutex_unlock(&e->vtl->watch_lock);
}

void sint_bus_leave(struct sint_end *e)
{
	pthread_mutex_lock(&e->vtl->watch_lock);
	if (e->bus.fd >= 0)
		vtl_watch_remove(e->vtl, &e->bus);
	leave(e);
	pthread_mutex_unlock(&e->vtl->watch_lock);
}

/* ---- what is sent ---- */

/* They have been told already. */
static u64 own_places(struct vtl *t)
{
	u64 places = 0;

	pthread_mutex_lock(&t->ends_lock);
	for (const struct sint_end *e = t->ends; e; e = e->next)
		if (e->place >= 0)
			places |= BIT64(e->place);
	pthread_mutex_unlock(&t->ends_lock);
	return places;
}

/* 1: it is there, 0: nobody is. */
static int send_to(struct vtl *t, int fd, int place, struct bus_packet *p, bool *ret_full)
{
	struct sockaddr_un name;
	struct iovec v = {p, sizeof(*p)};
	const struct msghdr m = {.msg_name = &name,
		.msg_namelen = name_of(t, place, &name),
		.msg_iov = &v,
		.msg_iovlen = 1};

	if (sys_sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 1;
	*ret_full |= errno == EAGAIN;
	return errno == EAGAIN;
}

unsigned sint_bus_send(struct vtl *t, const struct hv_message *m, u32 flag, bool *ret_full)
{
	struct bus_packet p = {.kind = m ? BUS_MESSAGE : BUS_EVENT, .flag = flag};
	unsigned there = 0;
	u64 own;
	int fd;

	if (!dev_session(t->dev))
		return 0;
	fd = sys_socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	if (m)
		p.message = *m;
	own = own_places(t);
	for (int place = 0; place < PLACES; place++)
		if (!(own >> place & 1))
			there += (unsigned)send_to(t, fd, place, &p, ret_full);
	sys_close(fd);
	return there;
}
