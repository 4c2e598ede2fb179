/* SPDX-License-Identifier: MIT */
/* Sandboxes, by either system call. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/preload/hook.h"
#include "shim/shim.h"

static _Atomic bool sandboxed;

bool hook_sandboxed(void)
{
	return sandboxed;
}

int hook_prctl(int option, const unsigned long arg[4])
{
	const bool filter = option == PR_SET_SECCOMP && arg[0] == SECCOMP_MODE_FILTER && arg[1];
	struct sock_fprog *ours = filter ? shim_seccomp((void *)arg[1], NULL) : NULL;
	int r, error;

	r = NEXT(prctl)(option, arg[0], ours ? (unsigned long)ours : arg[1], arg[2], arg[3]);
	error = errno;
	if (option == PR_SET_SECCOMP && !r)
		sandboxed = true;
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
	long r = hook_result(NEXT(syscall)(SYS_seccomp, operation, flags, ours ? ours : arg));

	if (operation <= SECCOMP_SET_MODE_FILTER && r >= 0)
		sandboxed = true;
	if (ours)
		shim_seccomp(NULL, ours);
	return r;
}
