/* SPDX-License-Identifier: MIT */
/* Reading links: those of descriptors in /proc. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "shim/preload/hook.h"
#include "shim/shim.h"

/* What fortified programs call instead. */
ssize_t __readlink_chk(const char *path, char *buffer, size_t n, size_t size);
ssize_t __readlinkat_chk(int dirfd, const char *path, char *buffer, size_t n, size_t size);

/* After the kernel, which has given n bytes, so that path and buffer are there. */
ssize_t hook_readlink(int dirfd, const char *path, char *buffer, size_t size, ssize_t n)
{
	const int error = errno;
	char link[SHIM_LINK_MAX] = "";
	size_t own;

	if (likely(n <= 0 || !link_may_be_ours(buffer, (size_t)n)))
		return n;
	own = MIN(shim_readlink(dirfd, path, link, sizeof(link)), size);
	errno = error;
	/* And nothing behind it: many who get no end of the text rely on zeros that were there before. */
	if (!own || sys_copy(buffer, link, MIN(MAX(own, (size_t)n), sizeof(link))))
		return n;
	return (ssize_t)own;
}

HOOK ssize_t readlink(const char *path, char *buffer, size_t size)
{
	return hook_readlink(AT_FDCWD, path, buffer, size, NEXT(readlink)(path, buffer, size));
}

HOOK ssize_t readlinkat(int dirfd, const char *path, char *buffer, size_t size)
{
	return hook_readlink(
		dirfd, path, buffer, size, NEXT(readlinkat)(dirfd, path, buffer, size));
}

HOOK ssize_t __readlink_chk(const char *path, char *buffer, size_t n, size_t size)
{
	return hook_readlink(
		AT_FDCWD, path, buffer, n, NEXT(__readlink_chk)(path, buffer, n, size));
}

HOOK ssize_t __readlinkat_chk(int dirfd, const char *path, char *buffer, size_t n, size_t size)
{
	return hook_readlink(
		dirfd, path, buffer, n, NEXT(__readlinkat_chk)(dirfd, path, buffer, n, size));
}
