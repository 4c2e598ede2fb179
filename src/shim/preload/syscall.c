/* SPDX-License-Identifier: MIT */
/* syscall(): the same calls as everywhere else, by number. */
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/sys.h"
#include "shim/ended.h"
#include "shim/preload/given.h"
#include "shim/preload/hook.h"
#include "shim/preload/start.h"
#include "shim/processor.h"
#include "shim/shim.h"

#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

/* How a function gives its error: already as errno, so that the caller's hook_return() finds it. */
#define AS_RESULT(call) hook_result(call)

static long pass(long nr, const long a[6])
{
	return hook_result(NEXT(syscall)(nr, a[0], a[1], a[2], a[3], a[4], a[5]));
}

static long or_pass(long r, long nr, const long a[6])
{
	return r == NOT_OURS ? pass(nr, a) : r;
}

/* The kernel's struct sigaction, not the C library's. */
static long by_sigaction(const long a[6])
{
	struct sys_sigaction set, get = {0};
	struct sigaction in, out;
	long r;

	if (a[1]) {
		if (sys_copy(&set, (void *)a[1], sizeof(set)))
			return pass(SYS_rt_sigaction, a);
		in = (struct sigaction){
			.sa_handler = (__sighandler_t)set.handler, .sa_flags = (int)set.flags};
		memcpy(&in.sa_mask, &set.mask, sizeof(set.mask));
	}
	r = a[3] == sizeof(u64) ? shim_sigaction((int)a[0], a[1] ? &in : NULL, &out) : NOT_OURS;
	if (r == NOT_OURS || r < 0)
		return or_pass(r, SYS_rt_sigaction, a);
	get.handler = (void *)out.sa_handler;
	get.flags = (unsigned)out.sa_flags;
	memcpy(&get.mask, &out.sa_mask, sizeof(get.mask));
	return a[2] ? sys_copy((void *)a[2], &get, sizeof(get)) : 0;
}

static long by_openat2(const long a[6])
{
	const char *path = (const char *)a[1];
	struct open_how how;
	const bool plain = (size_t)a[3] >= sizeof(how) &&
			   !sys_copy(&how, (void *)a[2], sizeof(how)) && !how.resolve &&
			   given_path(path);
	long r = plain ? shim_open((int)a[0], path, (int)how.flags) : NOT_OURS;

	if (r != NOT_OURS)
		return r;
	r = pass(SYS_openat2, a);
	return plain ? shim_opened((int)a[0], path, (int)how.flags, r) : r;
}

static long as_address(void *p)
{
	return p == MAP_FAILED ? -errno : (long)p;
}

static long by_number(long nr, const long a[6])
{
	const unsigned long option[4] = {
		(unsigned long)a[1], (unsigned long)a[2], (unsigned long)a[3], (unsigned long)a[4]};
	const char *path = (const char *)a[0], *path_at = (const char *)a[1];

	switch (nr) {
	case SYS_madvise: return AS_RESULT(madvise((void *)a[0], (size_t)a[1], (int)a[2]));
	case SYS_munmap: return AS_RESULT(munmap((void *)a[0], (size_t)a[1]));
	case SYS_mprotect: return AS_RESULT(mprotect((void *)a[0], (size_t)a[1], (int)a[2]));
	case SYS_mremap:
		return as_address(
			mremap((void *)a[0], (size_t)a[1], (size_t)a[2], (int)a[3], a[4]));
	case SYS_mmap:
		return as_address(
			mmap((void *)a[0], (size_t)a[1], (int)a[2], (int)a[3], (int)a[4], a[5]));
	case SYS_fallocate: return hook_fallocate((int)a[0], (int)a[1], a[2], a[3]);
	case SYS_ioctl: return hook_ioctl((int)a[0], (unsigned long)a[1], (unsigned long)a[2]);
	case SYS_open: return hook_openat(AT_FDCWD, path, (int)a[1], (mode_t)a[2]);
	case SYS_openat: return hook_openat((int)a[0], path_at, (int)a[2], (mode_t)a[3]);
	case SYS_openat2: return by_openat2(a);
	case SYS_close: return hook_close((int)a[0]);
	case SYS_close_range: return AS_RESULT(close_range((u32)a[0], (u32)a[1], (int)a[2]));
	case SYS_getdents64: return hook_getdents64((int)a[0], (void *)a[1], (u32)a[2]);
	case SYS_read: return AS_RESULT(read((int)a[0], (void *)a[1], (size_t)a[2]));
	case SYS_readv: return AS_RESULT(readv((int)a[0], (const void *)a[1], (int)a[2]));
	case SYS_readlink:
		return hook_readlink(AT_FDCWD, path, (char *)a[1], (size_t)(int)a[2], pass(nr, a));
	case SYS_readlinkat:
		return hook_readlink(
			(int)a[0], path_at, (char *)a[2], (size_t)(int)a[3], pass(nr, a));
	case SYS_dup: return AS_RESULT(dup((int)a[0]));
	case SYS_dup2: return AS_RESULT(dup2((int)a[0], (int)a[1]));
	case SYS_dup3: return AS_RESULT(dup3((int)a[0], (int)a[1], (int)a[2]));
	case SYS_fcntl: return AS_RESULT(fcntl((int)a[0], (int)a[1], a[2]));
	case SYS_access: return hook_access(AT_FDCWD, path, (int)a[1], pass(nr, a));
	case SYS_faccessat:
	case SYS_faccessat2: return hook_access((int)a[0], path_at, (int)a[2], pass(nr, a));
	case SYS_stat: return AS_RESULT(stat(path, (struct stat *)a[1]));
	case SYS_newfstatat:
		return AS_RESULT(fstatat((int)a[0], path_at, (struct stat *)a[2], (int)a[3]));
	case SYS_statx:
		return AS_RESULT(
			statx((int)a[0], path_at, (int)a[2], (unsigned)a[3], (struct statx *)a[4]));
	case SYS_rt_sigaction: return by_sigaction(a);
	case SYS_exit_group: ended_tell(); return pass(nr, a);
	case SYS_arch_prctl:
		return or_pass(processor_arch_prctl((int)a[0], (unsigned long)a[1]), nr, a);
	case SYS_prctl: return AS_RESULT(hook_prctl((int)a[0], option));
	case SYS_userfaultfd: shim_before_userfaultfd(); return pass(nr, a);
	case SYS_seccomp: return hook_seccomp((unsigned)a[0], (unsigned)a[1], (void *)a[2]);
	case SYS_chroot:
	case SYS_pivot_root:
	case SYS_setns: launch_before_chroot(); return pass(nr, a);
	case SYS_execve: return AS_RESULT(execve(path, (char **)a[1], (char **)a[2]));
	case SYS_execveat:
		return AS_RESULT(
			execveat((int)a[0], path_at, (char **)a[2], (char **)a[3], (int)a[4]));
	default: return pass(nr, a);
	}
}

HOOK long syscall(long nr, ...)
{
	long a[6];
	va_list args;

	va_start(args, nr);
	for (unsigned i = 0; i < ARRAY_SIZE(a); i++)
		a[i] = va_arg(args, long);
	va_end(args);
	return hook_return(by_number(nr, a));
}
