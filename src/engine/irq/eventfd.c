/* SPDX-License-Identifier: MIT */
/*
 * Eventfds that belong to somebody else. We keep a duplicate, because the caller may close his own
 * at any time, and never change its flags, because those are shared with him.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/irq/fabric.h"
#include "base/fd.h"
#include "base/sys.h"

/* /proc tells, if it is there (it is not in many jails). -1: it is not. */
static int proc_says_eventfd(int fd)
{
	static const char name[] = "anon_inode:[eventfd";
	char path[64], link[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = sys_readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return -1;
	link[n] = 0;
	return !strncmp(link, name, sizeof(name) - 1);
}

/*
 * Of the anonymous inodes, which have no file type, only an eventfd takes 8 bytes and refuses 4.
 * Adding 0 changes nothing.
 */
static bool behaves_like_eventfd(int fd)
{
	struct stat st;
	u64 zero = 0;

	if (sys_fstat(fd, &st) || st.st_mode & S_IFMT)
		return false;
	return sys_write(fd, &zero, 4) < 0 && sys_write(fd, &zero, 8) == 8;
}

int eventfd_hold(int fd)
{
	int is_one, own;

	if (sys_fcntl(fd, F_GETFD, 0) < 0)
		return -EBADF;
	is_one = proc_says_eventfd(fd);
	if (!is_one || (is_one < 0 && !behaves_like_eventfd(fd)))
		return -EINVAL;
	own = sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return own < 0 ? -errno : fd_keep(own);
}

/* The kernel's own id (Linux 5.2); where it cannot be read, descriptors are told apart by number. */
u64 eventfd_identity(int fd)
{
	char path[64], text[512];
	const char *id;
	ssize_t n;
	int f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = sys_open(path, O_RDONLY | O_CLOEXEC);
	n = f < 0 ? 0 : sys_read(f, text, sizeof(text) - 1);
	text[MAX(n, (ssize_t)0)] = 0;
	if (f >= 0)
		sys_close(f);
	id = strstr(text, "eventfd-id:");
	return id ? strtoull(id + 11, NULL, 10) : BIT64(63) | (u64)(u32)fd;
}

/* The owner may have made it blocking, and may read it himself: never wait. */
bool eventfd_consume(int fd)
{
	u64 count;
	struct iovec iov = {&count, sizeof(count)};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n = sys_preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == ESPIPE))
		n = sys_poll(&p, 1, 0) > 0 ? sys_read(fd, &count, sizeof(count)) : -1;
	return n == sizeof(count);
}

void eventfd_signal(int fd)
{
	u64 one = 1;

	(void)!sys_write(fd, &one, sizeof(one));
}
