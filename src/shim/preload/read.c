/* SPDX-License-Identifier: MIT */
/* Reading descriptors: the kernel does it, after those of ours for which a read has rules of its own were asked. */
#include <sys/uio.h>
#include <unistd.h>

#include "base/sys.h"
#include "shim/preload/hook.h"
#include "shim/shim.h"

/* What fortified programs call instead. */
ssize_t __read_chk(int fd, void *buffer, size_t n, size_t size);

HOOK ssize_t read(int fd, void *buffer, size_t n)
{
	const long refused = shim_read_check(fd, n);

	return unlikely(refused) ? hook_return(refused) : NEXT(read)(fd, buffer, n);
}

HOOK ssize_t __read_chk(int fd, void *buffer, size_t n, size_t size)
{
	const long refused = shim_read_check(fd, n);

	return unlikely(refused) ? hook_return(refused) : NEXT(__read_chk)(fd, buffer, n, size);
}

/* The list may be anywhere, so it is read only where it matters. */
static long check_list(int fd, const struct iovec *list, int count)
{
	struct iovec v;
	size_t n = 0;

	if (likely(!shim_checks_reads()))
		return 0;
	for (int i = 0; i < count; i++) {
		if (sys_copy(&v, &list[i], sizeof(v)))
			return 0;
		n += v.iov_len;
	}
	return shim_read_check(fd, n);
}

HOOK ssize_t readv(int fd, const struct iovec *list, int count)
{
	const long refused = check_list(fd, list, count);

	return unlikely(refused) ? hook_return(refused) : NEXT(readv)(fd, list, count);
}
