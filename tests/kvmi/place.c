/* SPDX-License-Identifier: MIT */
/* See place.h. */
#include "tests/kvmi/place.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/kvmi/tool.h"

struct place place_open(void)
{
	struct place p = {.folder = "/tmp/kvmi-test-XXXXXX", .fd = -1};

	CHECK(mkdtemp(p.folder));
	snprintf(p.path, sizeof(p.path), "%s/tool", p.folder);
	snprintf(p.cookie, sizeof(p.cookie), "%s/cookie", p.folder);
	return p;
}

void place_listen(struct place *p)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	memcpy(a.sun_path, p->path, strlen(p->path) + 1);
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(p->fd >= 0);
	CHECK_EQ(bind(p->fd, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(listen(p->fd, 5), 0);
}

void place_close(struct place *p)
{
	if (p->fd >= 0)
		close(p->fd);
	unlink(p->path);
	unlink(p->cookie);
	rmdir(p->folder);
}

int place_accept(struct place *p)
{
	struct pollfd wait = {.fd = p->fd, .events = POLLIN};
	int fd;

	CHECK_EQ(poll(&wait, 1, (int)wait_ms()), 1);
	fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

void greeting_read(int fd, u8 *ret)
{
	CHECK_EQ(recv(fd, ret, GREETING, MSG_WAITALL), GREETING);
}

void greeting_answer(int fd, u32 size, const u8 *bytes, size_t n)
{
	u8 message[4 + 256] = {0};

	put_u32(message, size);
	if (bytes)
		memcpy(message + 4, bytes, n);
	CHECK_EQ(send(fd, message, 4 + n, MSG_NOSIGNAL), 4 + n);
}

int place_greeted(struct place *p)
{
	const int fd = place_accept(p);
	u8 greeting[GREETING];

	greeting_read(fd, greeting);
	greeting_answer(fd, 24, NULL, 20);
	return fd;
}
