/* SPDX-License-Identifier: MIT */
/*
 * Masks of signals. A program that blocks everything also blocks the signal by which its CPUID instructions are answered,
 * and a fault that is blocked kills. While they are, these two signals stay as they are in the mask.
 */
#include <pthread.h>
#include <signal.h>

#include "base/cpuidtrap.h"
#include "shim/preload/hook.h"

static const sigset_t *without_faults(int how, const sigset_t *set, sigset_t *copy)
{
	if (likely(!cpuid_traps()) || !set || how == SIG_UNBLOCK)
		return set;
	*copy = *set;
	sigdelset(copy, SIGSEGV);
	sigdelset(copy, SIGILL);
	return copy;
}

HOOK int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;

	return NEXT(pthread_sigmask)(how, without_faults(how, set, &copy), old);
}

HOOK int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;

	return NEXT(sigprocmask)(how, without_faults(how, set, &copy), old);
}
