/* SPDX-License-Identifier: MIT */
/* Calls with a path or a descriptor in which our device or the program's own file may be meant. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "abi/dev.h"
#include "base/fd.h"
#include "base/sys.h"
#include "shim/inject/private.h"
#include "shim/listing.h"

/* Is it the link to this process's program? For the kernel that is uservisor. */
bool path_is_own_exe(const char *path)
{
	char *end;

	if (strncmp(path, "/proc/", 6))
		return false;
	path += 6;
	if (!strncmp(path, "self/", 5))
		path += 5;
	else if (!strncmp(path, "thread-self/", 12))
		path += 12;
	else if (strtol(path, &end, 10) == getpid() && *end == '/')
		path = end + 1;
	else
		return false;
	return !strcmp(path, "exe");
}

long open_own_exe(const struct thread *t, int flags)
{
	char link[32];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", t->program->exe);
	return RAW(SYS_open, link, flags);
}

static bool is_known(u64 fd)
{
	return shim_dev() && dev_knows(shim_dev(), (int)fd);
}

/* Under whatever name: a node of ours, or a link to it. */
static bool may_be_node(int dirfd, const char *path, int flags)
{
	bool shown;
	struct stat st;

	if (flags & O_PATH)
		return path_may_be_node(path);
	if (flags & (O_CREAT | O_DIRECTORY))
		return false;
	if ((flags & O_ACCMODE) != O_RDWR && !path_may_hide_node(path))
		return path_link_node(dirfd, path);
	if (fstatat(dirfd, path, &st, 0))
		return path_link_node(dirfd, path);
	return S_ISCHR(st.st_mode) && node_numbered(st.st_rdev, &shown);
}

static long open_any(struct thread *t, int dirfd, u64 address, int flags, u64 mode)
{
	char path[PATH_MAX];
	long r = get_string(path, address, sizeof(path));

	if (r < 0)
		return CALL_PASS; /* the kernel says what is wrong with it */
	r = shim_open(dirfd, path, flags);
	if (shim_checks_reads())
		call_reads_begin(t->program);
	if (r != NOT_OURS)
		return r;
	if (path_is_own_exe(path) && !(flags & O_NOFOLLOW))
		return open_own_exe(t, flags);
	if (!may_be_node(dirfd, path, flags))
		return CALL_PASS;
	return shim_opened(dirfd, path, flags, RAW(SYS_openat, dirfd, path, flags, mode));
}

long call_open(struct thread *t, struct context *c)
{
	return open_any(t, AT_FDCWD, c->rdi, (int)c->rsi, c->rdx);
}

long call_openat(struct thread *t, struct context *c)
{
	return open_any(t, (int)c->rdi, c->rsi, (int)c->rdx, c->r10);
}

long call_openat2(struct thread *t, struct context *c)
{
	struct open_how how;

	if (c->r10 < sizeof(how) || get_bytes(&how, c->rdx, sizeof(how)) || how.resolve)
		return CALL_PASS;
	return open_any(t, (int)c->rdi, c->rsi, (int)how.flags, how.mode);
}

/* Of a descriptor: nothing else has such a name, or is in such a folder. */
static bool may_be_of_descriptor(const char *path)
{
	return !strncmp(path, "/proc/", 6) || (path[0] >= '0' && path[0] <= '9');
}

static long put_link(u64 buffer, u64 size, const char *link, size_t n)
{
	n = MIN(n, (size_t)(int)size);
	return put_bytes(buffer, link, n) ? -EFAULT : (long)n;
}

static long readlink_any(struct thread *t, int dirfd, u64 address, u64 buffer, u64 size)
{
	char path[PATH_MAX], link[SHIM_LINK_MAX];
	size_t n;

	if (get_string(path, address, sizeof(path)) < 0 || (int)size <= 0 ||
		!may_be_of_descriptor(path))
		return CALL_PASS;
	n = shim_readlink(dirfd, path, link, sizeof(link));
	if (n)
		return put_link(buffer, size, link, n);
	if (!path_is_own_exe(path))
		return CALL_PASS;
	if (sys_readlink(path, path, 1) < 0) /* no /proc */
		return CALL_PASS;
	return put_link(buffer, size, t->program->path, strlen(t->program->path));
}

long call_readlink(struct thread *t, struct context *c)
{
	return readlink_any(t, AT_FDCWD, c->rdi, c->rsi, c->rdx);
}

long call_readlinkat(struct thread *t, struct context *c)
{
	return readlink_any(t, (int)c->rdi, c->rsi, c->rdx, c->r10);
}

static long get_entries(int dirfd, void *buffer, size_t n)
{
	return RAW(SYS_getdents64, dirfd, buffer, n);
}

long call_getdents64(struct thread *t, struct context *c)
{
	static const struct listing_ways ways = {get_entries, put_bytes};

	if (!listing_differs((int)c->rdi))
		return CALL_PASS;
	return listing_read((int)c->rdi, c->rsi, (u32)c->rdx, &ways);
}

/* ---- what is asked before a file is opened ---- */

static long access_any(int dirfd, u64 address, int mode)
{
	char path[PATH_MAX];

	return get_string(path, address, sizeof(path)) < 0 ? CALL_PASS
							   : shim_access(dirfd, path, mode);
}

long call_access(struct thread *t, struct context *c)
{
	return access_any(AT_FDCWD, c->rdi, (int)c->rsi);
}

long call_faccessat(struct thread *t, struct context *c)
{
	return access_any((int)c->rdi, c->rsi, (int)c->rdx);
}

static long stat_result(u64 buffer, const struct stat *st, long r)
{
	return r ? r : put_bytes(buffer, st, sizeof(*st));
}

static long stat_any(int dirfd, u64 address, u64 buffer, u64 flags)
{
	char path[PATH_MAX];
	struct stat st;
	long r;

	if (get_string(path, address, sizeof(path)) < 0 ||
		shim_access(dirfd, path, F_OK) == NOT_OURS)
		return CALL_PASS;
	r = RAW(SYS_newfstatat, dirfd, path, &st, flags);
	return stat_result(buffer, &st, shim_stat(dirfd, path, &st, r));
}

static long stat_fd(int fd, u64 buffer)
{
	struct stat st;

	if (!shim_dev() || !dev_knows(shim_dev(), fd))
		return CALL_PASS;
	return stat_result(buffer, &st, shim_fstat(fd, &st, RAW(SYS_fstat, fd, &st)));
}

long call_stat(struct thread *t, struct context *c)
{
	return stat_any(AT_FDCWD, c->rdi, c->rsi, c->rax == SYS_lstat ? AT_SYMLINK_NOFOLLOW : 0);
}

long call_fstat(struct thread *t, struct context *c)
{
	return stat_fd((int)c->rdi, c->rsi);
}

long call_newfstatat(struct thread *t, struct context *c)
{
	char first;

	if ((c->r10 & AT_EMPTY_PATH) && !get_bytes(&first, c->rsi, 1) && !first)
		return stat_fd((int)c->rdi, c->rdx);
	return stat_any((int)c->rdi, c->rsi, c->rdx, c->r10);
}

long call_statx(struct thread *t, struct context *c)
{
	char path[PATH_MAX];
	struct statx st;
	int dirfd = (int)c->rdi;
	long r;

	if (get_string(path, c->rsi, sizeof(path)) < 0)
		return CALL_PASS;
	if (!path[0] && is_known((u64)dirfd)) {
		r = shim_fstatx(dirfd, &st, RAW(SYS_statx, dirfd, path, c->rdx, c->r10, &st));
		return r ? r : put_bytes(c->r8, &st, sizeof(st));
	}
	if (shim_access(dirfd, path, F_OK) == NOT_OURS)
		return CALL_PASS;
	r = shim_statx(dirfd, path, &st, RAW(SYS_statx, dirfd, path, c->rdx, c->r10, &st));
	return r ? r : put_bytes(c->r8, &st, sizeof(st));
}

/* ---- descriptors ---- */

long call_userfaultfd(struct thread *t, struct context *c)
{
	shim_before_userfaultfd();
	return CALL_PASS;
}

long call_ioctl(struct thread *t, struct context *c)
{
	int fd = (int)c->rdi;
	const struct dev_signals how = {
		.hold = t->at_site ? &t->hold : NULL, .caller_mask = signal_mask(t, c)};
	long r = shim_ioctl_with(fd, c->rsi, c->rdx, &how);

	if (c->rsi == USERFAULTFD_NEW)
		shim_before_userfaultfd();
	/* The first machine brings the engine's handlers. */
	if (r != NOT_OURS && dev_makes_machine(c->rsi))
		signal_capture_engine(t->program);
	if (r == NOT_OURS && is_known(c->rdi))
		return shim_ioctl_error(fd, RAW(SYS_ioctl, fd, c->rsi, c->rdx));
	return r;
}

long call_close(struct thread *t, struct context *c)
{
	return shim_close((int)c->rdi);
}

/* Around the engine's own descriptors, which the program does not know of. */
long call_close_range(struct thread *t, struct context *c)
{
	unsigned first = (unsigned)c->rdi, last = (unsigned)c->rsi, end;
	u32 flags = (u32)c->rdx;
	long r = 0;

	if (first > last || (shim_mode() == SHIM_IDLE && fd_next_kept(first, last) < 0))
		return CALL_PASS;
	while (!r && shim_next_range(&first, last, &end)) {
		r = RAW(SYS_close_range, first, end, flags);
		if (end == UINT_MAX)
			break;
		first = end + 1;
	}
	if (!r && !(flags & CLOSE_RANGE_CLOEXEC))
		shim_closing_range((unsigned)c->rdi, last);
	return r;
}

long call_dup(struct thread *t, struct context *c)
{
	long r = c->rax == SYS_dup ? 0 : shim_replace_check((int)c->rdi, (int)c->rsi);

	if (r)
		return r;
	/* dup2() and dup3() close what the number stood for. */
	if (!is_known(c->rdi) && (c->rax == SYS_dup || !is_known(c->rsi)))
		return CALL_PASS;
	r = RAW((long)c->rax, c->rdi, c->rsi, c->rdx);
	if (r >= 0 && (c->rax == SYS_dup || c->rdi != c->rsi))
		shim_duplicated((int)c->rdi, (int)r);
	return r;
}

long call_fcntl(struct thread *t, struct context *c)
{
	int command = (int)c->rsi;
	long r;

	if ((command != F_DUPFD && command != F_DUPFD_CLOEXEC) || !is_known(c->rdi))
		return CALL_PASS;
	r = RAW(SYS_fcntl, c->rdi, command, c->rdx);
	if (r >= 0)
		shim_duplicated((int)c->rdi, (int)r);
	return r;
}

/* ---- what is behind a descriptor ---- */

long call_read(struct thread *t, struct context *c)
{
	const long r = shim_read_check((int)c->rdi, c->rdx);

	return r ? r : CALL_PASS;
}

long call_readv(struct thread *t, struct context *c)
{
	struct iovec v;
	size_t n = 0;
	long r;

	for (u64 i = 0; shim_checks_reads() && i < MIN(c->rdx, (u64)IOV_MAX); i++) {
		if (get_bytes(&v, c->rsi + i * sizeof(v), sizeof(v)))
			return CALL_PASS;
		n += v.iov_len;
	}
	r = shim_read_check((int)c->rdi, n);
	return r ? r : CALL_PASS;
}

long call_mmap(struct thread *t, struct context *c)
{
	const struct mapping m = {
		(void *)c->rdi, c->rsi, (int)c->rdx, (int)c->r10, (int)c->r8, c->r9};
	long r = shim_mmap(&m);

	return r == NOT_OURS ? CALL_PASS : r;
}

long call_fallocate(struct thread *t, struct context *c)
{
	return shim_fallocate((int)c->rdi, (int)c->rsi, (s64)c->rdx, (s64)c->r10);
}
