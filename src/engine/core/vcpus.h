/* SPDX-License-Identifier: MIT */
/*
 * Looking at all vcpus of a machine, and why none of them goes away meanwhile.
 *
 * A vcpu may be looked at by another thread for as long as one of these holds. Each has a function that says so, and whose
 * result for_each_vcpu() wants:
 *
 * - vcpus_lock(): the thread has machine.lock;
 * - vcpus_inside(): its own cpu is in inner code, so the machine is not paused;
 * - vcpus_paused(): it has paused the machine;
 * - vcpus_of_memory() (mem/mem_priv.h): it has memory.lock, or its own cpu is inside.
 *
 * Senders of interrupts have a way of their own: a vcpu's local APIC is on the list of irq.map_lock until lapic_destroy().
 *
 * vcpu_destroy() takes the vcpu off the list under the lock, with the machine paused, and then waits for memory.lock.
 * So when it frees the vcpu, nobody who could have found it is still looking.
 */
#ifndef ENGINE_CORE_VCPUS_H
#define ENGINE_CORE_VCPUS_H

#include "base/check.h"
#include "engine/core/cpu.h"
#include "engine/core/machine.h"

/* The right to look. */
struct vcpus {
	struct machine *machine;
};

static inline struct vcpus vcpus_lock(struct machine *m)
{
	pthread_mutex_lock(&m->lock);
	return (struct vcpus){m};
}

static inline void vcpus_unlock(struct vcpus all)
{
	pthread_mutex_unlock(&all.machine->lock);
}

static inline struct vcpus vcpus_inside(const struct cpu *cpu)
{
	uv_assert(cpu->inside);
	return (struct vcpus){cpu->machine};
}

static inline struct vcpus vcpus_paused(struct machine *m)
{
	uv_assert(atomic_load_explicit(&m->pausing, memory_order_relaxed));
	return (struct vcpus){m};
}

/* For each existing vcpu. */
#define for_each_vcpu(all, v)                                                                      \
	for (unsigned v##_i = 0; v##_i < atomic_load(&(all).machine->vcpu_high); v##_i++)          \
		if (((v) = atomic_load(&(all).machine->vcpus[v##_i])))

#endif
