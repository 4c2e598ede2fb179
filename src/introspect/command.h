/* SPDX-License-Identifier: MIT */
/* Commands, whatever they are: checked in the order that the protocol gives, done, answered. */
#ifndef INTROSPECT_COMMAND_H
#define INTROSPECT_COMMAND_H

#include "introspect/session.h"

/* A message has come. 0, or CALL_CLOSE. On the receiver's thread. */
int command_received(struct introspection *i, struct session *s, const struct kvmi_msg_hdr *h,
	const u8 *payload);
/* Do it and answer; job is freed. w is NULL for one that is not for a vcpu. A handler's CALL_CLOSE shuts the socket. */
void command_run(struct introspection *i, struct session *s, struct watched *w, struct job *job);
/* May the tool send this one? */
bool command_allowed(const struct session *s, const struct tool_command *c);
const struct tool_command *command_find(const struct dialect *d, u16 id);

#endif
