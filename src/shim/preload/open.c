/* SPDX-License-Identifier: MIT */
/* Opening files by path. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shim/preload/hook.h"
#include "shim/shim.h"

/* What a fortified program calls instead, when it gives no mode. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);
int __open(const char *path, int flags, ...);
int __open64(const char *path, int flags, ...);

long hook_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	long r = shim_open(dirfd, path, flags);

	if (r == NOT_OURS) {
		r = hook_result(NEXT(openat)(dirfd, path, flags, mode));
		r = shim_opened(dirfd, path, flags, r);
	}
	return r;
}

static bool has_mode(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
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
	const bool reads = mode && mode[0] == 'r' && !strchr(mode, '+');
	long fd = mode ? shim_open(AT_FDCWD, path, reads ? O_RDONLY : O_RDWR) : NOT_OURS;

	if (fd == NOT_OURS)
		return NEXT(fopen)(path, mode);
	return hook_return(fd) < 0 ? NULL : fdopen((int)fd, mode);
}

HOOK FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));
