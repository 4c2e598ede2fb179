/* SPDX-License-Identifier: MIT */
/*
 * The subscriber of engine/tap.h: what it has asked for, and the outer half of asking. The questions are tap/ask.c's.
 *
 * What other threads have asked for stands in vcpu.tap; the vcpu takes it over on REQ_TAP, before it goes into inner code again.
 */
#include <errno.h>
#include <string.h>

#include "engine/core/vcpus.h"
#include "engine/core/answer.h"
#include "engine/core/select.h"
#include "engine/mem/memory.h"
#include "engine/mem/mem.h"
#include "engine/request/post.h"
#include "engine/request/subscriber.h"
#include "engine/vcpu/loop.h"
#include "engine/cpu/mode.h"

#define DECIDES (BIT(TAP_GO_ON) | BIT(TAP_RETRY) | BIT(TAP_STOP))
#define DOES    (DECIDES | BIT(TAP_SKIP) | BIT(TAP_REFUSE))
#define PAUSES  (BIT(TAP_GO_ON) | BIT(TAP_STOP))

static const struct tap_kind_desc kinds[TAP_KINDS] = {
	[TAP_CR] = {"control register", DOES},
	[TAP_XCR0] = {"xcr0", DOES},
	[TAP_MSR_READ] = {"msr read", DECIDES | BIT(TAP_REFUSE)},
	[TAP_MSR_WRITE] = {"msr write", DOES},
	[TAP_TABLE] = {"descriptor table register", DOES},
	[TAP_EXCEPTION] = {"exception", DECIDES | BIT(TAP_SKIP)},
	[TAP_SOFT_INT] = {"software interrupt", DOES},
	[TAP_HYPERCALL] = {"hypercall", DOES},
	[TAP_CPUID] = {"cpuid", DOES},
	[TAP_STEP] = {"single step", DECIDES},
	[TAP_PAGE] = {"page access", DECIDES},
	[TAP_BIRTH] = {"birth", PAUSES},
	[TAP_PAUSE] = {"pause", PAUSES},
	[TAP_END] = {"end", BIT(TAP_GO_ON)},
};

const struct tap_kind_desc *tap_kinds(void)
{
	return kinds;
}

#define ALWAYS (BIT(TAP_BIRTH) | BIT(TAP_PAUSE) | BIT(TAP_END))
#define MASKED ((BIT(TAP_KINDS) - 1) & ~ALWAYS)

/* ---- asking ---- */

/* The verdict, if it is one that this kind takes. A vcpu whose subscriber has gone meanwhile goes on. */
static enum tap_verdict asked(
	const struct tap *ops, void *opaque, struct vcpu *v, struct tap_event *e)
{
	enum tap_verdict r = ops ? ops->event(opaque, v, e) : TAP_GO_ON;

	return kinds[e->kind].verdicts & BIT(r) ? r : TAP_GO_ON;
}

static enum tap_verdict tell(struct vcpu *v, struct tap_event *e)
{
	void *opaque;
	const struct tap *ops = subscriber_hold(v->machine, &opaque);
	enum tap_verdict r = asked(ops, opaque, v, e);

	subscriber_release(v->machine, ops);
	return r;
}

/* ---- an answer, as the restarted instruction finds it ---- */

static u64 answered_value(const struct tap_event *e)
{
	switch (e->kind) {
	case TAP_CR:
	case TAP_XCR0: return e->cr.value;
	case TAP_MSR_READ:
	case TAP_MSR_WRITE: return e->msr.value;
	case TAP_SOFT_INT: return e->soft_int.vector;
	default: return 0;
	}
}

static void keep_data(struct cpu *cpu, const struct tap_event *e)
{
	struct given *g = &cpu->given[cpu->given_count];

	if (e->page.access != TAP_READ || !e->page.data_len || cpu->given_count == TAP_DATA_PLACES)
		return;
	g->gpa = e->page.gpa;
	g->len = MIN(e->page.data_len, (u16)TAP_DATA_MAX);
	memcpy(g->data, e->page.data, g->len);
	cpu->given_count++;
}

static void keep_answer(struct cpu *cpu, const struct tap_event *e, enum tap_verdict verdict)
{
	struct answers *r = &cpu->answers;

	uv_assert(r->filled < ANSWERS_MAX);
	if (!r->tapped)
		cpu->given_count = 0;
	if (e->kind == TAP_PAGE)
		keep_data(cpu, e);
	r->answer[r->filled++] = (struct answer){.reason = EXIT_TAP,
		.len = cpu->question_kind,
		.addr = e->kind == TAP_EXCEPTION ? e->exception.vector : cpu->question_key,
		.value = answered_value(e),
		.verdict = verdict};
	r->tapped = true;
}

/* It waits in cpu->events while the question is out: there it is changed. */
static void change_exception(struct cpu *cpu, const struct tap_event *e)
{
	if (e->exception.vector > 31 || e->exception.vector == X86_NMI)
		return; /* no exception: it stays what it is */
	bool payload = e->exception.vector == X86_PF || e->exception.vector == X86_DB;

	cpu->events.exception.vector = e->exception.vector;
	cpu->events.exception.has_error = e->exception.has_error;
	cpu->events.exception.error = e->exception.error;
	cpu->events.exception.has_payload = payload;
	cpu->events.exception.payload = payload ? e->exception.payload : 0;
}

static void drop_exception(struct cpu *cpu)
{
	memset(&cpu->events.exception, 0, sizeof(cpu->events.exception));
	cpu->events_own = cpu->events_resume = false;
}

static void take_verdict(struct cpu *cpu, const struct tap_event *e, enum tap_verdict verdict)
{
	bool exception = e->kind == TAP_EXCEPTION;

	if (exception && verdict != TAP_GO_ON)
		drop_exception(cpu);
	if (verdict == TAP_RETRY || (exception && verdict == TAP_SKIP)) {
		answers_drop(cpu);
		return;
	}
	if (exception)
		change_exception(cpu, e);
	keep_answer(cpu, e, verdict);
}

/* rip was set while the question was open, so set_regs() has taken the exit away: as if the verdict were TAP_RETRY. */
static void moved_away(struct cpu *cpu)
{
	const struct vcpu_events *e = &cpu->events;

	/* A step was told; what comes now follows no instruction. */
	if (cpu->question.kind == TAP_STEP)
		cpu->tap_stepped = false;
	if (cpu->question.kind == TAP_EXCEPTION && e->exception.injected &&
		e->exception.vector == cpu->question.exception.vector)
		drop_exception(cpu);
}

/* The verdict is taken while the subscriber cannot go: e may point to what is its. */
static bool answer_of(const struct tap *ops, void *opaque, struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	struct tap_event e = cpu->question;
	enum tap_verdict verdict = asked(ops, opaque, v, &e);

	if (verdict == TAP_STOP) {
		cpu->exit.reason = EXIT_TAP; /* whatever was set */
		return false;
	}
	if (cpu->exit.reason == EXIT_TAP)
		take_verdict(cpu, &e, verdict);
	else
		moved_away(cpu);
	cpu->exit.reason = EXIT_NONE;
	return true;
}

bool vcpu_tap_answer(struct vcpu *v)
{
	void *opaque;
	const struct tap *ops = subscriber_hold(v->machine, &opaque);
	bool goes_on = answer_of(ops, opaque, v);

	subscriber_release(v->machine, ops);
	return goes_on;
}

bool vcpu_started(const struct vcpu *v)
{
	return atomic_load(&v->mp_state) != MP_UNINITIALIZED;
}

const struct tap_event *vcpu_tap_event(const struct vcpu *v)
{
	return &v->cpu.question;
}

/* ---- between instructions ---- */

static bool has_subscriber(struct machine *m)
{
	bool has;

	pthread_mutex_lock(&m->tap.lock);
	has = m->tap.ops;
	pthread_mutex_unlock(&m->tap.lock);
	return has;
}

/*
 * An instruction that a device has answered is half done: its effect outside has happened. It goes by what was before, and
 * what has changed is taken over when it is over (vcpu_tap_late()). What the subscriber has answered has no effect yet: then
 * what is new holds at once, and what is over holds on, so that the instruction finds its answers.
 */
static bool half_done(const struct cpu *cpu)
{
	const struct answers *r = &cpu->answers;

	for (unsigned i = 0; i < r->filled; i++)
		if (r->answer[i].reason != EXIT_TAP)
			return true;
	return r->filled && r->muted;
}

static void take_events(struct vcpu *v, u32 subscribed)
{
	struct cpu *cpu = &v->cpu;
	const u32 events = subscribed | atomic_load(&v->machine->intercepts.kinds);
	const u32 changed = events ^ cpu->tap_events;

	cpu->subscribed = subscribed;
	cpu->tap_events = events;
	if (atomic_exchange(&v->tap.step_anew, false)) {
		cpu->tap_stepped = false;
		cpu->tap_first = !cpu->tap_held;
	}
	if (!changed)
		return;
	if (changed & BIT(TAP_PAGE)) /* what the TLB holds was made under other rights */
		cpu_request(cpu, REQ_FLUSH);
	cpu_update_mode(cpu);
}

void vcpu_tap_refresh(struct vcpu *v)
{
	struct cpu *cpu = &v->cpu;
	u32 events;

	cpu->tap_late = cpu->answers.filled;
	if (half_done(cpu))
		return;
	events = has_subscriber(v->machine) ? atomic_load(&v->tap.events) : 0;
	take_events(v, cpu->tap_late ? events | cpu->subscribed : events);
}

void vcpu_tap_over(struct vcpu *v)
{
	if (v->cpu.view_late)
		cpu_request(&v->cpu, REQ_VIEW);
	v->cpu.view_late = false;
	vcpu_tap_refresh(v);
}

static bool told_to_stop(struct vcpu *v, enum tap_kind kind)
{
	struct tap_event e = {.kind = kind};
	bool stop = tell(v, &e) == TAP_STOP;

	if (stop)
		v->cpu.question = e;
	return stop;
}

/* One that is still to be told. The subscriber may be leaving, and takes all of them away (forget()). */
static bool take_pause(struct vcpu *v)
{
	u32 pauses = atomic_load(&v->tap.pauses);

	while (pauses && !atomic_compare_exchange_weak(&v->tap.pauses, &pauses, pauses - 1))
		;
	return pauses;
}

/* What is still to be told when one of them stops the vcpu is told when it runs again. */
bool vcpu_tap_serve(struct vcpu *v)
{
	bool stop = false;

	vcpu_tap_refresh(v);
	if (vcpu_started(v) && atomic_exchange(&v->tap.born, false))
		stop = told_to_stop(v, TAP_BIRTH);
	while (!stop && take_pause(v))
		stop = told_to_stop(v, TAP_PAUSE);
	vcpu_tap_refresh(v);
	if (stop && atomic_load(&v->tap.pauses))
		cpu_request(&v->cpu, REQ_TAP);
	return stop;
}

static void tell_birth(struct vcpu *v)
{
	atomic_store(&v->tap.born, true);
	cpu_request(&v->cpu, REQ_TAP);
}

/* machine.lock is held: who subscribes now has been told of it, or will be. */
void vcpu_tap_created(struct vcpu *v, unsigned index)
{
	void *opaque;
	const struct tap *ops = subscriber_hold(v->machine, &opaque);

	if (atomic_load(&v->machine->intercepts.kinds))
		cpu_request(&v->cpu, REQ_TAP);
	if (!ops)
		return;
	if (ops->exists)
		ops->exists(opaque, v, index);
	tell_birth(v);
	subscriber_release(v->machine, ops);
}

void vcpu_tap_end(struct vcpu *v)
{
	struct tap_event e = {.kind = TAP_END};

	tell(v, &e);
}

/* ---- what is asked for ---- */

/* Returns when the vcpu does nothing any more that goes by what was before. */
static void changed(struct vcpu *v)
{
	vcpu_request(v, REQ_TAP, false);
	vcpu_await_acted(v, REQ_TAP);
}

int vcpu_tap_events(struct vcpu *v, u32 events)
{
	if (events & ~MASKED)
		return -EINVAL;
	if (events & ~atomic_exchange(&v->tap.events, events) & BIT(TAP_STEP))
		atomic_store(&v->tap.step_anew, true);
	changed(v);
	return 0;
}

int vcpu_tap_cr(struct vcpu *v, unsigned cr, bool on)
{
	if (cr != 0 && cr != 3 && cr != 4 && cr != 8)
		return -EINVAL;
	if (on)
		atomic_fetch_or(&v->tap.crs, BIT(cr));
	else
		atomic_fetch_and(&v->tap.crs, ~BIT(cr));
	changed(v);
	return 0;
}

int vcpu_tap_msr(struct vcpu *v, u32 index, bool write, bool on)
{
	if (!msr_select(&v->tap.msrs, index, write, on))
		return -EINVAL;
	changed(v);
	return 0;
}

void vcpu_tap_pause(struct vcpu *v)
{
	atomic_fetch_add(&v->tap.pauses, 1);
	changed(v);
	vcpu_post_tap(v);
}

static void forget(struct vcpu *v)
{
	atomic_store(&v->tap.events, 0);
	atomic_store(&v->tap.crs, 0);
	atomic_store(&v->tap.pauses, 0);
	atomic_store(&v->tap.born, false);
	msr_select_none(&v->tap.msrs);
}

static void unsubscribe(struct machine *m)
{
	struct machine_tap *t = &m->tap;
	struct vcpus all;
	struct vcpu *v;

	pthread_mutex_lock(&t->lock);
	t->ops = NULL;
	t->leaving++;
	while (t->busy)
		cond_wait(&t->idle, &t->lock);
	pthread_mutex_unlock(&t->lock);
	all = vcpus_lock(m);
	for_each_vcpu(all, v)
	{
		forget(v);
		cpu_request(&v->cpu, REQ_TAP);
	}
	vcpus_unlock(all);
	machine_drop_views(m); /* with all vcpus outside: what they had begun is over */
	pthread_mutex_lock(&t->lock);
	t->leaving--;
	pthread_mutex_unlock(&t->lock);
}

static int subscribe(struct machine *m, const struct tap *ops, void *opaque)
{
	struct machine_tap *t = &m->tap;
	struct vcpus all = vcpus_lock(m); /* so that a new vcpu is told once */
	struct vcpu *v;
	bool busy;

	pthread_mutex_lock(&t->lock);
	busy = t->ops || t->leaving;
	if (!busy) {
		t->ops = ops;
		t->opaque = opaque;
	}
	pthread_mutex_unlock(&t->lock);
	if (!busy) {
		for_each_vcpu(all, v)
		{
			if (ops->exists)
				ops->exists(opaque, v, v_i);
			tell_birth(v);
			vcpu_post_tap(v);
		}
	}
	vcpus_unlock(all);
	return busy ? -EBUSY : 0;
}

int machine_set_tap(struct machine *m, const struct tap *ops, void *opaque)
{
	if (ops)
		return subscribe(m, ops, opaque);
	unsubscribe(m);
	return 0;
}
