/* SPDX-License-Identifier: MIT */
/*
 * Signals that wait for the end of a request without having been blocked, so that a request costs no system call.
 *
 * No handler of the program may run while a request is served: it may make requests of its own, leave by longjmp() or
 * end the thread, and locks are held. To block signals takes two system calls. Where the program's handlers are reached
 * through one of ours, that one does it when a signal really comes: it gives the signal back to the kernel, for this
 * thread, with all signals blocked from the handler's return on, and stops what the thread waits for. When the request
 * is over the mask is put back, and the kernel delivers the signal as if it had come at that moment: frame, stack, mask
 * and flags are its business.
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

struct hold {
	unsigned depth;       /* requests being served, one inside the other */
	_Atomic bool waiting; /* a signal waits for their end; also read by others */
	bool blocked;         /* all signals are blocked meanwhile; mask is what to go back to */
	u64 mask;
	void (*stop)(void *opaque); /* in a signal handler: what the thread does shall end */
	void *opaque;
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
	if (unlikely(h->blocked) && !h->depth)
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

/*
 * In the handler of an asynchronous signal, the first thing: true if it waits now and the handler must return. mask: the
 * one that the kernel will put in force then (uc_sigmask).
 */
bool hold_signal(struct hold *h, int signo, const siginfo_t *info, u64 *mask);

/* Send this thread a signal with that information, which is lost where RLIMIT_SIGPENDING is reached; the signal never is. */
void hold_queue(int signo, const siginfo_t *info);

#endif
