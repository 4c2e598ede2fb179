/* SPDX-License-Identifier: MIT */
/*
 * The inner loop. Executes, delivers exceptions, and returns to outer code (vcpu.c) for everything that needs
 * devices, locks, sleeping or user space.
 */
#include "engine/cpu/run.h"

#include "engine/cpu/cache.h"
#include "engine/cpu/ops.h"

#define SERVED (REQ_FLUSH | REQ_FLUSH_W)

void cpu_serve_requests(struct cpu *cpu)
{
	u32 req = __atomic_load_n(&cpu->exit_request, __ATOMIC_ACQUIRE);

	if (req & REQ_FLUSH)
		tlb_flush_all(cpu);
	if (req & REQ_FLUSH_W)
		tlb_flush_write(cpu, ~0ull);
	if (req & SERVED)
		__atomic_fetch_and(&cpu->exit_request, ~(req & SERVED), __ATOMIC_RELEASE);
}

int cpu_leave_for_reset(struct cpu *cpu)
{
	cpu->exit.reason = EXIT_NONE;
	cpu->cache_full = true;
	return CPU_EXIT;
}

/* Something that outer code must look at before the next instruction? */
static bool wants_out(const struct cpu *cpu)
{
	return cpu->posted_count || cpu->exit.reason != EXIT_NONE ||
	       (cpu->irq_waiting && cpu_interruptible(cpu));
}

static enum run_result why_out(const struct cpu *cpu)
{
	if (cpu->posted_count)
		return RUN_POSTED;
	return cpu->exit.reason != EXIT_NONE ? RUN_EXIT : RUN_REQUEST;
}

/* One instruction, its exception delivered. CPU_OK, or CPU_EXIT. */
static int step_deliver(struct cpu *cpu)
{
	int r = step(cpu);

	if (r == CPU_FAULT)
		r = event_deliver_exception(cpu);
	return r;
}

enum run_result cpu_run(struct cpu *cpu)
{
	for (;;) {
		if (unlikely(__atomic_load_n(&cpu->exit_request, __ATOMIC_RELAXED))) {
			cpu_serve_requests(cpu);
			if (cpu->exit_request)
				return RUN_REQUEST;
		}
		if (step_deliver(cpu) == CPU_EXIT) {
			if (cpu->cache_full)
				return RUN_CACHE_FULL;
			return RUN_EXIT;
		}
		if (unlikely(wants_out(cpu)))
			return why_out(cpu);
		if (unlikely(cpu->run_one))
			return RUN_REQUEST;
	}
}
