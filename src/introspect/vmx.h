/* SPDX-License-Identifier: MIT */
/* What a processor with VMX tells of an instruction that has left: tools of the first dialect may look at it. */
#ifndef INTROSPECT_VMX_H
#define INTROSPECT_VMX_H

#include "introspect/session.h"

/* The VM-exit instruction-information field of a KVMI_EVENT_DESCRIPTOR. */
u32 vmx_instruction_info(const struct tool_event *r);
/* Its exit qualification: the displacement, 0 if it has none. */
u64 vmx_qualification(const struct tool_event *r);

#endif
