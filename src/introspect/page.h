/* SPDX-License-Identifier: MIT */
/* Accesses to pages that the tool has closed (KVMI_EVENT_PF), and what it lets pass. */
#ifndef INTROSPECT_PAGE_H
#define INTROSPECT_PAGE_H

#include "introspect/session.h"

enum tap_verdict page_event(struct watched *w, struct tap_event *e);
/* Does it want to hear of the end of each instruction? */
bool page_watches_steps(const struct watched *w);
/* What was let pass for one instruction is over with it. unfinished: it was but an iteration. */
void page_instruction_over(struct watched *w, bool unfinished);

/* KVMI_PAGE_ACCESS_* as the rights of tap.h: what the processor itself does with tables is never closed. */
u32 page_rights_of(u8 access);
u8 page_access_of(u32 rights);

#endif
