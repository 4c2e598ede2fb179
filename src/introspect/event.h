/* SPDX-License-Identifier: MIT */
/* Events: what the engine asks (tap.h) as what the tool is asked, and what it says as what the engine does. */
#ifndef INTROSPECT_EVENT_H
#define INTROSPECT_EVENT_H

#include "introspect/session.h"

/* The subscriber. */
extern const struct tap introspect_tap;

/* Have the engine ask what the tool wants to know. On the vcpu's own thread. */
void event_update_taps(struct watched *w);
/* Ask the tool, which may crash the vcpu by its answer. value: what the default answer has as new_val. On its own thread. */
void event_ask(struct watched *w, const struct tool_event *r, u64 value, struct reply *a);
/* Ask KVMI_EVENT_PAUSE_VCPU. */
void event_pause(struct watched *w);
/* Tell what needs no answer. */
void event_unhook(struct introspection *i, struct session *s);
void event_command_error(struct introspection *i, struct session *s, u16 id, u32 seq, int err);

#endif
