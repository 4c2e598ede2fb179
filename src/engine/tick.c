/* SPDX-License-Identifier: MIT */
/*
 * The heartbeat: while vcpus run, their poll functions are called at least once a millisecond, so that signals
 * which the caller blocked are noticed. Armed by a vcpu that enters, stops by itself when none runs.
 */
#include <errno.h>
#include <stdlib.h>

#include "engine/cpu/cache.h"
#include "engine/machine.h"

#define TICK_NS 1000000ull

struct tick {
	struct timer timer;
	struct machine *machine;
	_Atomic bool armed;
};

static bool poke_running(struct machine *m)
{
	bool any = false;
	struct vcpu *v;

	pthread_mutex_lock(&m->lock); /* none goes away meanwhile */
	for_each_vcpu(m, v)
	{
		if (atomic_load(&v->where) != VCPU_IN || !v->poll)
			continue;
		cpu_request(&v->cpu, REQ_POLL);
		any = true;
	}
	pthread_mutex_unlock(&m->lock);
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
	if (!m->tick)
		return;
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
