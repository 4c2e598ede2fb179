/* SPDX-License-Identifier: MIT */
/* The road to the kernel: system calls on its device. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libkvm/port.h"

static int kernel_open(const char *path, void **state)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	*state = NULL;
	return fd < 0 ? -errno : fd;
}

static long kernel_ioctl(
	void *state, int fd, unsigned long request, unsigned long arg, struct refusal *ret_why)
{
	int r = ioctl(fd, request, arg);

	ret_why->why = NULL;
	return r < 0 ? -errno : r;
}

static void kernel_close(void *state, int fd)
{
	close(fd);
}

static void kernel_destroy(void *state)
{
}

const struct port_ops port_kernel = {
	.open = kernel_open,
	.ioctl = kernel_ioctl,
	.run = port_kernel_run,
	.close_fd = kernel_close,
	.destroy = kernel_destroy,
};
