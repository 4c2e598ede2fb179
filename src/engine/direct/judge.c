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

/*
 * Of the process's time, what it spends in the kernel for a page that comes, and for a stop: the least that was seen of a run. Hosts
 * differ, and who takes more for one takes part of it for computing.
 */
#define PAGE_NS    4000
#define STOP_LEAST 4000
#define STOP_MOST  11000
#define TRIAL      100u /* runs */
/* So many are enough where hardly anything is computed; twice as many where pages come, which are there for the next trial. */
#define HOPELESS   16u

/* Requests, one or two a millisecond, that are let pass at most: so many, or one for each LOST_NS that were lost. */
#define WAIT_LEAST 15u
#define WAIT_MOST  1023u
#define LOST_NS    15000u
/* And before the first trial. */
#define FIRST_MOST 127u

/*
 * Times native, in fourths: programs of some hundred pages of code (bench/run, programs in user mode), and compilers of two thousand,
 * which translated code does not fit into the host's caches.
 */
#define FOURTHS      9u
#define FOURTHS_MORE 8u
#define SMALL_CODE   400u /* pages */
#define MORE_CODE    1400u

static u32 code_pages(const struct direct *d)
{
	u32 n = 0;

	for (u32 i = 0; i < d->count; i++)
		n += !!(d->page[i].access & CAGE_EXEC);
	return n;
}

static s64 translated(const struct direct *d, s64 native)
{
	const u32 code = MAX(code_pages(d), SMALL_CODE) - SMALL_CODE,
		  more = FOURTHS_MORE * MIN(code, MORE_CODE) / MORE_CODE;

	return native * (FOURTHS + more) / 4;
}

/* Unless pages come. What was seen once is forgotten slowly: another program may be in a larger address space. */
static void learn_stop(struct direct_spaces *s, struct direct *d)
{
	const u64 each = (cage_cpu_ns(d->cage) - d->used_ns) / d->runs;

	if (d->runs < TRIAL || d->mapped > d->runs / 16)
		return;
	s->stop_ns = MIN(s->stop_ns + s->stop_ns / 64, (u64)STOP_MOST);
	s->stop_ns = MAX(MIN(s->stop_ns, each), (u64)STOP_LEAST);
}

/* What translated code would have needed. */
static u64 would_need(const struct direct_spaces *s, struct direct *d)
{
	const s64 used = (s64)(cage_cpu_ns(d->cage) - d->used_ns),
		  kernel = (s64)(d->runs * s->stop_ns + d->mapped * PAGE_NS);

	return (u64)translated(d, MAX(used - kernel, 0));
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

/*
 * Linux gives the tables of a program that has ended to the next one. Where its library has thread-local memory differs then, if
 * addresses are randomized: the bits above 64 GiB, which all threads of a program share.
 */
static u64 program_of(const struct cpu *cpu)
{
	const u64 program = cpu->seg[SEG_FS].base >> 36;

	return program >> 8 == 7
		       ? program
		       : 0; /* static programs have that of their first thread elsewhere */
}

static struct patience *patience_of(struct vcpu *v)
{
	struct patience *p = find_patience(v->direct, direct_root(&v->cpu));
	const u64 program = program_of(&v->cpu);

	if (p->program && program && p->program != program)
		*p = (struct patience){.root = p->root, .left = v->direct->first};
	p->program = program ? program : p->program;
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

/*
 * A program's pages come once, if it goes on for long: so a trial in which they come may lose what is less than a part of the time
 * that the program has taken, and what it gains later is paid back. Most programs that end soon have ended by then.
 */
#define YOUNG     150u    /* requests */
#define INVEST_NS 350000u /* for each one after that: half of the time, or a fourth */
#define INVEST_MOST                                                                                \
	150000000u /* a large program's pages; some that lose always would pay this once */

static bool pages_come(const struct direct *d)
{
	return d->mapped >= d->runs / 2;
}

static bool can_invest(const struct direct *d, struct patience *p, u64 lost_ns)
{
	const u64 most = MIN((u64)(MAX(p->found, YOUNG) - YOUNG) * INVEST_NS, INVEST_MOST);

	if (!pages_come(d) || p->invested_ns + lost_ns > most)
		return false;
	p->invested_ns += lost_ns;
	return true;
}

static void lose_trial(struct vcpu *v, const struct direct *d, struct patience *p, u64 lost_ns)
{
	if (can_invest(d, p, lost_ns))
		return;
	p->lost++;
	rest(&v->cpu, p, worth_of(lost_ns, p->lost));
}

static void end_trial(struct vcpu *v, struct direct *d)
{
	const u64 needed = would_need(v->direct, d);
	const bool won = needed >= d->whole_ns;
	struct patience *p = patience_of(v);

	learn(v->direct, p, won);
	learn_stop(v->direct, d);
	if (won) {
		p->lost = 0;
		p->wait /= 2;
		p->invested_ns -= MIN(p->invested_ns, needed - d->whole_ns);
	} else {
		lose_trial(v, d, p, d->whole_ns - needed);
	}
	d->runs = 0;
}

static bool is_hopeless(const struct direct_spaces *s, struct direct *d)
{
	const u64 enough = pages_come(d) ? 2 * HOPELESS : HOPELESS;

	return d->runs >= enough && 4 * would_need(s, d) < d->whole_ns;
}

void direct_judge(struct vcpu *v, struct direct *d, u64 runs, u64 whole_ns)
{
	const bool was_early = d->runs < 2 * HOPELESS;

	if (!v->direct->stop_ns)
		v->direct->stop_ns = STOP_MOST;
	if (!d->runs)
		begin_trial(d);
	else
		d->whole_ns += whole_ns;
	d->runs += runs;
	if (d->runs >= TRIAL || (was_early && is_hopeless(v->direct, d)))
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
	p->found++;
	if (p->left)
		p->left--;
	else
		cpu->direct.armed = !often && direct_fits(cpu);
}
