/* SPDX-License-Identifier: MIT */
/* Asking about a file before it is opened. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "shim/preload/given.h"
#include "shim/preload/hook.h"
#include "shim/shim.h"

/* Programs linked with a C library before 2.33 call these. */
int __xstat(int version, const char *path, struct stat *st);
int __lxstat(int version, const char *path, struct stat *st);
int __fxstat(int version, int fd, struct stat *st);
int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags);
int __xstat64(int version, const char *path, struct stat *st);
int __lxstat64(int version, const char *path, struct stat *st);
int __fxstat64(int version, int fd, struct stat *st);
int __fxstatat64(int version, int dirfd, const char *path, struct stat *st, int flags);

/* Where the kernel has written nothing, what st points to may be nowhere, too. */
static long given(void *to, const void *from, size_t n, long result)
{
	return result ? result : sys_copy(to, from, n);
}

static int by_path(int dirfd, const char *path, struct stat *st, int result)
{
	long r = hook_result(result);
	struct stat own;

	if (!r)
		r = shim_stat(dirfd, path, st, 0);
	else if (given_path_after(path, r))
		r = given(st, &own, sizeof(own), shim_stat(dirfd, path, &own, r));
	return (int)hook_return(r);
}

static int by_fd(int fd, struct stat *st, int result)
{
	return (int)hook_return(shim_fstat(fd, st, hook_result(result)));
}

/* No path at all is as good for the kernel since Linux 6.11. */
static bool is_empty(const char *path)
{
	path = as_given(path);
	return !path || !*path;
}

/* With an empty path (AT_EMPTY_PATH) it is the descriptor that counts. */
static int at(int dirfd, const char *path, struct stat *st, int result)
{
	if (result == 0 && is_empty(path))
		return by_fd(dirfd, st, result);
	return by_path(dirfd, path, st, result);
}

HOOK int stat(const char *path, struct stat *st)
{
	return by_path(AT_FDCWD, path, st, NEXT(stat)(path, st));
}

HOOK int lstat(const char *path, struct stat *st)
{
	return by_path(AT_FDCWD, path, st, NEXT(lstat)(path, st));
}

HOOK int fstat(int fd, struct stat *st)
{
	return by_fd(fd, st, NEXT(fstat)(fd, st));
}

HOOK int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return at(dirfd, path, st, NEXT(fstatat)(dirfd, path, st, flags));
}

HOOK int __xstat(int version, const char *path, struct stat *st)
{
	return by_path(AT_FDCWD, path, st, NEXT(__xstat)(version, path, st));
}

HOOK int __lxstat(int version, const char *path, struct stat *st)
{
	return by_path(AT_FDCWD, path, st, NEXT(__lxstat)(version, path, st));
}

HOOK int __fxstat(int version, int fd, struct stat *st)
{
	return by_fd(fd, st, NEXT(__fxstat)(version, fd, st));
}

HOOK int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags)
{
	return at(dirfd, path, st, NEXT(__fxstatat)(version, dirfd, path, st, flags));
}

/* struct stat64 is struct stat on x86-64. */
#define ALIAS(new, old) HOOK __typeof__(new) new __attribute__((alias(#old)))
ALIAS(stat64, stat);
ALIAS(lstat64, lstat);
ALIAS(fstat64, fstat);
ALIAS(fstatat64, fstatat);
ALIAS(__xstat64, __xstat);
ALIAS(__lxstat64, __lxstat);
ALIAS(__fxstat64, __fxstat);
ALIAS(__fxstatat64, __fxstatat);

HOOK int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *st)
{
	long r = hook_result(NEXT(statx)(dirfd, path, flags, mask, st));

	struct statx own;

	if (!r)
		r = is_empty(path) ? shim_fstatx(dirfd, st, 0) : shim_statx(dirfd, path, st, 0);
	else if (given_path_after(path, r))
		r = given(st, &own, sizeof(own), shim_statx(dirfd, path, &own, r));
	return (int)hook_return(r);
}

long hook_access(int dirfd, const char *path, int mode, long result)
{
	long r = given_path_after(path, result) ? shim_access(dirfd, path, mode) : NOT_OURS;

	return r == NOT_OURS ? result : r;
}

HOOK int access(const char *path, int mode)
{
	const long r = hook_result(NEXT(access)(path, mode));

	return (int)hook_return(hook_access(AT_FDCWD, path, mode, r));
}

HOOK int euidaccess(const char *path, int mode)
{
	const long r = hook_result(NEXT(euidaccess)(path, mode));

	return (int)hook_return(hook_access(AT_FDCWD, path, mode, r));
}

HOOK int eaccess(const char *path, int mode) __attribute__((alias("euidaccess")));

HOOK int faccessat(int dirfd, const char *path, int mode, int flags)
{
	const long r = hook_result(NEXT(faccessat)(dirfd, path, mode, flags));

	return (int)hook_return(hook_access(dirfd, path, mode, r));
}
