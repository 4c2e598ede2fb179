/* SPDX-License-Identifier: MIT */
/* Opening files by path. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shim/preload/given.h"
#include "shim/preload/hook.h"
#include "shim/shim.h"

/* What a fortified program calls instead, when it gives no mode. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);
int __open(const char *path, int flags, ...);
int __open64(const char *path, int flags, ...);

static bool has_mode(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

/* Ours instead of what the kernel has opened or refused, with the number that is free again; or NOT_OURS. */
static long instead(int dirfd, const char *path, int flags, long result)
{
	if ((flags & O_PATH) || !shim_may_be_ours(path))
		return NOT_OURS;
	if (result >= 0)
		NEXT(close)((int)result);
	return shim_open(dirfd, path, flags);
}

static long by_kernel(int dirfd, const char *path, int flags, mode_t mode)
{
	return hook_result(NEXT(openat)(dirfd, path, flags, mode));
}

/* The kernel must not make a file where ours is meant. */
static long create(int dirfd, const char *path, int flags, mode_t mode)
{
	const bool there = given_path(path);
	long r = there ? shim_open(dirfd, path, flags) : NOT_OURS;

	if (r != NOT_OURS)
		return r;
	r = by_kernel(dirfd, path, flags, mode);
	return there ? shim_opened(dirfd, path, flags, r) : r;
}

long hook_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	long kernels, r;

	if (unlikely(has_mode(flags)))
		return create(dirfd, path, flags, mode);
	kernels = by_kernel(dirfd, path, flags, mode);
	if (!given_path_after(path, kernels))
		return kernels;
	r = instead(dirfd, path, flags, kernels);
	if (r != NOT_OURS)
		return r;
	if (kernels >= 0 && !(flags & O_PATH) && shim_may_be_ours(path)) /* that was closed */
		kernels = by_kernel(dirfd, path, flags, mode);
	return shim_opened(dirfd, path, flags, kernels);
}

#define TAKE_MODE(flags, mode)                                                                     \
	mode_t mode = 0;                                                                           \
	if (has_mode(flags)) {                                                                     \
		va_list args;                                                                      \
		va_start(args, flags);                                                             \
		mode = va_arg(args, mode_t);                                                       \
		va_end(args);                                                                      \
	}

HOOK int open(const char *path, int flags, ...)
{
	TAKE_MODE(flags, mode)
	return (int)hook_return(hook_openat(AT_FDCWD, path, flags, mode));
}

HOOK int openat(int dirfd, const char *path, int flags, ...)
{
	TAKE_MODE(flags, mode)
	return (int)hook_return(hook_openat(dirfd, path, flags, mode));
}

HOOK int __open_2(const char *path, int flags)
{
	return (int)hook_return(hook_openat(AT_FDCWD, path, flags, 0));
}

HOOK int __openat_2(int dirfd, const char *path, int flags)
{
	return (int)hook_return(hook_openat(dirfd, path, flags, 0));
}

/* On x86-64 files have only one size of offsets. */
HOOK int open64(const char *path, int flags, ...) __attribute__((alias("open")));
HOOK int __open(const char *path, int flags, ...) __attribute__((alias("open")));
HOOK int __open64(const char *path, int flags, ...) __attribute__((alias("open")));
HOOK int openat64(int dirfd, const char *path, int flags, ...) __attribute__((alias("openat")));
HOOK int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));
HOOK int __openat64_2(int dirfd, const char *path, int flags) __attribute__((alias("__openat_2")));

/* The C library's streams open without open(): those that read a module's parameters come here. */
HOOK FILE *fopen(const char *path, const char *mode)
{
	const bool creates = mode && mode[0] != 'r';
	FILE *f = creates ? NULL : NEXT(fopen)(path, mode);
	long fd;

	if (!(creates ? given_path(path) : given_path_after(path, f ? 0 : -errno)) ||
		likely(!shim_may_be_ours(path)))
		return creates ? NEXT(fopen)(path, mode) : f;
	if (f)
		fclose(f);
	fd = shim_open(AT_FDCWD, path, !creates && !strchr(mode, '+') ? O_RDONLY : O_RDWR);
	if (fd == NOT_OURS)
		return NEXT(fopen)(path, mode);
	return hook_return(fd) < 0 ? NULL : fdopen((int)fd, mode);
}

HOOK FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));
