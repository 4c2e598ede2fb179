/* SPDX-License-Identifier: MIT */
/*
 * A request with another signal mask, for a kernel whose request takes none (KVM_RUN's mask is the kernel's own affair).
 *
 * Signals that only this mask lets through must end the request and stay pending, without a handler of the program's. So
 * they have a handler of ours from the first such request on. In it the thread sends itself the signal again, and leaves
 * the request with the old mask in force, under which the signal waits. It does not matter whether the request had begun:
 * what it did is done, and what it returned is taken for -EINTR.
 *
 * Handlers belong to the process. Ours passes on what is not for a thread in such a request.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/hold.h"
#include "libkvm/port.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static u64 ours;                          /* signals that have our handler; under the lock */
static struct sigaction before[NSIG + 1]; /* what they had */

static __thread sigjmp_buf *leave; /* of the thread that is in such a request */

static u64 set_of(const sigset_t *set)
{
	u64 bits;

	memcpy(&bits, set, sizeof(bits)); /* the kernel's part */
	return bits;
}

static sigset_t set_from(u64 bits)
{
	sigset_t set;

	sigemptyset(&set);
	memcpy(&set, &bits, sizeof(bits));
	return set;
}

/* By default nothing happens (signal(7)). */
#define IGNORED (SIG_BIT(SIGCHLD) | SIG_BIT(SIGCONT) | SIG_BIT(SIGURG) | SIG_BIT(SIGWINCH))

/* The default is what it is without us; most end the process. */
static void pass_on(int signo, siginfo_t *info, void *context)
{
	const struct sigaction *a = &before[signo];

	if (a->sa_flags & SA_SIGINFO)
		a->sa_sigaction(signo, info, context);
	else if (a->sa_handler == SIG_DFL && !(IGNORED & SIG_BIT(signo))) {
		sigaction(signo, a, NULL);
		raise(signo);
	} else if (a->sa_handler != SIG_IGN && a->sa_handler != SIG_DFL)
		a->sa_handler(signo);
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
	const int error = errno;
	sigjmp_buf *out = leave;

	if (!out) {
		pass_on(signo, info, context);
		errno = error;
		return;
	}
	leave = NULL;
	hold_queue(signo, info);
	siglongjmp(*out, 1);
}

static void take_over(int signo)
{
	struct sigaction a = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};

	sigfillset(&a.sa_mask);
	sigaction(signo, &a, &before[signo]);
}

static void take_over_all(u64 signals)
{
	pthread_mutex_lock(&lock);
	for (int signo = 1; signo <= 64; signo++)
		if (signals & ~ours & SIG_BIT(signo)) {
			take_over(signo);
			ours |= SIG_BIT(signo);
		}
	pthread_mutex_unlock(&lock);
}

/* With the mask in force; -EINTR by way of the handler. */
static long masked(int fd, unsigned long request, unsigned long arg, u64 mask)
{
	const sigset_t during = set_from(mask);
	sigjmp_buf out;
	sigset_t own;
	int r;

	if (sigsetjmp(out, 1))
		return -EINTR;
	leave = &out;
	pthread_sigmask(SIG_SETMASK, &during, &own);
	r = ioctl(fd, request, arg);
	r = r < 0 ? -errno : r;
	pthread_sigmask(SIG_SETMASK, &own, NULL);
	leave = NULL;
	return r;
}

long port_kernel_run(void *state, int fd, unsigned long request, unsigned long arg, u64 mask,
	struct refusal *ret_why)
{
	sigset_t blocked, pending;
	u64 let;

	ret_why->why = NULL;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	let = set_of(&blocked) & ~mask & SIG_ASYNC;
	sigpending(&pending);
	if (set_of(&pending) & let)
		return -EINTR;
	take_over_all(let);
	return masked(fd, request, arg, mask);
}
