/* SPDX-License-Identifier: MIT */
/* The road to the engine in this process: calls into abi/. The only file of libkvm that knows abi/. */
#include <fcntl.h>

#include "abi/dev.h"
#include "libkvm/port.h"

static int soft_open(const char *path, void **state)
{
	struct dev *dev;
	int r = dev_create(&dev);

	if (r < 0)
		return r;
	r = dev_open(dev, path, O_RDWR | O_CLOEXEC);
	if (r < 0) {
		dev_destroy(dev);
		return r;
	}
	*state = dev;
	return r;
}

static long soft_ioctl(
	void *state, int fd, unsigned long request, unsigned long arg, struct refusal *ret_why)
{
	return dev_ioctl_why(state, fd, request, arg, NULL, ret_why);
}

static void soft_close(void *state, int fd)
{
	dev_close(state, fd);
}

static void soft_destroy(void *state)
{
	dev_destroy(state);
}

const char *request_name(unsigned long request)
{
	const char *name = dev_request_name(NULL, request);

	return name ? name : "a request";
}

const struct port_ops port_soft = {
	.open = soft_open,
	.ioctl = soft_ioctl,
	.close_fd = soft_close,
	.destroy = soft_destroy,
};
