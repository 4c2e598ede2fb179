/* SPDX-License-Identifier: MIT */
/*
 * When may code have been changed by somebody who is not one of the guest's processors: by DMA, by a loader, by a
 * debugger? Nobody tells; so translations are compared with memory (jit/check.c) after each
 * event by which a guest learns that such a write is done:
 *
 * - the caller enters the vcpu: whatever it did for the last exit, or before, is done;
 * - an interrupt is taken after a device raised one;
 * - for guests that look at memory instead: every few ticks, if a device or another vcpu's caller was active.
 *
 * Timer interrupts and IPIs say nothing about devices and cost nothing here.
 */
#include "engine/core/machine.h"
#include "engine/core/vcpus.h"
#include "engine/host/track.h"
#include "engine/mem/mem_priv.h"
#include "engine/mem/mem.h"
#include "engine/mem/recheck.h"

#define TICKS 8

/*
 * Pages that are kept and that nobody has written to are left alone. A program with a userfaultfd may hold back pages that the guest
 * will not reach, and not expect anybody to look at them.
 */
static void recheck(struct vcpu *v)
{
	v->cpu.direct.rechecks++;
	if (written_nothing(v))
		v->cpu.rechecks++;
	else if (track_given_up())
		mmu_recheck_code(&v->cpu);
	else
		mmu_recheck_used(&v->cpu);
}

/* The vcpu's own thread alone writes its counter: no locked instruction, no shared cache line. */
void recheck_on_entry(struct vcpu *v)
{
	u32 n = atomic_load_explicit(&v->entries, memory_order_relaxed);

	atomic_store_explicit(&v->entries, n + 1, memory_order_release);
	recheck(v);
}

void recheck_on_interrupt(struct vcpu *v)
{
	u32 events = atomic_load_explicit(&v->machine->device_events, memory_order_acquire);

	if (events == v->events_seen)
		return;
	v->events_seen = events;
	recheck(v);
}

static u32 activity_of_others(struct vcpu *v)
{
	u32 sum = atomic_load_explicit(&v->machine->device_events, memory_order_acquire);
	struct vcpus all = vcpus_lock(v->machine);
	struct vcpu *other;

	for_each_vcpu(all, other) if (other != v) sum +=
		atomic_load_explicit(&other->entries, memory_order_acquire);
	vcpus_unlock(all);
	return sum;
}

void recheck_on_tick(struct vcpu *v)
{
	u32 sum;

	if (++v->ticks % TICKS)
		return;
	sum = activity_of_others(v);
	if (sum == v->activity_seen)
		return;
	v->activity_seen = sum;
	recheck(v);
}

void recheck_device_event(struct machine *m)
{
	atomic_fetch_add_explicit(&m->device_events, 1, memory_order_release);
}
