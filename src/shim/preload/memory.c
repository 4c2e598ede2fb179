/* SPDX-License-Identifier: MIT */
/* Mapping descriptors, and making holes in them. */
#include <fcntl.h>
#include <sys/mman.h>

#include "shim/preload/hook.h"
#include "shim/shim.h"

HOOK void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	long r = flags & MAP_ANONYMOUS ? 0 : shim_mmap_check(fd, prot, flags, len, (u64)offset);

	if (unlikely(r))
		return hook_return(r), MAP_FAILED;
	return NEXT(mmap)(addr, len, prot, flags, fd, offset);
}

HOOK void *mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
	__attribute__((alias("mmap")));

long hook_fallocate(int fd, int mode, off_t offset, off_t len)
{
	long r = shim_fallocate(fd, mode, offset, len);

	return r == NOT_OURS ? hook_result(NEXT(fallocate)(fd, mode, offset, len)) : r;
}

HOOK int fallocate(int fd, int mode, off_t offset, off_t len)
{
	return (int)hook_return(hook_fallocate(fd, mode, offset, len));
}

HOOK int fallocate64(int fd, int mode, off_t offset, off_t len) __attribute__((alias("fallocate")));
