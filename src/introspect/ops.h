/* SPDX-License-Identifier: MIT */
/*
 * What commands do, whatever dialect they come in: 0 or -KVM_E*. Those with a struct watched run on its vcpu's thread. An
 * answer's data is written as the protocol has it (call_answer()).
 */
#ifndef INTROSPECT_OPS_H
#define INTROSPECT_OPS_H

#include "introspect/session.h"

/* ---- ops_memory.c ---- */

/* missing: what an address without memory answers */
int op_read_physical(struct tool_call *c, u64 gpa, u64 size, int missing);
int op_write_physical(struct tool_call *c, u64 gpa, const void *data, u64 size, int missing);
int op_get_map_token(struct tool_call *c);
/* -KVM_EOPNOTSUPP: the tool's socket takes no descriptors. */
int op_get_ram(struct tool_call *c);
/* -KVM_EINVAL: there is no such view. */
int op_get_page_access(struct tool_call *c, u16 view, const __u64 *gpa, u16 count);
/* n entries of 16 bytes: a gpa, KVMI_PAGE_ACCESS_*, zeros. All that are right take hold; the first error is the answer. */
int op_set_page_access(
	struct tool_call *c, u16 view, const struct kvmi_page_access_entry *e, u16 count);
/* The first page behind all RAM, and the RAM without a gap in which a page lies. False: there is none. */
u64 op_end_of_ram(struct tool_call *c);
bool op_find_ram(struct tool_call *c, u64 gfn, u64 *ret_first, u64 *ret_pages);

/* ---- ops_vcpu.c ---- */

int op_get_registers(struct tool_call *c, const __u32 *msrs, u16 count);
/* missed: the answer if the vcpu does not wait for an event's reply, which is when registers are set */
int op_set_registers(struct tool_call *c, const struct kvm_regs *regs, int missed);
int op_get_cpuid(struct tool_call *c, u32 function, u32 index);
int op_get_xsave(struct tool_call *c);
int op_set_xsave(struct tool_call *c, const void *area, size_t size);
u64 op_tsc_hz(struct tool_call *c);

/* ---- ops_event.c ---- */

int op_control_cr(struct tool_call *c, u32 cr, bool on);
int op_control_msr(struct tool_call *c, u32 msr, bool on);
/* Replace what the tool wants to be asked about by this vcpu */
int op_set_events(struct tool_call *c, u32 events);
int op_single_step(struct tool_call *c, bool on);

#endif
