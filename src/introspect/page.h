/* SPDX-License-Identifier: MIT */
/* Accesses to pages that the tool has closed (KVMI_EVENT_PF), and what it lets pass. */
#ifndef INTROSPECT_PAGE_H
#define INTROSPECT_PAGE_H

#include "introspect/session.h"

enum tap_verdict page_event(struct watched *w, struct tap_event *e);
/* What was let pass for one instruction is over with it. */
void page_instruction_over(struct watched *w);

/* KVMI_PAGE_ACCESS_* as the rights of tap.h: what the processor itself does with tables is never closed. */
u32 page_rights_of(u8 access);
u8 page_access_of(u32 rights);

#endif
