/* SPDX-License-Identifier: MIT */
/* Descriptors: requests, duplicates, closing. */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shim/preload/hook.h"
#include "shim/shim.h"

HOOK int ioctl(int fd, unsigned long request, ...)
{
	unsigned long arg;
	va_list args;
	long r;

	va_start(args, request);
	arg = va_arg(args, unsigned long);
	va_end(args);
	r = shim_ioctl(fd, request, arg);
	return r == NOT_OURS ? NEXT(ioctl)(fd, request, arg) : hook_return(r);
}

HOOK int close(int fd)
{
	long r = shim_close(fd);

	return r == NOT_OURS ? NEXT(close)(fd) : hook_return(r);
}

HOOK int close_range(unsigned first, unsigned last, int flags)
{
	shim_closing_range(first, last);
	return NEXT(close_range)(first, last, flags);
}

HOOK int dup(int fd)
{
	int r = NEXT(dup)(fd);

	if (r >= 0)
		shim_duplicated(fd, r);
	return r;
}

HOOK int dup2(int fd, int to)
{
	int r = NEXT(dup2)(fd, to);

	if (r >= 0 && fd != to)
		shim_duplicated(fd, r);
	return r;
}

HOOK int dup3(int fd, int to, int flags)
{
	int r = NEXT(dup3)(fd, to, flags);

	if (r >= 0)
		shim_duplicated(fd, r);
	return r;
}
