/* SPDX-License-Identifier: MIT */
/* What follows the common part of an event and of its reply. */
#ifndef INTROSPECT_EXTRA_H
#define INTROSPECT_EXTRA_H

#include "introspect/session.h"

/* Of an event in a dialect */
struct event_kind {
	size_t (*extra)(const struct tool_event *r,
		u8 *to); /* how many bytes were written; NULL: nothing */
	u16 reply_size;
};

/* Where both dialects have the same */
size_t extra_cr(const struct tool_event *r, u8 *to);
size_t extra_msr(const struct tool_event *r, u8 *to);

#endif
