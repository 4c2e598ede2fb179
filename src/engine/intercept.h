/* SPDX-License-Identifier: MIT */
/*
 * Intercepts: what a processor of a partition (OPT_INTERCEPTS) does not do by itself, but leaves to the VMM.
 *
 * vcpu_run() returns EXIT_INTERCEPT in front of it, as for all exits of a partition: nothing has happened. The VMM does it
 * and moves rip, or the instruction is executed again and leaves again. An intercepted exception waits in the vcpu's
 * events, from which the VMM takes it.
 *
 * A subscriber of tap.h stands between the guest and the VMM, as a hypervisor stands between its guest's guest and that
 * guest: it is asked first, what it skips or refuses is not intercepted, and what it changes is intercepted as changed.
 *
 * Any time, any thread but in a subscriber's event(). A call holds for all that vcpus begin after it has returned, those that are made
 * later, too.
 */
#ifndef ENGINE_INTERCEPT_H
#define ENGINE_INTERCEPT_H

#include "engine/engine.h"
#include "engine/tap.h"

#define INTERCEPT_LEAVES 64

/* A bit for each vector below 32. INT3, INTO and INT1 raise exceptions, too; what vcpu_set() has injected is not meant. */
void machine_intercept_exceptions(struct machine *m, u32 vectors);
/* CPUID with this in EAX. -ENOSPC: there are INTERCEPT_LEAVES. */
int machine_intercept_cpuid(struct machine *m, u32 leaf, bool on);
/* RDMSR or WRMSR. -EINVAL: none that a processor has. */
int machine_intercept_msr(struct machine *m, u32 index, bool write, bool on);

/* After EXIT_INTERCEPT: TAP_CPUID, TAP_EXCEPTION, TAP_SOFT_INT, TAP_MSR_READ or TAP_MSR_WRITE. */
const struct tap_event *vcpu_intercepted(const struct vcpu *v);

#endif
