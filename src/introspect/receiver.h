/* SPDX-License-Identifier: MIT */
/* The life of a session, as those who begin one go through it (hook.c, seek.c), each step on the receiver's thread but the first. */
#ifndef INTROSPECT_RECEIVER_H
#define INTROSPECT_RECEIVER_H

#include "introspect/session.h"

/* fd (base/fd.h: kept) becomes the session's. -EBUSY: there is one; fd is the caller's again. */
int receiver_begin(struct introspection *i, int fd, const struct introspect_rights *rights);
/* -EBUSY: somebody else watches the machine. */
int receiver_watch(struct introspection *i);
/* Until the tool goes. */
void receiver_serve(struct introspection *i);
/* As if it had never been. */
void receiver_end(struct introspection *i);

#endif
