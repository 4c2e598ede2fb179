/* SPDX-License-Identifier: MIT */
/*
 * Pausing. A vCPU answers each pause with an event, and stops until that is replied to. The events of pauses that
 * uvmi_pause() has asked for are counted (owed) and kept from the tool: while the guest is paused they are held, and
 * afterwards they are replied to, at once when they come. A vCPU that waits with another event sends its own only when that
 * has been replied to; one that has not been started, when it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uvmi/session.h"

#define SOON_MS 20 /* for an event, before the vCPU is asked whether it has been started */
#define WINDOW  16 /* commands on their way at once */

struct known_vcpu *known_vcpu(struct uvmi *s, unsigned vcpu)
{
	const unsigned n = MAX(vcpu + 1, 2 * s->n_vcpus);
	struct known_vcpu *v;

	if (vcpu >= s->n_vcpus) {
		v = realloc(s->vcpus, n * sizeof(*v));
		if (!v)
			return NULL;
		memset(v + s->n_vcpus, 0, (n - s->n_vcpus) * sizeof(*v));
		s->vcpus = v;
		s->n_vcpus = n;
	}
	return &s->vcpus[vcpu];
}

int pause_takes(struct uvmi *s, struct event_node *node)
{
	const unsigned vcpu = node->event.vcpu;
	struct known_vcpu *v;
	bool hold;

	if (node->event.event != UVMI_EVENT_PAUSE_VCPU || vcpu >= s->n_vcpus ||
		!s->vcpus[vcpu].owed)
		return 0;
	v = &s->vcpus[vcpu];
	/* One that this pause leaves out may still owe the event of an earlier one. */
	hold = s->paused && vcpu != s->runs;
	if (hold && v->held)
		return -EPROTO; /* it has stopped already */
	v->owed--;
	if (hold)
		v->held = node;
	else
		event_list_add(&s->late, node);
	return 1;
}

static int let_go(struct uvmi *s, struct event_node *node)
{
	const struct uvmi_answer answer = {.action = UVMI_CONTINUE};
	const int r = reply_send(s, &node->event, &answer);

	free(node);
	return r;
}

int pause_reply_late(struct uvmi *s)
{
	struct event_node *node;
	int r = 0;

	while (!r && (node = event_list_first(&s->late)))
		r = let_go(s, node);
	return r;
}

struct settle {
	unsigned vcpu;
	bool asked;
};

/* It has stopped, with one event or another, or the session does not wait for it. */
static bool settled(struct uvmi *s, void *arg)
{
	const struct settle *w = arg;
	const struct known_vcpu *v = &s->vcpus[w->vcpu];

	return !v->owed || v->held || event_list_has_vcpu(&s->waiting, w->vcpu) ||
	       event_list_has_vcpu(&s->queue, w->vcpu);
}

/* Whether the vCPU has not been started: then its event comes when it is. */
static int ask_started(struct uvmi *s, unsigned vcpu)
{
	struct uvmi_registers registers;
	int r;

	peer_unlock(s);
	r = uvmi_get_registers(s, vcpu, &registers, NULL, 0);
	peer_lock(s);
	return r;
}

static int settle(struct uvmi *s, unsigned vcpu)
{
	struct settle w = {.vcpu = vcpu};
	int r = peer_wait(s, settled, &w, deadline_in(SOON_MS));

	if (r != -ETIMEDOUT)
		return r;
	r = ask_started(s, vcpu);
	if (r)
		return r == -EAGAIN ? 0 : r;
	return peer_wait(s, settled, &w, deadline_in(s->timeout_ms));
}

static int settle_all(struct uvmi *s, unsigned n, unsigned except)
{
	int r = 0;

	for (unsigned i = 0; !r && i < n; i++)
		if (i != except)
			r = settle(s, i);
	return r;
}

static int start_one(struct uvmi *s, struct pending *call, unsigned vcpu)
{
	const struct kvmi_v6_pause_vcpu c = {.hdr.vcpu = (u16)vcpu, .wait = 1};
	const struct iovec in = PART(c);

	s->vcpus[vcpu].owed++;
	return command_start(s, call, UVMI_PAUSE_VCPU, &in, 1);
}

/* One that has not been started need not take the command. */
static int finish_one(struct uvmi *s, struct pending *call, unsigned vcpu)
{
	const int r = call->done ? call->result : command_finish(s, call);

	if (r && s->vcpus[vcpu].owed)
		s->vcpus[vcpu].owed--;
	return r == -EAGAIN ? 0 : r;
}

static int pause_window(struct uvmi *s, unsigned from, unsigned end, unsigned except)
{
	struct pending calls[WINDOW] = {{.seq = 0}};
	int r = 0, one;

	for (unsigned i = from; i < end; i++)
		if (i != except)
			start_one(s, &calls[i - from], i);
	for (unsigned i = from; i < end; i++) {
		one = i == except ? 0 : finish_one(s, &calls[i - from], i);
		if (!r)
			r = one;
	}
	return r;
}

static int pause_each(struct uvmi *s, unsigned n, unsigned except)
{
	int r = 0;

	for (unsigned i = 0; !r && i < n; i += WINDOW)
		r = pause_window(s, i, MIN(i + WINDOW, n), except);
	return r;
}

static int pause_all_v5(struct uvmi *s, unsigned n)
{
	struct kvmi_pause_all_vcpus_reply reply;
	struct pending call = {.out = &reply, .min = sizeof(reply), .max = sizeof(reply)};
	int r;

	for (unsigned i = 0; i < n; i++)
		s->vcpus[i].owed++;
	r = command_start(s, &call, UVMI_PAUSE_ALL_VCPUS, NULL, 0);
	if (!r)
		r = command_finish(s, &call);
	for (unsigned i = 0; r && i < n; i++)
		s->vcpus[i].owed -= s->vcpus[i].owed != 0;
	return r;
}

/* Of all vCPUs: what is held now is replied to, and what comes later when it comes. */
static int resume_locked(struct uvmi *s)
{
	struct event_node *node;
	int r = s->failed;

	s->paused = false;
	for (unsigned i = 0; i < s->n_vcpus; i++) {
		node = s->vcpus[i].held;
		s->vcpus[i].held = NULL;
		if (node && !r)
			r = let_go(s, node);
		else
			free(node);
	}
	return r;
}

static int pause_locked(struct uvmi *s, unsigned n, unsigned except)
{
	int r;

	if (s->paused)
		return -EALREADY;
	if (batch_is_mine(s))
		return -EBUSY;
	if (n && !known_vcpu(s, n - 1))
		return -ENOMEM;
	s->paused = true;
	s->runs = except;
	r = s->dialect == UVMI_V5 ? pause_all_v5(s, n) : pause_each(s, n, except);
	if (!r)
		r = settle_all(s, n, except);
	if (r)
		resume_locked(s);
	return r;
}

static int pause_but(struct uvmi *s, unsigned except)
{
	uint32_t n;
	int r = uvmi_get_guest_info(s, &n);

	if (r)
		return r;
	if (n > UINT16_MAX + 1u)
		return peer_refuse(s);
	peer_lock(s);
	r = pause_locked(s, n, except);
	peer_unlock(s);
	return r;
}

int uvmi_pause(struct uvmi *s)
{
	return pause_but(s, NOBODY);
}

int uvmi_pause_others(struct uvmi *s, unsigned vcpu)
{
	if (s->dialect == UVMI_V5)
		return -ENOSYS;
	return vcpu_check(vcpu) ? -EINVAL : pause_but(s, vcpu);
}

int uvmi_resume(struct uvmi *s)
{
	int r;

	peer_lock(s);
	if (batch_is_mine(s))
		r = -EBUSY;
	else
		r = s->paused ? resume_locked(s) : -EALREADY;
	peer_unlock(s);
	return r;
}

int uvmi_pause_vcpu(struct uvmi *s, unsigned vcpu, int wait)
{
	const struct kvmi_v6_pause_vcpu c = {.hdr.vcpu = (u16)vcpu, .wait = wait != 0};

	return vcpu_check(vcpu) ? -EINVAL : command_plain(s, UVMI_PAUSE_VCPU, PART(c));
}

int uvmi_pause_all_vcpus(struct uvmi *s, uint32_t *ret_vcpus)
{
	struct kvmi_pause_all_vcpus_reply reply;
	const int r = command_fixed(
		s, UVMI_PAUSE_ALL_VCPUS, (struct iovec){NULL, 0}, &reply, sizeof(reply));

	if (!r)
		*ret_vcpus = reply.vcpu_count;
	return r;
}
