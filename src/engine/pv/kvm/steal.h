/* SPDX-License-Identifier: MIT */
/* Steal time, if the guest has asked for it. On the vcpu's thread, outer code. */
#ifndef ENGINE_PV_KVM_STEAL_H
#define ENGINE_PV_KVM_STEAL_H

#include "engine/core/vcpu.h"
#include "x86/kvm_guest.h"

void steal_enter(struct vcpu *v); /* KVM_RUN begins */
void steal_tick(struct vcpu *v);  /* each tick */
void steal_set_asleep(struct vcpu *v, bool asleep);
void steal_close(struct steal *s);

#endif
