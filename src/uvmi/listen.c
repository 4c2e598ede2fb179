/* SPDX-License-Identifier: MIT */
/* Sockets at which VMs find the tool: a path, or a port of AF_VSOCK. */
#include <errno.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "uvmi/session.h"

#define BACKLOG 16

struct uvmi_listener {
	int fd;
	char path[sizeof(((struct sockaddr_un *)0)
				 ->sun_path)]; /* of the file that is to be removed, or "" */
};

/* A number and nothing else. */
static int parse_port(const char *text, struct sockaddr_vm *ret)
{
	char *end;
	unsigned long port;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	port = strtoul(text, &end, 10);
	if (errno || *end || port >= VMADDR_PORT_ANY)
		return -EINVAL;
	*ret = (struct sockaddr_vm){
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = (unsigned)port};
	return 0;
}

static int parse_path(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (!*path)
		return -EINVAL;
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	strcpy(ret->sun_path, path);
	return 0;
}

static int listen_vsock(struct uvmi_listener *l, const char *port)
{
	struct sockaddr_vm a;
	int r = parse_port(port, &a);

	if (r)
		return r;
	l->fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&a, sizeof(a)) || listen(l->fd, BACKLOG))
		return -errno;
	return 0;
}

/* What is at the path already: 0 if it was a socket that nobody listens at; it is gone then. */
static int remove_stale(const struct sockaddr_un *a)
{
	struct stat st;
	int fd, r = 0;

	if (lstat(a->sun_path, &st))
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)a, sizeof(*a)) || errno == EAGAIN)
		r = -EADDRINUSE;
	else if (errno != ECONNREFUSED)
		r = -errno;
	close(fd);
	if (!r && unlink(a->sun_path))
		r = -errno;
	return r;
}

static int listen_path(struct uvmi_listener *l, const char *path)
{
	struct sockaddr_un a;
	int r = parse_path(path, &a);

	if (r)
		return r;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* The file that bind() makes has the mode of the socket, less umask. */
	if (l->fd < 0 || fchmod(l->fd, 0600))
		return -errno;
	r = bind(l->fd, (struct sockaddr *)&a, sizeof(a)) ? -errno : 0;
	if (r == -EADDRINUSE) {
		r = remove_stale(&a);
		if (!r && bind(l->fd, (struct sockaddr *)&a, sizeof(a)))
			r = -errno;
	}
	if (r)
		return r;
	strcpy(l->path, a.sun_path);
	return listen(l->fd, BACKLOG) ? -errno : 0;
}

static int listen_at(struct uvmi_listener *l, const char *address)
{
	static const char unix_prefix[] = "unix:", vsock_prefix[] = "vsock:";

	if (!strncmp(address, unix_prefix, sizeof(unix_prefix) - 1))
		return listen_path(l, address + sizeof(unix_prefix) - 1);
	if (!strncmp(address, vsock_prefix, sizeof(vsock_prefix) - 1))
		return listen_vsock(l, address + sizeof(vsock_prefix) - 1);
	return *address == '/' || *address == '.' ? listen_path(l, address) : -EINVAL;
}

int uvmi_listen(const char *address, struct uvmi_listener **ret)
{
	struct uvmi_listener *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->fd = -1;
	r = listen_at(l, address);
	if (r)
		uvmi_listener_close(l);
	else
		*ret = l;
	return r;
}

int uvmi_listener_fd(const struct uvmi_listener *l)
{
	return l->fd;
}

void uvmi_listener_close(struct uvmi_listener *l)
{
	if (!l)
		return;
	if (*l->path)
		unlink(l->path);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

/* A VM that has gone again does not count. */
static int accept_one(int listener, u64 deadline)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};
	int fd, n;

	for (;;) {
		n = poll(&p, 1, deadline_left(deadline));
		if (n == 0)
			return -ETIMEDOUT;
		if (n < 0)
			return -errno;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			return fd;
		if (errno != ECONNABORTED && errno != EINTR)
			return -errno;
	}
}

int uvmi_accept(struct uvmi_listener *l, const struct uvmi_options *options, int timeout_ms,
	struct uvmi **ret)
{
	const int fd = accept_one(l->fd, deadline_in(timeout_ms));
	int r;

	if (fd < 0)
		return fd;
	r = uvmi_adopt(fd, options, ret);
	if (r)
		close(fd);
	return r;
}
