/* SPDX-License-Identifier: MIT */
/* See hold.h. All of it may run in signal handlers. */
#include <errno.h>
#include <sys/syscall.h>

#include "base/hold.h"
#include "base/sys.h"

#define QUEUE_MAX     32 /* signals of one number whose order is kept */
#define FIRST_ORDERED 34 /* real-time signals queue up; 32 and 33 are the C library's */

void hold_let_go(struct hold *h)
{
	const u64 mask = h->mask;

	atomic_store_explicit(&h->waiting, false, memory_order_relaxed);
	h->blocked = false;
	sys_sigprocmask(SIG_SETMASK, &mask, NULL);
}

u64 hold_block(struct hold *h)
{
	const u64 all = SIG_ASYNC;
	u64 mask;

	if (h->blocked)
		return h->mask;
	sys_sigprocmask(SIG_SETMASK, &all, &mask);
	if (!h->blocked) /* no signal came in between */
		h->mask = mask;
	h->blocked = true;
	return h->mask;
}

void hold_queue(int signo, const siginfo_t *info)
{
	const int pid = sys_getpid(), tid = sys_gettid();
	siginfo_t poor;

	if (!sys_tgsigqueueinfo(pid, tid, signo, info) || errno != EAGAIN)
		return;
	poor = *info;
	poor.si_code =
		SI_USER; /* of those alone the kernel keeps the signal when it has no room for the rest */
	sys_tgsigqueueinfo(pid, tid, signo, &poor);
}

/* The queue of a number is first in, first out, and what we took was at its head: those behind it go behind it again. */
static void queue_again(int signo, const siginfo_t *info)
{
	const struct timespec now = {0};
	siginfo_t behind[QUEUE_MAX];
	unsigned n = 0;

	while (signo >= FIRST_ORDERED && n < QUEUE_MAX &&
		sys_sigtimedwait(SIG_BIT(signo), &behind[n], &now) == signo)
		n++;
	hold_queue(signo, info);
	for (unsigned i = 0; i < n; i++)
		hold_queue(signo, &behind[i]);
}

bool hold_signal(struct hold *h, int signo, const siginfo_t *info, u64 *mask)
{
	const u64 all = SIG_ASYNC;
	const int saved = errno;

	if (!h->depth)
		return false;
	sys_sigprocmask(SIG_SETMASK, &all, NULL);
	queue_again(signo, info);
	/* A handler that has interrupted another one before this line has noted that one's mask: the outermost is last. */
	h->mask = *mask;
	h->blocked = true;
	*mask = all;
	atomic_store_explicit(&h->waiting, true, memory_order_release);
	if (h->stop)
		h->stop(h->opaque);
	errno = saved;
	return true;
}
