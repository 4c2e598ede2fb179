/* SPDX-License-Identifier: MIT */
/*
 * Signal actions. signal() and its relatives reach the kernel without the C library's exported
 * sigaction(), so they are made of it here, for the signals that the engine shares with the program.
 */
#include <signal.h>
#include <string.h>

#include "shim/preload/hook.h"
#include "shim/shim.h"

int __sigaction(int signo, const struct sigaction *set, struct sigaction *get);
__sighandler_t __sysv_signal(int signo, __sighandler_t handler);
__sighandler_t bsd_signal(int signo, __sighandler_t handler);

HOOK int sigaction(int signo, const struct sigaction *set, struct sigaction *get)
{
	long r = shim_sigaction(signo, set, get);

	return r == NOT_OURS ? NEXT(sigaction)(signo, set, get) : (int)hook_return(r);
}

HOOK int __sigaction(int signo, const struct sigaction *set, struct sigaction *get)
	__attribute__((alias("sigaction")));

/* The handler before, SIG_ERR, or NULL: the C library shall do it (NULL is SIG_DFL, so by pointer). */
static bool replace(int signo, __sighandler_t handler, int flags, __sighandler_t *ret)
{
	struct sigaction set = {.sa_handler = handler, .sa_flags = flags}, old;
	long r = shim_sigaction(signo, &set, &old);

	if (r == NOT_OURS)
		return false;
	*ret = hook_return(r) ? SIG_ERR : old.sa_handler;
	return true;
}

HOOK __sighandler_t signal(int signo, __sighandler_t handler)
{
	__sighandler_t old;

	return replace(signo, handler, SA_RESTART, &old) ? old : NEXT(signal)(signo, handler);
}

HOOK __sighandler_t bsd_signal(int signo, __sighandler_t handler) __attribute__((alias("signal")));
HOOK __sighandler_t ssignal(int signo, __sighandler_t handler) __attribute__((alias("signal")));

HOOK __sighandler_t __sysv_signal(int signo, __sighandler_t handler)
{
	__sighandler_t old;

	return replace(signo, handler, (int)SA_RESETHAND | SA_NODEFER, &old)
		       ? old
		       : NEXT(__sysv_signal)(signo, handler);
}

HOOK __sighandler_t sysv_signal(int signo, __sighandler_t handler)
	__attribute__((alias("__sysv_signal")));
