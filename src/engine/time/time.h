/* SPDX-License-Identifier: MIT */
/*
 * What the files of time/ share: the machine's clock.
 *
 * The clock is a linear function of the host's TSC with the very multiplier and shift that
 * kvmclock pages hand to the guest, so guest and VMM compute the same nanosecond from one TSC value.
 * (With a TSC of another rate than the host's it is the same but for the rounding of its own multiplier.)
 */
#ifndef ENGINE_TIME_TIME_H
#define ENGINE_TIME_TIME_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/types.h"

struct machine;

struct clock {
	pthread_mutex_t lock;     /* tsc, ns, and writing of kvmclock pages */
	_Atomic u64 tsc_hz;       /* 0: not measured yet, see clock_settle() */
	u64 start_tsc, start_raw; /* where measuring began */
	u32 mult;                 /* ns = (ticks << shift) * mult >> 32 */
	s8 shift;                 /* negative: to the right */
	u64 tsc, ns;              /* at host TSC tsc the clock showed ns */
	s64 tsc_offset;           /* of the guest's TSCs, see tsc.c */
	u64 tsc_ratio;            /* that it belongs to */
	u64 default_ratio; /* of new vcpus; and the frequency that was asked for, 0 the host's */
	u32 default_khz;
	bool tsc_was_set;
};

void clock_init(struct clock *c);
void clock_fini(struct clock *c);
struct clock *machine_clock(struct machine *m);
/*
 * Before anything that depends on the TSC's frequency; c->lock held. The measurement began when the
 * machine was created and ends here, so most machines never wait for it.
 */
void clock_settle(struct clock *c);
/* The clock at a value of the host's TSC; c->lock held, settled. */
u64 clock_at(const struct clock *c, u64 host_tsc);
/* Multiplier and shift of a TSC of hz, as pvclock defines them. */
void clock_scale(u64 hz, u32 *ret_mult, s8 *ret_shift);

/* Of a TSC with this ratio to the host's; settled. */
u64 clock_scaled_hz(const struct clock *c, u64 ratio);

struct thread {
	pthread_t id;
	void *(*run)(void *opaque);
	void *opaque;
	_Atomic bool runs;
};

/* With all signals blocked in it. 0 or -errno. *t begins as zero and stays as long as the thread. */
int thread_start(struct thread *t, void *(*run)(void *), void *opaque);
/* From then on it makes no system call but the engine's. */
void thread_wait_running(const struct thread *t);
/* Was the thread of this number started so, in this process? */
bool thread_is_own(int tid);

/* ---- lastthread.c ---- */

/* Has the process's first thread ended? */
bool last_first_is_gone(void);
/* When it has: end the process if no thread is left but ours. */
void last_check(void);

#endif
