/* SPDX-License-Identifier: MIT */
/* What msr_outer.c and vapic.c do for the rest of a vcpu. */
#ifndef ENGINE_VCPU_VAPIC_H
#define ENGINE_VCPU_VAPIC_H

#include "engine/core/machine.h"

/* MSRs that belong to the local APIC or to the clock; 0 or -errno (the guest gets #GP). */
int outer_msr_read(struct vcpu *v, u32 index, u64 *ret);
int outer_msr_write(struct vcpu *v, u32 index, u64 value);
/* cpu->tsc_offset has changed: rewrite the kvmclock page, arm the deadline anew. */
void outer_tsc_moved(struct vcpu *v);

/* vapic.c: the guest has accessed its LAPIC's TPR. */
void tpr_accessed(struct vcpu *v, u64 rip, bool write);
void vapic_to_guest(struct vcpu *v);
void vapic_from_guest(struct vcpu *v);

#endif
