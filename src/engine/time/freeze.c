/* SPDX-License-Identifier: MIT */
/*
 * A machine's time can stand still: its clock, the guest's TSCs, the timers that guests set.
 *
 * Everything of this follows two clocks of the host, the TSC and the monotonic one. While time is frozen, both count as what
 * they were at that moment (machine_host_tsc(), machine_ns()). So what is read does not change, what is set begins to move
 * when time is thawed, and no timer is due. What has passed meanwhile is then taken out: timers have only the machine's
 * own time, so for them it never was; the clock and the TSCs, of which guests and their memory know formulas, are moved. They
 * are moved together, so the formulas in the guest's memory (kvmclock, Hyper-V's reference TSC page) stay true.
 */
#include "engine/core/vcpu.h"
#include "engine/core/vcpus.h"
#include "engine/irqchip.h"
#include "engine/time/clock.h"
#include "engine/time/timer.h"

/* The monotonic clock is never ahead of the TSC: a timer for a value of the TSC must not be early. */
static void freeze(struct machine *m)
{
	timers_freeze(m);
	atomic_store(&m->frozen_tsc, host_tsc());
}

/* A TSC of this ratio shows at one value of the host's what it has shown at the other. */
static s64 moved(s64 offset, u64 ratio, u64 from, u64 to)
{
	return (s64)((u64)offset + tsc_scaled(ratio, from) - tsc_scaled(ratio, to));
}

static void thaw(struct vcpus all, struct clock *c)
{
	struct machine *m = all.machine;
	u64 from = atomic_load(&m->frozen_tsc), to = host_tsc();
	struct vcpu *v;

	c->tsc += to - from;
	c->tsc_offset = moved(c->tsc_offset, c->tsc_ratio, from, to);
	for_each_vcpu(all, v)
	{
		struct cpu *cpu = &v->cpu;

		__atomic_store_n(&cpu->tsc_offset, moved(cpu->tsc_offset, cpu->tsc_ratio, from, to),
			__ATOMIC_RELAXED);
	}
	atomic_store(&m->frozen_tsc, 0);
	timers_thaw(m);
}

void machine_freeze_time(struct machine *m, bool frozen)
{
	struct vcpus all = vcpus_lock(m);
	struct clock *c = machine_clock(m);

	pthread_mutex_lock(&c->lock);
	atomic_fetch_add(&m->time_moves, 1);
	if (frozen && !atomic_load(&m->frozen_tsc))
		freeze(m);
	else if (!frozen && atomic_load(&m->frozen_tsc))
		thaw(all, c);
	atomic_fetch_add(&m->time_moves, 1);
	pthread_mutex_unlock(&c->lock);
	vcpus_unlock(all);
}
