/* SPDX-License-Identifier: MIT */
/*
 * A machine: its parts made and unmade, and stopping all its vcpus for a moment.
 *
 * Pausing is a handshake with vcpu.c: a vcpu announces that it goes IN (inner code) and then looks at `pausing`;
 * machine_pause() sets `pausing` and then looks who is IN. Both with sequential consistency, so one of
 * the two sees the other. Those who were held go in before the next one pauses, so that many changes in a row
 * slow the guest down but do not stop it.
 */
#include "engine/core/machine.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostcpu.h"
#include "engine/code/cache.h"
#include "engine/host/recover.h"
#include "engine/msr/policy.h"
#include "engine/core/stat.h"
#include "engine/pv/hyperv/hv.h"
#include "base/sys.h"

static void init_locks(struct machine *m)
{
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->pause_lock, NULL);
	pthread_cond_init(&m->resumed, NULL);
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
		r = code_cache_create(&m->code);
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
	code_cache_destroy(m->code);
	msr_policy_free(m->msr_policy);
	pthread_cond_destroy(&m->resumed);
	pthread_mutex_destroy(&m->pause_lock);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

void machine_set_option(struct machine *m, enum machine_option o, u64 value)
{
	atomic_store(&m->option[o], value);
}

void machine_pause(struct machine *m)
{
	struct vcpu *v;

	machine_stat_inc(m, MACHINE_STAT_PAUSES);
	pthread_mutex_lock(&m->pause_lock);
	while (m->pausing || m->held)
		pthread_cond_wait(&m->resumed, &m->pause_lock);
	atomic_store(&m->pausing, true);
	pthread_mutex_unlock(&m->pause_lock);
	for_each_vcpu(m, v)
	{
		while (atomic_load(&v->where) == VCPU_IN) {
			cpu_request(&v->cpu, REQ_PAUSE);
			sys_sched_yield();
		}
	}
}

void machine_resume(struct machine *m)
{
	pthread_mutex_lock(&m->pause_lock);
	atomic_store(&m->pausing, false);
	pthread_cond_broadcast(&m->resumed);
	pthread_mutex_unlock(&m->pause_lock);
}

void machine_wait_resumed(struct vcpu *v)
{
	struct machine *m = v->machine;

	pthread_mutex_lock(&m->pause_lock);
	m->held++;
	while (m->pausing)
		pthread_cond_wait(&m->resumed, &m->pause_lock);
	atomic_store(&v->where, VCPU_IN);
	if (!--m->held)
		pthread_cond_broadcast(&m->resumed);
	pthread_mutex_unlock(&m->pause_lock);
}

void machine_reset_code(struct machine *m, u32 epoch)
{
	machine_pause(m);
	if (atomic_load(&m->code->epoch) == epoch) {
		cache_reset(m->code);
		machine_stat_inc(m, MACHINE_STAT_CODE_CACHE_FLUSHES);
	}
	machine_resume(m);
}
