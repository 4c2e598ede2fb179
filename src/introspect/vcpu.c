/* SPDX-License-Identifier: MIT */
/* See vcpu.h. */
#include "introspect/vcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "introspect/command.h"
#include "introspect/event.h"
#include "introspect/wire.h"

/* ---- which there are ---- */

struct watched *watched_at(struct introspection *i, unsigned index)
{
	return index < atomic_load(&i->vcpu_high) ? atomic_load(&i->vcpus[index]) : NULL;
}

struct watched *watched_find(struct introspection *i, const struct vcpu *v)
{
	struct watched *w;

	for_each_watched(i, w)
	{
		if (w->v == v)
			return w;
	}
	return NULL;
}

unsigned watched_count(struct introspection *i)
{
	unsigned count = 0;
	struct watched *w;

	for_each_watched(i, w) count = w->v ? w->index + 1 : count;
	return count;
}

static struct watched *watched_make(struct introspection *i, unsigned index)
{
	struct watched *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->owner = i;
	w->index = index;
	w->last = &w->first;
	atomic_store(&i->vcpus[index], w);
	if (index >= atomic_load(&i->vcpu_high))
		atomic_store(&i->vcpu_high, index + 1);
	return w;
}

/* Without memory for it, it is one that the tool does not see. */
void watched_add(struct introspection *i, struct vcpu *v, unsigned index)
{
	struct watched *w;

	pthread_mutex_lock(&i->lock);
	w = atomic_load(&i->vcpus[index]);
	if (!w)
		w = watched_make(i, index);
	if (w) {
		w->crashed &= w->v == v;
		w->v = v;
	}
	pthread_mutex_unlock(&i->lock);
}

static void drop_jobs(struct watched *w)
{
	while (w->first) {
		struct job *job = w->first;

		w->first = job->next;
		free(job);
	}
	w->last = &w->first;
	w->jobs = 0;
}

static void forget_wishes(struct watched *w)
{
	drop_jobs(w);
	w->events = w->pauses = w->tap_events = 0;
	w->single_step = w->regs_wait = false;
	w->repeat.state = REPEAT_NONE;
	w->opened_count = 0;
	memset(&w->injection, 0, sizeof(w->injection));
}

void watched_gone(struct watched *w)
{
	struct introspection *i = w->owner;

	pthread_mutex_lock(&i->lock);
	while (w->users)
		cond_wait(&i->idle, &i->lock);
	w->v = NULL;
	w->crashed = false;
	forget_wishes(w);
	pthread_mutex_unlock(&i->lock);
}

void watched_reset(struct introspection *i)
{
	struct watched *w;

	for_each_watched(i, w) forget_wishes(w);
}

void watched_free_all(struct introspection *i)
{
	struct watched *w;

	for_each_watched(i, w)
	{
		drop_jobs(w);
		free(w);
	}
}

/* ---- the receiver's side ---- */

/* The vcpu stays while it is used. NULL: it is gone. i->lock is held. */
static struct vcpu *use(struct watched *w)
{
	w->users += w->v != NULL;
	return w->v;
}

static void used(struct watched *w)
{
	struct introspection *i = w->owner;

	pthread_mutex_lock(&i->lock);
	if (!--w->users)
		cond_changed(&i->idle);
	pthread_mutex_unlock(&i->lock);
}

static void append(struct watched *w, struct job *job)
{
	job->next = NULL;
	*w->last = job;
	w->last = &job->next;
	w->jobs++;
}

int watched_queue(struct watched *w, struct job *job)
{
	struct introspection *i = w->owner;
	struct vcpu *call = NULL;
	int r = 0;

	pthread_mutex_lock(&i->lock);
	if (!w->v)
		r = -KVM_EINVAL;
	else if (w->jobs == JOBS_MAX)
		r = -KVM_EBUSY;
	else
		append(w, job);
	if (!r && w->question.waits && !w->question.has_reply)
		cond_changed(&w->wake);
	else if (!r)
		call = use(w);
	pthread_mutex_unlock(&i->lock);
	if (call) {
		vcpu_tap_pause(call);
		used(w);
	}
	return r;
}

bool watched_pause(struct watched *w)
{
	struct introspection *i = w->owner;
	struct vcpu *v;

	pthread_mutex_lock(&i->lock);
	v = use(w);
	w->pauses += v != NULL;
	pthread_mutex_unlock(&i->lock);
	if (v) {
		vcpu_tap_pause(v);
		used(w);
	}
	return v;
}

unsigned watched_pauses(struct watched *w)
{
	unsigned pauses;

	pthread_mutex_lock(&w->owner->lock);
	pauses = w->pauses;
	pthread_mutex_unlock(&w->owner->lock);
	return pauses;
}

bool watched_started(struct watched *w)
{
	struct introspection *i = w->owner;
	struct vcpu *v;
	bool started;

	pthread_mutex_lock(&i->lock);
	v = use(w);
	pthread_mutex_unlock(&i->lock);
	if (!v)
		return false;
	started = vcpu_started(v);
	used(w);
	return started;
}

/* The one whose question has this number and no answer yet, NULL: none. */
static struct watched *asking(struct introspection *i, u32 seq)
{
	struct watched *w;

	for_each_watched(i, w)
	{
		if (w->question.waits && !w->question.has_reply && w->question.seq == seq)
			return w;
	}
	return NULL;
}

int watched_reply(struct introspection *i, u32 seq, const u8 *payload, size_t size,
	int (*answer)(struct watched *w, const u8 *payload, size_t size))
{
	struct watched *w;
	int r;

	pthread_mutex_lock(&i->lock);
	w = asking(i, seq);
	if (w)
		r = answer(w, payload, size);
	else
		r = i->session->unhook_seq && i->session->unhook_seq == seq ? 0 : CALL_CLOSE;
	pthread_mutex_unlock(&i->lock);
	return r;
}

void watched_answer(struct watched *w, const struct reply *reply)
{
	w->question.has_reply = true;
	w->question.is_valid = reply;
	w->question.jobs = w->jobs;
	if (reply)
		w->question.reply = *reply;
	cond_changed(&w->wake);
}

/* ---- the vcpu's side ---- */

static struct job *take(struct watched *w)
{
	struct job *job = w->first;

	if (!job)
		return NULL;
	w->first = job->next;
	if (!w->first)
		w->last = &w->first;
	w->jobs--;
	return job;
}

/* i->lock is held, and given up meanwhile. False: there is nothing to do. */
static bool do_one(struct watched *w)
{
	struct introspection *i = w->owner;
	struct session *s = i->session;
	struct job *job = s && !s->over ? take(w) : NULL;

	if (!job)
		return false;
	pthread_mutex_unlock(&i->lock);
	command_run(i, s, w, job);
	pthread_mutex_lock(&i->lock);
	return true;
}

void watched_serve(struct watched *w)
{
	struct introspection *i = w->owner;

	pthread_mutex_lock(&i->lock);
	for (;;) {
		if (do_one(w))
			continue;
		if (!w->pauses)
			break;
		w->pauses--;
		pthread_mutex_unlock(&i->lock);
		event_pause(w);
		pthread_mutex_lock(&i->lock);
	}
	pthread_mutex_unlock(&i->lock);
}

static bool has_news(const struct watched *w, const struct session *s)
{
	return s->over || w->first || w->question.has_reply;
}

/* Most answers come at once, and to be woken takes longer (wire.c: receive_soon()). i->lock is held, and given up meanwhile. */
static void look_for_news(struct watched *w, const struct session *s)
{
	const u64 until = cond_now_ns() + WIRE_SOON_NS;

	while (!has_news(w, s) && cond_now_ns() < until) {
		pthread_mutex_unlock(&w->owner->lock);
		sys_sched_yield();
		pthread_mutex_lock(&w->owner->lock);
	}
}

/* i->lock is held, and given up while what comes meanwhile is done. */
static void await_reply(struct watched *w, const struct session *s)
{
	look_for_news(w, s);
	while (!s->over && !w->question.has_reply)
		if (!do_one(w))
			cond_wait(&w->wake, &w->owner->lock);
	while (w->question.has_reply && w->question.jobs && do_one(w))
		w->question.jobs--;
}

static bool begin_question(struct watched *w, const struct tool_event *r)
{
	struct session *s = w->owner->session;

	if (!s || s->over || !s->dialect)
		return false;
	w->question.has_reply = false;
	w->question.report = r;
	return true;
}

bool watched_ask(struct watched *w, const struct tool_event *r, u64 value, struct reply *ret)
{
	struct introspection *i = w->owner;
	struct session *s;
	bool asked, has = false;

	*ret = (struct reply){.action = KVMI_EVENT_ACTION_CONTINUE, .new_val = value};
	pthread_mutex_lock(&i->lock);
	asked = begin_question(w, r);
	s = i->session;
	pthread_mutex_unlock(&i->lock);
	if (!asked)
		return false;
	session_send_event(i, s, r, w);
	pthread_mutex_lock(&i->lock);
	await_reply(w, s);
	w->question.waits = false;
	has = w->question.has_reply && w->question.is_valid;
	if (has)
		*ret = w->question.reply;
	pthread_mutex_unlock(&i->lock);
	return has;
}
