/* SPDX-License-Identifier: MIT */
/* See direct.h. */
#include "engine/direct/direct.h"

#include "engine/core/debug.h"
#include "engine/core/stat.h"
#include "engine/cpu/exception.h"
#include "engine/direct/direct_priv.h"
#include "engine/time/timer.h"

/*
 * Who asks something of the vcpu first says so in exit_request and then looks at direct.process; here it is the other
 * way round. So either the request is seen, or the process is kicked.
 */
static enum cage_stop enter(
	struct cpu *cpu, struct direct *d, struct cage_regs *r, struct cage_event *e)
{
	enum cage_stop stop = CAGE_KICKED;

	__atomic_store_n(&cpu->direct.process, cage_runner(d->cage), __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&cpu->exit_request, __ATOMIC_SEQ_CST))
		stop = cage_run(d->cage, r, e);
	__atomic_store_n(&cpu->direct.process, 0, __ATOMIC_SEQ_CST);
	stat_inc(cpu, STAT_DIRECT_RUNS);
	return stop;
}

/*
 * The faults of one instruction. It may touch its own two pages, two operands, the elements of a gather, each first to read it; but none twice
 * in the same way, or it writes to the page that it is in.
 */
#define FAULTS_MAX 80
struct faults {
	u64 rip;
	unsigned n;
	u64 of[FAULTS_MAX]; /* page | the error code's bits */
};

/* False: so it did before. */
static bool note_fault(struct faults *f, u64 rip, const struct cage_event *e)
{
	const u64 fault = (e->address & PAGE_MASK) | (e->error & (PF_W | PF_I));

	if (f->rip != rip)
		f->n = 0;
	f->rip = rip;
	for (unsigned i = 0; i < f->n; i++)
		if (f->of[i] == fault)
			return false;
	if (f->n == FAULTS_MAX)
		return false;
	f->of[f->n++] = fault;
	return true;
}

/* A fault that only wanted a page is over; anything else is for the engine. */
static bool mend(struct cpu *cpu, struct direct *d, const struct cage_event *e)
{
	bool done = false;

	if (!cpu_canonical(cpu, e->address))
		return false;
	d->failed = !direct_pages_fault(cpu, d, e->address, e->error, &done) ||
		    !direct_pages_sync(cpu, d);
	return done && !d->failed;
}

static enum cage_stop run(struct cpu *cpu, struct direct *d, struct cage_event *e, u64 *ret_runs)
{
	struct faults faults = {.rip = ~0ull};
	struct cage_regs r;
	enum cage_stop stop;

	direct_regs_to(cpu, d->cage, &r);
	do {
		stop = enter(cpu, d, &r, e);
		++*ret_runs;
	} while (stop == CAGE_FAULT && note_fault(&faults, r.rip, e) && mend(cpu, d, e));
	if (stop != CAGE_LOST)
		direct_regs_from(cpu, d->cage, &r);
	return stop;
}

/* What the guest's handler has just brought in; to be read, or it would be dirty though nobody has written to it. */
static bool bring_missed(struct cpu *cpu, struct direct *d)
{
	const u64 gva = d->missed;
	bool done;

	d->missed = 0;
	return !gva || d->missed_root != direct_root(cpu) || !cpu_canonical(cpu, gva) ||
	       direct_pages_fault(cpu, d, gva, d->missed_error & ~PF_W, &done);
}

/* Another one may do: there may be less memory in use then, or another guest process. */
static bool have_cage(struct vcpu *v, struct direct *d)
{
	const u32 slots = atomic_load(&v->machine->slot_generation);

	if (d->slots != slots)
		d->broken = false;
	if (d->broken || (d->cage && !d->failed))
		return !d->broken;
	d->broken = direct_cage_create(v->machine, d);
	d->failed = false;
	return !d->broken;
}

static bool prepare(struct vcpu *v, struct direct *d)
{
	struct cpu *cpu = &v->cpu;

	if (!direct_fits(cpu) || !have_cage(v, d))
		return false;
	d->failed =
		!direct_pages_sync(cpu, d) || !bring_missed(cpu, d) || !direct_pages_sync(cpu, d);
	return !d->failed && !d->hidden;
}

#define STEPS 40 /* in a page whose code cannot run so */

/*
 * The process has ended (somebody has killed it), or its code has made a stop up that cannot be. What it has done since the last stop is in memory,
 * but not in the registers: the guest's program cannot go on. It gets an exception of which it ends.
 */
static void lose(struct cpu *cpu, struct direct *d)
{
	const struct exception gp = {.vector = X86_GP, .has_error = true};

	d->failed = true;
	event_queue_exception(cpu, &gp);
}

/* The engine goes on, with the instruction at rip. False: an exception is due before it. */
static bool hand_over(
	struct cpu *cpu, struct direct *d, enum cage_stop stop, const struct cage_event *e)
{
	const bool fault = stop == CAGE_FAULT;

	if (fault && (e->error & PF_I))
		direct_breaks_want(d, ALIGN_DOWN(e->address, PAGE_SIZE));
	cpu->direct.steps = stop == CAGE_KICKED ? 0 : STEPS;
	cpu->direct.avoid = fault && (e->error & PF_I) ? cpu->rip & PAGE_MASK : ~0ull;
	d->missed = fault ? e->address : 0;
	d->missed_root = direct_root(cpu);
	d->missed_error = e->error;
	if (stop == CAGE_LOST) {
		lose(cpu, d);
		return false;
	}
	if (stop == CAGE_TRAP &&
		e->vector == X86_DB) { /* the one trap: an instruction under TF is over */
		cpu->direct.steps = 0;
		cpu->debug_pending |= DR6_BS;
		return false;
	}
	return true;
}

bool direct_run(struct vcpu *v)
{
	struct direct *d = direct_space(v);
	struct cage_event e = {0};
	struct cpu *cpu = &v->cpu;
	u64 began = host_ns(), runs = 0;
	bool ok;

	if (!prepare(v, d)) {
		direct_rest(v);
		return true;
	}
	ok = hand_over(cpu, d, run(cpu, d, &e, &runs), &e);
	if (d->failed)
		direct_rest(v);
	else
		direct_judge(v, d, runs, host_ns() - began);
	return ok;
}
