/* SPDX-License-Identifier: MIT */
/* A machine: its parts made and unmade. */
#include "engine/core/machine.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostcpu.h"
#include "engine/code/cache.h"
#include "engine/host/recover.h"
#include "engine/msr/policy.h"
#include "engine/pv/hyperv/hv.h"
#include "base/sys.h"
#include "engine/mem/memory.h"
#include "engine/vcpu/tick.h"
#include "engine/vm/last.h"
#include "engine/irq/irq.h"

static void init_locks(struct machine *m)
{
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->pause_lock, NULL);
	pthread_cond_init(&m->resumed, NULL);
	pthread_mutex_init(&m->tap.lock, NULL);
	pthread_cond_init(&m->tap.idle, NULL);
}

int machine_create(struct machine **ret)
{
	struct machine *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	init_locks(m);
	atomic_init(&m->stats, m->own_stats);
	m->vmmcall = host_cpu_is_amd();
	r = recover_install();
	if (!r)
		r = timers_create(m); /* the thread comes up while the rest is made */
	if (!r)
		r = code_cache_create(m);
	if (!r)
		r = memory_create(m);
	if (!r)
		r = irq_create(m);
	if (!r)
		r = hv_create(m);
	if (!r)
		r = tick_create(m);
	if (!r)
		r = last_create(m);
	if (r) {
		machine_destroy(m);
		return r;
	}
	timers_wait_running(m);
	*ret = m;
	return 0;
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	uv_assert(m->vcpu_count == 0);
	last_destroy(m);
	tick_destroy(m);
	irq_destroy(m);
	hv_destroy(m);
	timers_destroy(m);
	memory_destroy(m);
	code_cache_destroy(m);
	msr_policy_free(m->msr_policy);
	pthread_cond_destroy(&m->tap.idle);
	pthread_mutex_destroy(&m->tap.lock);
	pthread_cond_destroy(&m->resumed);
	pthread_mutex_destroy(&m->pause_lock);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

void machine_set_option(struct machine *m, enum machine_option o, u64 value)
{
	atomic_store(&m->option[o], value);
}
