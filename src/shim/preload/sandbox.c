/* SPDX-License-Identifier: MIT */
/* Sandboxes, by either system call. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "shim/preload/hook.h"
#include "shim/shim.h"

/* The process whose memory this is; and one that only works in it: what vfork()'s child says here is true of itself alone. */
static _Atomic bool sandboxed;
static _Atomic int sandboxed_child; /* its id, or 0 */

bool hook_sandboxed(void)
{
	const int child = sandboxed_child;

	return sandboxed || (child && child == sys_getpid());
}

/* Of vfork(), or of a bare clone(): this thread, as the C library has it, is one of another process. */
static bool is_unknown_child(void)
{
	struct timespec now;
	clockid_t clock;

	return !pthread_getcpuclockid(pthread_self(), &clock) &&
	       SYS_CALL2(SYS_clock_gettime, clock, &now);
}

/* Before the filter is in force, which may allow no question. */
static int child_id(void)
{
	return is_unknown_child() ? sys_getpid() : 0;
}

static void note(int child)
{
	if (child)
		sandboxed_child = child;
	else
		sandboxed = true;
}

/* ---- forks ---- */

static _Thread_local bool parent_sandboxed;

void hook_before_fork(void)
{
	parent_sandboxed = hook_sandboxed();
}

/* A child that shuts itself in and executes another program: that one may be able to read our memory, but not the child's. */
void hook_forked(void)
{
	sandboxed = parent_sandboxed;
	sandboxed_child = 0;
	if (!parent_sandboxed)
		sys_key_renew();
	fd_after_fork();
	shim_ram_forked();
}

pid_t _Fork(void);

/* A fork() that calls nobody. */
HOOK pid_t _Fork(void)
{
	pid_t pid;

	hook_before_fork();
	pid = NEXT(_Fork)();
	if (!pid)
		hook_forked();
	return pid;
}

/* ---- filters ---- */

int hook_prctl(int option, const unsigned long arg[4])
{
	const bool filter = option == PR_SET_SECCOMP && arg[0] == SECCOMP_MODE_FILTER && arg[1];
	struct sock_fprog *ours = filter ? shim_seccomp((void *)arg[1], NULL) : NULL;
	const int child = filter ? child_id() : 0;
	int r, error;

	r = NEXT(prctl)(option, arg[0], ours ? (unsigned long)ours : arg[1], arg[2], arg[3]);
	error = errno;
	if (option == PR_SET_SECCOMP && !r)
		note(child);
	if (ours)
		shim_seccomp(NULL, ours);
	errno = error;
	return r;
}

HOOK int prctl(int option, ...)
{
	unsigned long arg[4];
	va_list args;

	va_start(args, option);
	for (unsigned i = 0; i < ARRAY_SIZE(arg); i++)
		arg[i] = va_arg(args, unsigned long);
	va_end(args);
	return hook_prctl(option, arg);
}

/* seccomp(2), which the C library has no function for. */
long hook_seccomp(unsigned operation, unsigned flags, void *arg)
{
	const bool filter = operation == SECCOMP_SET_MODE_FILTER && arg;
	struct sock_fprog *ours = filter ? shim_seccomp(arg, NULL) : NULL;
	const int child = filter ? child_id() : 0;
	long r = hook_result(NEXT(syscall)(SYS_seccomp, operation, flags, ours ? ours : arg));

	if (operation <= SECCOMP_SET_MODE_FILTER && r >= 0)
		note(child);
	if (ours)
		shim_seccomp(NULL, ours);
	return r;
}
