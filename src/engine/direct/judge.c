/* SPDX-License-Identifier: MIT */
/*
 * When direct execution pays: for code that computes for longer than it takes to get into the process and out. Who is found in user
 * code by a request is likely to stay there. After some runs it is reckoned up: what the process has computed, by its processor time,
 * would have taken a multiple of that in translated code, and took what it did. Who loses is translated for a while, which becomes
 * longer each time.
 */
#include "engine/direct/direct.h"
#include "engine/direct/direct_priv.h"

/* Of the process's time, what it spends in the kernel for a stop, and for a page that comes. */
#define STOP_NS  3000
#define PAGE_NS  4000
#define TRIAL    100  /* runs */
#define WAIT_MAX 255u /* requests */

/* Times native: bench/run, programs in user mode. */
static s64 translated(s64 native)
{
	return native * 9 / 4;
}

static bool has_paid(struct direct *d)
{
	const s64 used = (s64)(cage_cpu_ns(d->cage) - d->used_ns),
		  kernel = (s64)(d->runs * STOP_NS + d->mapped * PAGE_NS),
		  native = MAX(used - kernel, 0);

	return translated(native) >= (s64)d->whole_ns;
}

void direct_rest(struct cpu *cpu)
{
	cpu->direct.armed = false;
	cpu->direct.wait = MIN(cpu->direct.wait * 2 + 1, WAIT_MAX);
	cpu->direct.left = cpu->direct.wait;
}

static void begin_trial(struct direct *d)
{
	d->used_ns = cage_cpu_ns(d->cage);
	d->whole_ns = d->runs = d->mapped = 0;
}

void direct_judge(struct cpu *cpu, struct direct *d, u64 runs, u64 whole_ns)
{
	if (!d->runs)
		begin_trial(d);
	else
		d->whole_ns += whole_ns;
	d->runs += runs;
	if (d->runs < TRIAL)
		return;
	if (has_paid(d))
		cpu->direct.wait /= 2;
	else
		direct_rest(cpu);
	d->runs = 0;
}

void direct_on_request(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;

	if (likely(!machine_option(v->machine, OPT_DIRECT)) || cpu->cpl != 3)
		return;
	if (cpu->direct.left)
		cpu->direct.left--;
	else
		cpu->direct.armed = direct_fits(cpu);
}
