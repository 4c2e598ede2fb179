/* SPDX-License-Identifier: MIT */
/*
 * The heartbeat: while vcpus run, their poll functions are called at least once a millisecond, so that signals
 * which the caller blocked are noticed. Armed by a vcpu that enters, stops by itself when none runs.
 *
 * A vcpu that does not come to its poll function for LATE ticks may be asleep in guest RAM (userfaultfd), and whoever
 * is to wake it may be waiting for us. So it is called away (recover.h), but only if somebody wants something of it:
 * to go back to sleep means to ask once more for the same page.
 */
#include <errno.h>
#include <stdlib.h>

#include "engine/code/cache.h"
#include "engine/core/machine.h"
#include "engine/core/vcpu.h"
#include "engine/core/vcpus.h"
#include "engine/request/post.h"
#include "engine/time/timer.h"
#include "engine/vcpu/tick.h"

#define TICK_NS 1000000ull
#define LATE    (VCPU_LATE_NS / TICK_NS)

struct tick {
	struct timer timer;
	struct machine *machine;
	_Atomic bool armed;
};

static void poke(struct vcpu *v)
{
	if (__atomic_load_n(&v->cpu.exit_request, __ATOMIC_RELAXED) & REQ_POLL)
		v->late++;
	else
		v->late = 0;
	cpu_request(&v->cpu, REQ_POLL);
	if (unlikely(v->late) && v->late % LATE == 0)
		vcpu_call_away(v);
}

static bool poke_running(struct machine *m)
{
	struct vcpus all = vcpus_lock(m);
	bool any = false;
	struct vcpu *v;

	for_each_vcpu(all, v)
	{
		if (atomic_load(&v->where) != VCPU_IN || !v->poll)
			continue;
		poke(v);
		any = true;
	}
	vcpus_unlock(all);
	return any;
}

static void tick_fire(struct timer *t)
{
	struct tick *k = container_of(t, struct tick, timer);

	atomic_store(&k->armed, false);
	code_cache_trim(k->machine->code);
	if (poke_running(k->machine))
		tick_need(k->machine);
}

int tick_create(struct machine *m)
{
	struct tick *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->machine = m;
	k->timer.fire = tick_fire;
	m->tick = k;
	return 0;
}

void tick_destroy(struct machine *m)
{
	timer_cancel(m, &m->tick->timer);
	free(m->tick);
	m->tick = NULL;
}

void tick_need(struct machine *m)
{
	/* Our being inside is stored before this is loaded; tick_fire() does the two in the other order. */
	if (!atomic_load(&m->tick->armed) && !atomic_exchange(&m->tick->armed, true))
		timer_arm(m, &m->tick->timer, host_ns() + TICK_NS);
}
