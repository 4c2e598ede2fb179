/* SPDX-License-Identifier: MIT */
/* Mapping descriptors, and making holes in them. */
#include <fcntl.h>
#include <sys/mman.h>

#include "shim/preload/hook.h"
#include "shim/shim.h"

HOOK void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	const struct mapping m = {addr, len, prot, flags, fd, (u64)offset};
	long r = shim_mmap(&m);

	return likely(r == NOT_OURS) ? NEXT(mmap)(addr, len, prot, flags, fd, offset)
				     : (void *)hook_return(r);
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
