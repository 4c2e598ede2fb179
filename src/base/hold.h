/* SPDX-License-Identifier: MIT */
/*
 * Signals that wait for the end of a request without having been blocked, so that a request costs no system call.
 *
 * No handler of the program may run while a request is served: it may make requests of its own, leave by longjmp() or
 * end the thread, and locks are held. To block signals takes two system calls. Where the program's handlers are reached
 * through one of ours, that one does it when a signal really comes: it notes the signal, has all signals blocked from its
 * return on, and stops what the thread waits for. When the request is over the thread is sent the signal again and the
 * mask is put back, so that the kernel delivers it as if it had come at that moment: frame, stack, mask and flags are its
 * business. What is noted is the information that comes with a signal. It cannot be given back to the kernel: others of
 * the same number may have been queued meanwhile, and would come first, or there may be no room for it (RLIMIT_SIGPENDING).
 * So what is sent again is a token, and each one that arrives, token or not, stands for the oldest that is noted.
 *
 * A struct hold belongs to one thread, which alone calls these functions.
 */
#ifndef BASE_HOLD_H
#define BASE_HOLD_H

#include <signal.h>
#include <stdatomic.h>

#include "base/types.h"

/* Signal sets are the kernel's: bit n-1 is signal n. Those that instructions raise are never blocked. */
#define SIG_BIT(n) (1ull << ((n)-1))
#define SIG_IN_SYNC                                                                                \
	(SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGFPE) | SIG_BIT(SIGILL) |                  \
		SIG_BIT(SIGTRAP) | SIG_BIT(SIGSYS))
#define SIG_ASYNC (~SIG_IN_SYNC)

/* After the first all are blocked; more come only between the kernel's call of our handler and its first lines. */
#define HOLD_MAX 16

struct hold {
	unsigned depth;       /* requests being served, one inside the other */
	_Atomic bool waiting; /* a signal waits for their end; also read by others */
	bool blocked;         /* all signals are blocked meanwhile; mask is what to go back to */
	u64 mask;
	void (*stop)(void *opaque); /* in a signal handler: what the thread does shall end */
	void *opaque;
	int thread;   /* whose signals are noted: a forked child has none of its parent's */
	bool poor;    /* a token may have been lost for want of room */
	bool by_kill; /* tokens are sent by tgkill(2): a filter forbids more */
	unsigned count, taken;
	siginfo_t noted[HOLD_MAX]; /* the oldest first */
};

static inline void hold_begin(struct hold *h)
{
	h->depth++;
	atomic_signal_fence(memory_order_seq_cst);
}

void hold_let_go(struct hold *h);

/* Handlers of signals that came meanwhile run now; they need not return. */
static inline void hold_end(struct hold *h)
{
	atomic_signal_fence(memory_order_seq_cst);
	h->depth--;
	atomic_signal_fence(memory_order_seq_cst);
	if (unlikely(h->blocked | h->poor) && !h->depth)
		hold_let_go(h);
}

/*
 * What a signal that comes from here on shall stop; NULL: nothing. One that came before is told by `waiting`, which is
 * to be looked at afterwards.
 */
static inline void hold_stops(struct hold *h, void (*stop)(void *), void *opaque)
{
	h->stop = NULL;
	atomic_signal_fence(memory_order_seq_cst);
	h->opaque = opaque;
	atomic_signal_fence(memory_order_seq_cst);
	h->stop = stop;
	atomic_signal_fence(memory_order_seq_cst);
}

/* During a request: block all signals until its end after all. The mask that the program has set. */
u64 hold_block(struct hold *h);

/* Signals that came since the request began, and which the kernel has pending no more. */
u64 hold_noted(const struct hold *h);

/*
 * In the handler of an asynchronous signal, the first thing: true if it waits now, or was one too many, and the handler
 * must return. Else *info is what the program's handler is to see. mask: the one that the kernel will put in force at the
 * return (uc_sigmask).
 */
bool hold_signal(struct hold *h, int signo, siginfo_t *info, u64 *mask);

/*
 * Send this thread a signal with that information. False: there was no room for it (RLIMIT_SIGPENDING), and the signal
 * alone was sent, which is nothing if it is pending already.
 */
bool hold_queue(int signo, const siginfo_t *info);

#endif
