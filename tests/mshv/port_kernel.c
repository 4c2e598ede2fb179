/* SPDX-License-Identifier: MIT */
/* System calls: see port.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/mshv/port.h"

int port_open(void)
{
	int fd = open("/dev/mshv", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

long port_ioctl(int fd, unsigned long request, const void *arg)
{
	long r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

void port_close(int fd)
{
	close(fd);
}
