/* SPDX-License-Identifier: MIT */
/* Mapping descriptors, making holes in them, and what is done to memory later. */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>

#include "shim/preload/hook.h"
#include "shim/shim.h"

HOOK void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	const struct mapping m = {addr, len, prot, flags, fd, (u64)offset};
	long r;

	if (flags & MAP_FIXED)
		shim_before_remap(addr, len, true);
	r = shim_mmap(&m);
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

HOOK int madvise(void *addr, size_t len, int advice)
{
	long r = shim_madvise(addr, len, advice);

	return likely(r == NOT_OURS) ? NEXT(madvise)(addr, len, advice) : (int)hook_return(r);
}

HOOK int munmap(void *addr, size_t len)
{
	shim_before_remap(addr, len, true);
	return NEXT(munmap)(addr, len);
}

HOOK int mprotect(void *addr, size_t len, int prot)
{
	shim_before_remap(addr, len, false);
	return NEXT(mprotect)(addr, len, prot);
}

HOOK int pkey_mprotect(void *addr, size_t len, int prot, int key)
{
	shim_before_remap(addr, len, false);
	return NEXT(pkey_mprotect)(addr, len, prot, key);
}

HOOK void *mremap(void *addr, size_t old, size_t len, int flags, ...)
{
	long r = shim_grow_check(addr, old, len);
	void *to = NULL;
	va_list args;

	if (r != NOT_OURS)
		return (void *)hook_return(r);
	va_start(args, flags);
	if (flags & MREMAP_FIXED) {
		to = va_arg(args, void *);
		shim_before_remap(to, len, true);
	}
	va_end(args);
	shim_before_remap(addr, old, true);
	return NEXT(mremap)(addr, old, len, flags, to);
}
