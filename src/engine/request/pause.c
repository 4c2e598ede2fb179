/* SPDX-License-Identifier: MIT */
/* See pause.h. */
#include "engine/request/pause.h"

#include "base/sys.h"
#include "engine/core/stat.h"
#include "engine/core/vcpus.h"

void machine_pause(struct machine *m)
{
	struct vcpu *v;

	machine_stat_inc(m, MACHINE_STAT_PAUSES);
	pthread_mutex_lock(&m->pause_lock);
	while (m->pausing || m->held)
		cond_wait(&m->resumed, &m->pause_lock);
	atomic_store(&m->pausing, true);
	pthread_mutex_unlock(&m->pause_lock);
	for_each_vcpu(vcpus_paused(m), v)
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
	cond_changed(&m->resumed);
	pthread_mutex_unlock(&m->pause_lock);
}

void machine_wait_resumed(struct vcpu *v)
{
	struct machine *m = v->machine;

	pthread_mutex_lock(&m->pause_lock);
	m->held++;
	while (m->pausing)
		cond_wait(&m->resumed, &m->pause_lock);
	atomic_store(&v->where, VCPU_IN);
	if (!--m->held)
		cond_changed(&m->resumed);
	pthread_mutex_unlock(&m->pause_lock);
}
