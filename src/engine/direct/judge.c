/* SPDX-License-Identifier: MIT */
/*
 * When direct execution pays: for code that computes for longer than it takes to get into the process and out. Who is found in user
 * code by a request is likely to stay there. After some runs, a trial, it is reckoned up: what the process has computed, by its
 * processor time, would have taken a multiple of that in translated code, and took what it did. An address space that loses is
 * translated for a while, which becomes longer each time (one trial may have lost because the host was busy), but not longer than
 * the loss is worth.
 */
#include "engine/direct/direct.h"
#include "engine/direct/direct_priv.h"
#include "engine/time/timer.h"

/* Of the process's time, what it spends in the kernel for a stop, and for a page that comes. */
#define STOP_NS  5500
#define PAGE_NS  4000
#define TRIAL    100u /* runs */
/* So many are enough where hardly anything is computed; twice as many where pages come, which are there for the next trial. */
#define HOPELESS 16u

/* Requests, one or two a millisecond, that are let pass at most: so many, or one for each LOST_NS that were lost. */
#define WAIT_LEAST 15u
#define WAIT_MOST  1023u
#define LOST_NS    15000u
/* And before the first trial. */
#define FIRST_MOST 31u

/* Times native: bench/run, programs in user mode. */
static s64 translated(s64 native)
{
	return native * 9 / 4;
}

/* What translated code would have needed. */
static u64 would_need(struct direct *d)
{
	const s64 used = (s64)(cage_cpu_ns(d->cage) - d->used_ns),
		  kernel = (s64)(d->runs * STOP_NS + d->mapped * PAGE_NS);

	return (u64)translated(MAX(used - kernel, 0));
}

/* ---- patience, by address space ---- */

/* That of the address space, or the one that was not seen for longest. */
static struct patience *find_patience(struct direct_spaces *s, u64 root)
{
	struct patience *oldest = &s->patience[0];

	for (unsigned i = 0; i < PATIENCES; i++) {
		if (s->patience[i].seen && s->patience[i].root == root)
			return &s->patience[i];
		if (s->patience[i].seen < oldest->seen)
			oldest = &s->patience[i];
	}
	*oldest = (struct patience){.root = root, .left = s->first};
	return oldest;
}

static struct patience *patience_of(struct vcpu *v)
{
	struct patience *p = find_patience(v->direct, direct_root(&v->cpu));

	p->seen = ++v->direct->requests;
	return p;
}

static void rest(struct cpu *cpu, struct patience *p, u32 most)
{
	cpu->direct.armed = false;
	p->wait = MIN(p->wait * 2 + 1, most);
	p->left = p->wait;
}

void direct_rest(struct vcpu *v)
{
	rest(&v->cpu, patience_of(v), WAIT_MOST);
}

/* ---- trials ---- */

/* Who has lost often may lose less and less. */
static u32 worth_of(u64 lost_ns, u32 trials)
{
	const u64 requests = MAX(lost_ns / LOST_NS, WAIT_LEAST) << MIN(trials / 4, 4u);

	return (u32)MIN(requests, WAIT_MOST);
}

static void begin_trial(struct direct *d)
{
	d->used_ns = cage_cpu_ns(d->cage);
	d->whole_ns = d->runs = d->mapped = 0;
}

/* Programs that end soon are tried once, if at all: whether that pays is learnt from one for the next. */
static void learn(struct direct_spaces *s, struct patience *p, bool won)
{
	if (!p->tried)
		s->first = won ? s->first / 2 : MIN(s->first * 2 + 1, FIRST_MOST);
	p->tried = true;
}

static void end_trial(struct vcpu *v, struct direct *d)
{
	const u64 needed = would_need(d);
	const bool won = needed >= d->whole_ns;
	struct patience *p = patience_of(v);

	learn(v->direct, p, won);
	p->lost = won ? 0 : p->lost + 1;
	if (won)
		p->wait /= 2;
	else
		rest(&v->cpu, p, worth_of(d->whole_ns - needed, p->lost));
	d->runs = 0;
}

static bool is_hopeless(struct direct *d)
{
	const u64 enough = d->mapped < d->runs / 2 ? HOPELESS : 2 * HOPELESS;

	return d->runs >= enough && 4 * would_need(d) < d->whole_ns;
}

void direct_judge(struct vcpu *v, struct direct *d, u64 runs, u64 whole_ns)
{
	const bool was_early = d->runs < 2 * HOPELESS;

	if (!d->runs)
		begin_trial(d);
	else
		d->whole_ns += whole_ns;
	d->runs += runs;
	if (d->runs >= TRIAL || (was_early && is_hopeless(d)))
		end_trial(v, d);
}

/*
 * Code that leaves for its kernel so often would stop for longer than it could gain, and need not be tried to know that. A stop takes
 * 10 us, and what the kernel changes about pages as much again; of the time of translated code the half at most is gained.
 */
#define CALL_NS   20000u
#define WINDOW_NS 500000u

static bool leaves_often(struct cpu *cpu)
{
	const u64 now = host_ns(), passed = now - cpu->direct.since;
	const bool often = (u64)cpu->direct.calls * CALL_NS > passed / 2;

	if (passed >= WINDOW_NS) {
		cpu->direct.since = now;
		cpu->direct.calls = 0;
	}
	return often;
}

void direct_on_request(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	struct patience *p;
	bool often;

	if (likely(!machine_option(v->machine, OPT_DIRECT)))
		return;
	often = leaves_often(cpu);
	if (cpu->cpl != 3 || !direct_spaces_make(v))
		return;
	p = patience_of(v);
	if (p->left)
		p->left--;
	else
		cpu->direct.armed = !often && direct_fits(cpu);
}
