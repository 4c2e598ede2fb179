/* SPDX-License-Identifier: MIT */
/*
 * A guest that idles gives back the memory of its translations. It makes them again as it needs them: what an idle guest
 * runs is little.
 *
 * A vcpu that wakes up looks, now and then, whether all vcpus have slept nearly all the time since it was last looked.
 */
#include "engine/code/cache.h"
#include "engine/core/machine.h"
#include "engine/core/stat.h"
#include "engine/core/vcpu.h"
#include "engine/core/vcpus.h"
#include "engine/time/timer.h"
#include "engine/vcpu/loop.h"

#define IDLE_SHARE 20 /* one part of so many may be work */

static bool slept_through(struct vcpu *v, u64 elapsed)
{
	u64 total = __atomic_load_n(&v->cpu.stats[STAT_HALT_WAIT_NS], __ATOMIC_RELAXED);
	u64 slept = total - v->slept_seen;

	v->slept_seen = total;
	/* Who has not woken up at all has not counted its sleep yet. */
	if (!slept)
		return atomic_load(&v->where) == VCPU_ASLEEP;
	return slept >= elapsed - elapsed / IDLE_SHARE;
}

static bool all_slept(struct vcpu *self, u64 elapsed)
{
	struct vcpus all = vcpus_lock(self->machine);
	bool idle = true;
	struct vcpu *v;

	for_each_vcpu(all, v) idle &= slept_through(v, elapsed);
	vcpus_unlock(all);
	return idle;
}

void vcpu_look_idle(struct vcpu *v)
{
	struct code_cache *c = v->machine->code;
	u64 now, before = atomic_load_explicit(&c->idle_looked, memory_order_relaxed);

	if (likely(c->chunks <= 1))
		return;
	now = host_ns();
	if (now - before < c->idle_ns ||
		!atomic_compare_exchange_strong(&c->idle_looked, &before, now))
		return;
	if (all_slept(v, now - before) && before)
		machine_drop_code(v->machine);
}
