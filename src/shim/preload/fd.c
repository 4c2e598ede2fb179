/* SPDX-License-Identifier: MIT */
/* Descriptors: requests, duplicates, closing. */
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "abi/dev.h"
#include "base/fd.h"
#include "shim/preload/hook.h"
#include "shim/shim.h"

int fcntl64(int fd, int command, ...);

long hook_ioctl(int fd, unsigned long request, unsigned long arg)
{
	long r = NOT_OURS;

	if (unlikely(request == USERFAULTFD_NEW))
		shim_before_userfaultfd();
	if (unlikely(dev_may_request(request)))
		r = shim_ioctl(fd, request, arg);
	if (r != NOT_OURS)
		return r;
	r = hook_result(NEXT(ioctl)(fd, request, arg));
	return r < 0 ? shim_ioctl_error(fd, r) : r;
}

HOOK int ioctl(int fd, unsigned long request, ...)
{
	unsigned long arg;
	va_list args;

	va_start(args, request);
	arg = va_arg(args, unsigned long);
	va_end(args);
	return (int)hook_return(hook_ioctl(fd, request, arg));
}

long hook_close(int fd)
{
	long r = shim_close(fd);

	return r == NOT_OURS ? hook_result(NEXT(close)(fd)) : r;
}

HOOK int close(int fd)
{
	return (int)hook_return(hook_close(fd));
}

HOOK int close_range(unsigned first, unsigned last, int flags)
{
	unsigned at = first, end;
	int r = 0;

	if (first > last)
		return NEXT(close_range)(first, last, flags);
	while (!r && shim_next_range(&at, last, &end)) {
		r = NEXT(close_range)(at, end, flags);
		if (end == UINT_MAX)
			break;
		at = end + 1;
	}
	if (!r && !(flags & (int)CLOSE_RANGE_CLOEXEC))
		shim_closing_range(first, last);
	return r;
}

HOOK void closefrom(int first)
{
	unsigned from = first < 0 ? 0 : (unsigned)first;

	if (shim_mode() == SHIM_IDLE && fd_next_kept(from, UINT_MAX) < 0)
		NEXT(closefrom)(first);
	else
		close_range(from, UINT_MAX, 0);
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
	long refused = shim_replace_check(fd, to);
	int r = refused ? (int)hook_return(refused) : NEXT(dup2)(fd, to);

	if (r >= 0 && fd != to)
		shim_duplicated(fd, r);
	return r;
}

HOOK int dup3(int fd, int to, int flags)
{
	long refused = shim_replace_check(fd, to);
	int r = refused ? (int)hook_return(refused) : NEXT(dup3)(fd, to, flags);

	if (r >= 0)
		shim_duplicated(fd, r);
	return r;
}

HOOK int fcntl(int fd, int command, ...)
{
	unsigned long arg;
	va_list args;
	int r;

	va_start(args, command);
	arg = va_arg(args, unsigned long);
	va_end(args);
	r = NEXT(fcntl)(fd, command, arg);
	if (r >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC))
		shim_duplicated(fd, r);
	return r;
}

HOOK int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));
