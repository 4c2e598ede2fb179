/* SPDX-License-Identifier: MIT */
/*
 * Signal actions. signal() and its relatives reach the kernel without the C library's exported
 * sigaction(), so they are made of it here, for the signals that come to us first.
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "shim/preload/hook.h"
#include "shim/shim.h"

int __sigaction(int signo, const struct sigaction *set, struct sigaction *get);
__sighandler_t __sysv_signal(int signo, __sighandler_t handler);
__sighandler_t bsd_signal(int signo, __sighandler_t handler);

/* Of the C library, which does not let programs have them. */
static bool is_private(int signo)
{
	return signo >= __SIGRTMIN && signo < SIGRTMIN;
}

HOOK int sigaction(int signo, const struct sigaction *set, struct sigaction *get)
{
	long r = is_private(signo) ? NOT_OURS : shim_sigaction(signo, set, get);

	return r == NOT_OURS ? NEXT(sigaction)(signo, set, get) : (int)hook_return(r);
}

HOOK int __sigaction(int signo, const struct sigaction *set, struct sigaction *get)
	__attribute__((alias("sigaction")));

/* The handler before, SIG_ERR, or NULL: the C library shall do it (NULL is SIG_DFL, so by pointer). */
static bool replace(int signo, __sighandler_t handler, int flags, __sighandler_t *ret)
{
	struct sigaction set = {.sa_handler = handler, .sa_flags = flags}, old;
	long r = is_private(signo) ? NOT_OURS : shim_sigaction(signo, &set, &old);

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

/* Programs still use what the headers advise against. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* System V: the action and the mask in one. */
HOOK __sighandler_t sigset(int signo, __sighandler_t handler)
{
	struct sigaction old;
	sigset_t set, before;

	if (is_private(signo) || shim_sigaction(signo, NULL, &old) == NOT_OURS)
		return NEXT(sigset)(signo, handler);
	if (sigemptyset(&set) || sigaddset(&set, signo))
		return SIG_ERR;
	if (handler != SIG_HOLD) {
		const struct sigaction a = {.sa_handler = handler};

		if (hook_return(shim_sigaction(signo, &a, &old)))
			return SIG_ERR;
	}
	if (pthread_sigmask(handler == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, &set, &before))
		return SIG_ERR;
	return sigismember(&before, signo) ? SIG_HOLD : old.sa_handler;
}

HOOK int sigignore(int signo)
{
	const struct sigaction a = {.sa_handler = SIG_IGN};

	return sigaction(signo, &a, NULL);
}

HOOK int siginterrupt(int signo, int interrupt)
{
	struct sigaction a;

	if (is_private(signo) || shim_sigaction(signo, NULL, &a) == NOT_OURS)
		return NEXT(siginterrupt)(signo, interrupt);
	a.sa_flags = interrupt ? a.sa_flags & ~SA_RESTART : a.sa_flags | SA_RESTART;
	return sigaction(signo, &a, NULL);
}

/* ---- pthread_cancel() ---- */

static pthread_once_t cancellation = PTHREAD_ONCE_INIT;

static void *until_cancelled(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/*
 * For a thread that is none the worse for it, and is there until then: for one that has ended nothing is installed. No
 * signal of the program's comes to it.
 */
static void cancel_first(void)
{
	sigset_t all, old;
	pthread_t thread;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&thread, NULL, until_cancelled, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return;
	NEXT(pthread_cancel)(thread);
	pthread_join(thread, NULL);
	if (shim_mode() == SHIM_ENGINE || shim_mode() == SHIM_TRACE)
		shim_take_signals();
}

/* The C library installs its handler at the first call, and tells nobody: it must be ours before it is sent a signal. */
HOOK int pthread_cancel(pthread_t thread)
{
	pthread_once(&cancellation, cancel_first);
	return NEXT(pthread_cancel)(thread);
}

/* ---- when the engine starts ---- */

void shim_started(void)
{
	shim_take_signals();
}
