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

/*
 * The parts, each of which may use those before it: made in this order, unmade in the reverse. The timers' thread comes
 * up while the rest is made.
 */
static const struct machine_part {
	int (*create)(struct machine *m); /* 0 or -errno, and then nothing is left of it */
	void (*destroy)(struct machine *m);
} parts[] = {
	{timers_create, timers_destroy},
	{code_cache_create, code_cache_destroy},
	{memory_create, memory_destroy},
	{irq_create, irq_destroy},
	{hv_create, hv_destroy},
	{tick_create, tick_destroy},
	{last_create, last_destroy},
};

static void init_locks(struct machine *m)
{
	pthread_mutex_init(&m->lock, NULL);
	pthread_mutex_init(&m->pause_lock, NULL);
	pthread_mutex_init(&m->tap.lock, NULL);
}

/* The first n parts, and what is not a part. */
static void unmake(struct machine *m, size_t n)
{
	while (n-- > 0)
		parts[n].destroy(m);
	msr_policy_free(m->msr_policy);
	pthread_mutex_destroy(&m->tap.lock);
	pthread_mutex_destroy(&m->pause_lock);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* That this thread may run on. */
static unsigned host_cpus(void)
{
	u64 word[MACHINE_MAX_VCPUS / 64] = {0};
	unsigned n = 0;

	sys_sched_getaffinity(sizeof(word), word);
	for (unsigned i = 0; i < ARRAY_SIZE(word); i++)
		n += (unsigned)__builtin_popcountll(word[i]);
	return n;
}

int machine_create(struct machine **ret)
{
	int r = recover_install();
	struct machine *m = r ? NULL : calloc(1, sizeof(*m));

	if (!m)
		return r ? r : -ENOMEM;
	init_locks(m);
	atomic_init(&m->stats, m->own_stats);
	m->vmmcall = host_cpu_is_amd();
	m->host_cpus = host_cpus();
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		r = parts[i].create(m);
		if (r) {
			unmake(m, i);
			return r;
		}
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
	unmake(m, ARRAY_SIZE(parts));
}

void machine_set_option(struct machine *m, enum machine_option o, u64 value)
{
	atomic_store(&m->option[o], value);
}

int machine_watch(struct machine *m, int fd, void (*ready)(void *opaque, u32 events), void *opaque)
{
	const struct watch_config c = {.fd = fd, .ready = ready, .opaque = opaque};
	int r = fd_watch_prepare(m);

	return r ? r : fd_watch(m, &c);
}

void machine_unwatch(struct machine *m, int fd, void *opaque)
{
	fd_unwatch(m, fd, opaque);
}
