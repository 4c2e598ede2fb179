/* SPDX-License-Identifier: MIT */
/* Calls into the engine: see port.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "abi/dev.h"
#include "tests/mshv/port.h"

/* One for the whole process, as the kernel is. */
static struct dev *dev;

static void create(void)
{
	if (dev_create(&dev))
		dev = NULL;
}

int port_open(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, create);
	return dev ? dev_open(dev, "/dev/mshv", O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -ENOMEM;
}

long port_ioctl(int fd, unsigned long request, const void *arg)
{
	return dev_ioctl(dev, fd, request, (unsigned long)arg);
}

void port_close(int fd)
{
	dev_close(dev, fd);
}
