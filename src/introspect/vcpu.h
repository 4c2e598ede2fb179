/* SPDX-License-Identifier: MIT */
/* What the receiver wants of a vcpu, and what the vcpu wants of the tool: the two sides of struct watched. */
#ifndef INTROSPECT_VCPU_H
#define INTROSPECT_VCPU_H

#include "introspect/session.h"

/* The vcpu of this number, NULL: there is none. */
struct watched *watched_at(struct introspection *i, unsigned index);
struct watched *watched_find(struct introspection *i, const struct vcpu *v);
/* How many there are: the indices of all are below it. */
unsigned watched_count(struct introspection *i);

/* tap.h's exists() and its TAP_END. */
void watched_add(struct introspection *i, struct vcpu *v, unsigned index);
void watched_gone(struct watched *w);
/* Forget all that a session wanted; wakes those who wait. The session is over, or has not begun. */
void watched_reset(struct introspection *i);
void watched_free_all(struct introspection *i);

/* ---- on the receiver's thread ---- */

/* -KVM_*: it is not taken; job is the caller's again. */
int watched_queue(struct watched *w, struct job *job);
/* Ask the tool KVMI_EVENT_PAUSE_VCPU on it. When this returns it executes no instruction before. False: it is gone. */
bool watched_pause(struct watched *w);
unsigned watched_pauses(struct watched *w); /* that it has not told */
bool watched_started(struct watched *w);
/*
 * A reply has come: answer() reads it for the vcpu that waits for it, with i->lock held. CALL_CLOSE: nobody does. An answer to
 * UNHOOK is of no interest.
 */
int watched_reply(struct introspection *i, u32 seq, const u8 *payload, size_t size,
	int (*answer)(struct watched *w, const u8 *payload, size_t size));
/* NULL: what was sent is no answer to this question. */
void watched_answer(struct watched *w, const struct reply *reply);

/* ---- on the vcpu's own thread ---- */

/* Do what is queued, then tell the pauses. */
void watched_serve(struct watched *w);
/*
 * Ask the tool. False: there is none any more, or it has answered nothing valid; *ret is the default answer then, value
 * what it has as new_val.
 */
bool watched_ask(struct watched *w, const struct tool_event *r, u64 value, struct reply *ret);

#endif
