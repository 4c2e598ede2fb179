/* SPDX-License-Identifier: MIT */
/* kvmclock: the guest's page of time. */
#ifndef ENGINE_PV_KVM_PVCLOCK_H
#define ENGINE_PV_KVM_PVCLOCK_H

#include "engine/core/vcpu.h"

/* kvmclock: (re)write the guest's pvclock page for v, if it has one. pv/kvm/pvclock.c, outer code. */
void pvclock_update(struct vcpu *v);
void pvclock_write_wall_clock(struct machine *m, u64 gpa);

#endif
