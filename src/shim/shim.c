/* SPDX-License-Identifier: MIT */
/* The one state of this process, and the life of descriptors. See shim.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "abi/dev.h"
#include "shim/shim.h"

static struct {
	pthread_once_t once;
	struct dev *_Atomic dev;
	int error; /* why there is no dev */
} shim = {.once = PTHREAD_ONCE_INIT};

struct dev *shim_dev(void)
{
	return atomic_load_explicit(&shim.dev, memory_order_acquire);
}

static void start(void)
{
	struct dev *d = NULL;

	shim.error = dev_create(&d);
	atomic_store_explicit(&shim.dev, d, memory_order_release);
}

/* 0 or -errno. */
static int shim_start(void)
{
	pthread_once(&shim.once, start);
	return shim.error;
}

static long open_kvm(int flags)
{
	int r = shim_start();

	return r ? r : dev_open_kvm(shim_dev(), flags);
}

long shim_open(int dirfd, const char *path, int flags)
{
	if (!path_is_kvm(dirfd, path))
		return params_open(path, flags);
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	return open_kvm(flags);
}

long shim_opened(int dirfd, const char *path, int flags, long result)
{
	struct dev *d = shim_dev();

	/* A number that the kernel gives out anew cannot be a descriptor that we know. */
	if (d && result >= 0)
		dev_forget(d, result);
	return result;
}

long shim_ioctl(int fd, unsigned long request, unsigned long arg)
{
	struct dev *d = shim_dev();
	long r;

	if (!d || _IOC_TYPE(request) != 0xae)
		return NOT_OURS;
	r = dev_ioctl(d, fd, request, arg);
	return r == -EBADF ? NOT_OURS : r;
}

long shim_ioctl_masked(int fd, unsigned long request, unsigned long arg, u64 mask)
{
	struct dev *d = shim_dev();
	long r;

	if (!d || _IOC_TYPE(request) != 0xae)
		return NOT_OURS;
	r = dev_ioctl_masked(d, fd, request, arg, mask);
	return r == -EBADF ? NOT_OURS : r;
}

long shim_close(int fd)
{
	struct dev *d = shim_dev();

	return d ? dev_close(d, fd) : NOT_OURS;
}

void shim_duplicated(int from, int fd)
{
	struct dev *d = shim_dev();

	if (!d)
		return;
	dev_forget(d, fd);
	dev_owns(d, fd);
}

void shim_closing_range(unsigned first, unsigned last)
{
	struct dev *d = shim_dev();
	unsigned fd;

	for (fd = first; d && fd <= last && fd < (1u << 20); fd++)
		dev_forget(d, (int)fd);
}
