/* SPDX-License-Identifier: MIT */
/* See post.h. */
#include "engine/request/post.h"

#include "base/spin.h"
#include "base/sys.h"
#include "engine/host/recover.h"
#include "engine/time/timer.h"
#include "engine/core/stat.h"

static bool wanted(struct vcpu *v)
{
	u32 req = __atomic_load_n(&v->cpu.exit_request, __ATOMIC_RELAXED);
	int thread = __atomic_load_n(&v->cpu.away.thread, __ATOMIC_RELAXED);

	return (req & ~REQ_POLL) || (v->asked_for && v->asked_for(v->poll_opaque, thread));
}

void vcpu_call_away(struct vcpu *v)
{
	atomic_store(&v->calling, true);
	if (atomic_load(&v->where) == VCPU_IN && wanted(v))
		recover_call_away(&v->cpu);
	atomic_store(&v->calling, false);
}

static bool has_acted(struct vcpu *v, u32 req)
{
	return atomic_load(&v->where) != VCPU_IN ||
	       !(__atomic_load_n(&v->cpu.exit_request, __ATOMIC_SEQ_CST) & req);
}

void vcpu_await_acted(struct vcpu *v, u32 req)
{
	while (!has_acted(v, req))
		sys_sched_yield();
}

/* The heartbeat cannot help it out of guest RAM: it wants the lock that we hold. */
static void wait_acted(struct vcpu *v, u32 req)
{
	u64 began = host_ns();
	unsigned turns = 0;

	while (!has_acted(v, req)) {
		spin_turn(&turns);
		if (host_ns() - began < VCPU_LATE_NS)
			continue;
		vcpu_call_away(v);
		began = host_ns();
	}
}

void vcpu_request(struct vcpu *v, u32 req, bool wait)
{
	if (req & (REQ_FLUSH | REQ_FLUSH_W))
		machine_stat_inc(v->machine, MACHINE_STAT_REMOTE_TLB_FLUSH);
	cpu_request(&v->cpu, req);
	if (wait && !has_acted(v, req))
		wait_acted(v, req);
}

/* A descriptor that is full wakes as well as one that was written to. */
static void wake(struct vcpu *v, u32 req)
{
	u64 one = 1;

	cpu_request(&v->cpu, req);
	if (atomic_load(&v->where) == VCPU_ASLEEP)
		(void)!sys_write(v->wake_fd, &one, sizeof(one));
}

void vcpu_post_event(struct vcpu *v)
{
	wake(v, REQ_EVENT);
}

void vcpu_post_nmi(struct vcpu *v)
{
	if (atomic_fetch_add(&v->pending_nmi, 1) >= 2)
		atomic_fetch_sub(&v->pending_nmi, 1);
	wake(v, REQ_EVENT);
}

void vcpu_post_smi(struct vcpu *v)
{
	atomic_store(&v->pending_smi, true);
	wake(v, REQ_EVENT);
}

void vcpu_post_init(struct vcpu *v)
{
	atomic_store(&v->pending_init, true);
	wake(v, REQ_EVENT);
}

void vcpu_post_sipi(struct vcpu *v, u8 vector)
{
	atomic_store(&v->sipi_vector, vector);
	atomic_store(&v->pending_sipi, true);
	wake(v, REQ_EVENT);
}

void vcpu_post_unhalt(struct vcpu *v)
{
	atomic_store(&v->unhalted, true);
	wake(v, REQ_EVENT);
}

void vcpu_post_tap(struct vcpu *v)
{
	wake(v, REQ_TAP);
}

void vcpu_kick(struct vcpu *v)
{
	wake(v, REQ_KICK);
}

void vcpu_poll_soon(struct vcpu *v)
{
	wake(v, REQ_POLL);
}

void vcpu_nmi(struct vcpu *v)
{
	vcpu_post_nmi(v);
}

void vcpu_smi(struct vcpu *v)
{
	vcpu_post_smi(v);
}
