/* SPDX-License-Identifier: MIT */
/*
 * Introspection: a tool outside looks into a machine, over a socket, by the KVMI protocol (uapi/kvmi.h, uapi/kvmi_v6.h; the
 * dialect is told by the tool's first message). Interfaces reach this part by this file and maps.h; it reaches the engine by tap.h.
 *
 * A machine has at most one tool at a time. When the tool goes, for whatever reason, the machine runs on as if it had never
 * been watched; what the tool has written stays.
 *
 * Functions return 0 or -errno and may be called from any thread unless their comments say otherwise.
 */
#ifndef INTROSPECT_INTROSPECT_H
#define INTROSPECT_INTROSPECT_H

#include "base/refusal.h"
#include "base/types.h"

struct machine;
struct maps;          /* maps.h */
struct introspection; /* of one machine */

/* What a tool may do: bit n is message n, or event n, of uapi/kvmi.h. Later tools' messages count as what is like them. */
struct introspect_rights {
	u32 commands, events;
	bool read_only; /* it may look at everything and change nothing */
};

/* Makes no thread. The caller's until introspection_destroy(). Machines of the same maps may be lent its memory. */
int introspection_create(struct machine *m, struct maps *maps, struct introspection **ret);
/* Ends the tool's session. The machine's vcpus have been destroyed, the machine has not. NULL is allowed. */
void introspection_destroy(struct introspection *i);

/*
 * Serve the tool that is at the other end of this socket, which has been greeted; fd stays the caller's and may be closed. It
 * waits until an earlier session has ended, or enough(opaque), which is asked now and then: -EINTR. -EINVAL: fd is no
 * socket. -EBUSY: the machine looks for a tool of its own.
 */
int introspection_hook(struct introspection *i, int fd, const struct introspect_rights *rights,
	bool (*enough)(void *opaque), void *opaque);
/* Ask the tool to go: it closes the socket when it has. -ENOENT: there is none. -EPERM: it does not want to be asked. */
int introspection_unhook(struct introspection *i);

/* ---- machines that look for their tool ---- */

struct introspect_target;

#define INTROSPECT_NAME_MAX 63
/*
 * From "ADDRESS[,cookie=FILE][,allow=EVENT+EVENT...][,name=NAME][,read-only]": a tool's address, unix:PATH, vsock:PORT or
 * vsock:CID:PORT. The file is read now. *ret is to be given to introspect_forget(). -EINVAL and others, with *why.
 */
int introspect_parse(const char *text, struct introspect_target **ret, struct refusal *why);
void introspect_forget(struct introspect_target *t);

/*
 * Look for the tool there from now on, greet it and serve it, again whenever it has gone, until introspection_destroy(). t stays
 * the caller's, and must exist until then.
 */
int introspection_look_for(struct introspection *i, const struct introspect_target *t);

#endif
