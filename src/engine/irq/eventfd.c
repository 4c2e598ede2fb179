/* SPDX-License-Identifier: MIT */
/*
 * Eventfds that belong to somebody else. We keep a duplicate, because the caller may close his own
 * at any time, and never change its flags, because those are shared with him.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/irq/fabric.h"

/* /proc tells, if it is there (it is not in many jails). -1: it is not. */
static int proc_says_eventfd(int fd)
{
	static const char name[] = "anon_inode:[eventfd";
	char path[64], link[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link) - 1);
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

	if (fstat(fd, &st) || st.st_mode & S_IFMT)
		return false;
	return write(fd, &zero, 4) < 0 && write(fd, &zero, 8) == 8;
}

int eventfd_hold(int fd)
{
	int is_one, own;

	if (fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	is_one = proc_says_eventfd(fd);
	if (!is_one || (is_one < 0 && !behaves_like_eventfd(fd)))
		return -EINVAL;
	own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return own < 0 ? -errno : own;
}

/* The kernel's own id (Linux 5.2); where it cannot be read, descriptors are told apart by number. */
u64 eventfd_identity(int fd)
{
	char path[64], line[128];
	u64 id = BIT64(63) | (u64)(u32)fd;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	if (!f)
		return id;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "eventfd-id:", 11))
			id = strtoull(line + 11, NULL, 10);
	fclose(f);
	return id;
}

/* The owner may have made it blocking, and may read it himself: never wait. */
bool eventfd_consume(int fd)
{
	u64 count;
	struct iovec iov = {&count, sizeof(count)};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (n < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == ESPIPE))
		n = poll(&p, 1, 0) > 0 ? read(fd, &count, sizeof(count)) : -1;
	return n == sizeof(count);
}

void eventfd_signal(int fd)
{
	u64 one = 1;

	(void)!write(fd, &one, sizeof(one));
}
