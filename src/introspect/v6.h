/* SPDX-License-Identifier: MIT */
/* The two halves of the later dialect: struct dialect's write_event() and read_reply(), for the table in v6.c. */
#ifndef INTROSPECT_V6_H
#define INTROSPECT_V6_H

#include "introspect/session.h"

size_t v6_write_event(const struct tool_event *r, struct watched *w, u8 *ret);
int v6_read_reply(struct introspection *i, u32 seq, const u8 *payload, size_t size);

#endif
