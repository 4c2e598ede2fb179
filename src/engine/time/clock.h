/* SPDX-License-Identifier: MIT */
/*
 * The machine's clock and the guest's TSC.
 *
 * The clock is a linear function of the host's TSC with the very multiplier and shift that
 * kvmclock pages hand to the guest, so guest and VMM compute the same nanosecond from one TSC value.
 * (With a TSC of another rate than the host's it is the same but for the rounding of its own multiplier.)
 */
#ifndef ENGINE_TIME_CLOCK_H
#define ENGINE_TIME_CLOCK_H

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
void clock_set(struct machine *m, u64 ns);
/* Multiplier and shift of a TSC of hz, as pvclock defines them. */
void clock_scale(u64 hz, u32 *ret_mult, s8 *ret_shift);

/* Of a TSC with this ratio to the host's; settled. */
u64 clock_scaled_hz(const struct clock *c, u64 ratio);

u64 host_tsc(void);
u64 host_tsc_hz(void);                 /* measures: may take 20 ms */
u64 machine_tsc_hz(struct machine *m); /* the same, measured once per machine */

/* ---- tsc.c ---- */

/* For a new vcpu: the guest's TSC begins at 0 when the machine is created. */
void tsc_init(struct vcpu *v);
/* What the guest's TSCs, those that are in step, show now; at a value of the host's, c->lock held; their frequency. */
u64 machine_guest_tsc(struct machine *m);
u64 clock_guest_tsc(const struct clock *c, u64 host);
u64 machine_guest_tsc_hz(struct machine *m);
/* The machine's clock and that at one moment. */
u64 machine_get_clock_and_tsc(struct machine *m, u64 *ret_guest_tsc);
u64 vcpu_tsc_hz(struct vcpu *v);
/* vcpu_set_tsc_khz() without what depends on it. */
int tsc_set_khz(struct vcpu *v, u32 khz);
/* IA32_TSC by the VMM: keeps the TSCs of all vcpus in step. What the guest has of it in its memory: pv/clock.c. */
void tsc_set(struct vcpu *v, u64 value);
void tsc_set_offset(struct vcpu *v, s64 offset);

#endif
