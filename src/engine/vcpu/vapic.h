/* SPDX-License-Identifier: MIT */
/* Accesses to the TPR that are told to user space, and the page of the patched guest: vapic.c. */
#ifndef ENGINE_VCPU_VAPIC_H
#define ENGINE_VCPU_VAPIC_H

/* The guest has accessed its LAPIC's TPR. */
void tpr_accessed(struct vcpu *v, u64 rip, bool write);
void vapic_to_guest(struct vcpu *v);
void vapic_from_guest(struct vcpu *v);

#endif
