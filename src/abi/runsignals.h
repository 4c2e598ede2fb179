/* SPDX-License-Identifier: MIT */
/*
 * Signals while a vcpu runs. One must end the request that runs it with -EINTR, and its handler must not run before that
 * request returns.
 *
 * Asynchronous signals are blocked for the time of the call (abi/ioctl.c), and the engine asks now and then
 * (run_signals_wait()) whether one is pending that the effective mask lets through. It is delivered when the mask is
 * restored, after all locks were released. Synchronous signals stay unblocked: a blocked one would kill the process.
 * Or they are held (base/hold.h): then a signal that the mask lets through stops the vcpu itself, and none is
 * looked for. A mask for the run alone is not what the kernel would go by then, so they are blocked after all.
 *
 * A struct run_signals belongs to the vcpu's interface, which serialises its use.
 */
#ifndef ABI_RUNSIGNALS_H
#define ABI_RUNSIGNALS_H

#include "abi/request.h"
#include "engine/engine.h"

struct run_signals {
	struct vcpu *cpu;
	struct hold *hold; /* of the thread that runs it, or NULL: */
	u64 caller_mask;   /* signals that it had blocked */
	u64 noted;         /* and that came before all were blocked: see hold.h */
	bool has_mask;     /* for the run alone: */
	u64 mask;
	int fd;     /* readable while a signal is pending that ends the run; -1: none yet */
	u64 fd_set; /* which signals it looks for */
};

/*
 * poll is asked in the place of run_signals_poll(), if there is more to look for; both get s. The descriptor comes with
 * the first run: a process may have few, and a vm many vcpus.
 */
void run_signals_init(struct run_signals *s, struct vcpu *cpu, bool (*poll)(void *run_signals));
void run_signals_free(struct run_signals *s);

void run_signals_begin(struct run_signals *s, const struct call *c);
void run_signals_end(struct run_signals *s);

/* Of those that are blocked, not held. */
bool run_signals_pending(const struct run_signals *s);

/* Between the two: is there one that ends the run? */
static inline bool run_signals_wait(const struct run_signals *s)
{
	if (likely(s->hold))
		return atomic_load_explicit(&s->hold->waiting, memory_order_acquire);
	return run_signals_pending(s);
}

bool run_signals_poll(void *run_signals);

/* Is there one for the calling thread, which runs nothing yet? */
bool run_signals_waiting(const struct call *c);

/* In the place of the caller's mask, from the next run on; NULL: no longer. */
void run_signals_mask(struct run_signals *s, const u64 *mask);

#endif
