/* SPDX-License-Identifier: MIT */
/* Calls with a path or a descriptor in which our device or the program's own file may be meant. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/openat2.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/dev.h"
#include "shim/inject/private.h"

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

static long open_any(struct thread *t, int dirfd, u64 address, int flags, u64 mode)
{
	char path[PATH_MAX];
	long r = get_string(path, address, sizeof(path));

	if (r < 0)
		return CALL_PASS; /* the kernel says what is wrong with it */
	r = shim_open(dirfd, path, flags);
	if (r != NOT_OURS)
		return r;
	if (path_is_own_exe(path) && !(flags & O_NOFOLLOW))
		return RAW(SYS_openat, AT_FDCWD, t->program->path, flags, mode);
	return CALL_PASS;
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

static long readlink_any(struct thread *t, u64 address, u64 buffer, u64 size)
{
	char path[PATH_MAX];
	size_t n;

	if (get_string(path, address, sizeof(path)) < 0 || !path_is_own_exe(path) || (int)size <= 0)
		return CALL_PASS;
	n = MIN(strlen(t->program->path), (size_t)(int)size);
	return put_bytes(buffer, t->program->path, n) ? -EFAULT : (long)n;
}

long call_readlink(struct thread *t, struct context *c)
{
	return readlink_any(t, c->rdi, c->rsi, c->rdx);
}

long call_readlinkat(struct thread *t, struct context *c)
{
	return readlink_any(t, c->rsi, c->rdx, c->r10);
}

/* ---- descriptors ---- */

long call_ioctl(struct thread *t, struct context *c)
{
	long r = shim_ioctl_masked((int)c->rdi, c->rsi, c->rdx, signal_mask(t, c));

	/* The first machine brings the engine's handlers. */
	if (r != NOT_OURS && (u32)c->rsi == KVM_CREATE_VM)
		signal_capture_engine(t->program);
	return r;
}

long call_close(struct thread *t, struct context *c)
{
	int fd = (int)c->rdi;

	/* The kernel's may take their time, and signals interrupt them. */
	return shim_dev() && dev_owns(shim_dev(), fd) ? shim_close(fd) : CALL_PASS;
}

#define CLOSE_RANGE_CLOEXEC_ 4

long call_close_range(struct thread *t, struct context *c)
{
	if (!(c->rdx & CLOSE_RANGE_CLOEXEC_) && (u32)c->rdi <= (u32)c->rsi)
		shim_closing_range((u32)c->rdi, (u32)c->rsi);
	return CALL_PASS;
}

/* dup2() and dup3() close what the number stood for. */
long call_dup2(struct thread *t, struct context *c)
{
	if (c->rdi != c->rsi)
		shim_closing_range((u32)c->rsi, (u32)c->rsi);
	return CALL_PASS;
}
