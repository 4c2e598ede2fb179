/* SPDX-License-Identifier: MIT */
/* Registers and translations of a vcpu, as commands and events need them. On the vcpu's own thread. */
#ifndef INTROSPECT_REGS_H
#define INTROSPECT_REGS_H

#include "introspect/session.h"

/* All that an event begins with. Returns the mode: 2, 4 or 8 bytes of an operand. */
u8 regs_read(struct vcpu *v, struct kvm_regs *regs, struct kvm_sregs *sregs);
void regs_read_msrs(struct vcpu *v, struct kvmi_event_msrs *ret);
u64 regs_rip(struct vcpu *v);
/* The physical address of what is at rip; all ones: it is not mapped. */
u64 regs_code_gpa(struct vcpu *v);
u64 regs_translate(struct vcpu *v, u64 gva);

/* What the tool has set while the vcpu waited takes hold. */
void regs_apply(struct watched *w);
/* Does the hypercall at rip ask for KVMI_EVENT_HYPERCALL? Its end: rax is 0, and rip goes on if the tool has moved it. */
bool regs_ask_for_event(struct vcpu *v);
void regs_end_hypercall(struct vcpu *v, u64 rip_before, u8 insn_len);

/* MSR_MTRR*: the type of memory at this address (SDM 3:13.11). */
u8 regs_mtrr_type(struct vcpu *v, u64 gpa);

#endif
