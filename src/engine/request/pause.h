/* SPDX-License-Identifier: MIT */
/*
 * Stopping all vcpus of a machine for a moment, outside of inner code, to change what they look at without a lock.
 *
 * A vcpu announces that it goes IN (inner code) and then looks at machine.pausing; machine_pause() sets `pausing` and then
 * looks who is IN. Both with sequential consistency, so one of the two sees the other. Those who were held go in before the
 * next one pauses, so that many changes in a row slow the guest down but do not stop it.
 */
#ifndef ENGINE_REQUEST_PAUSE_H
#define ENGINE_REQUEST_PAUSE_H

#include "engine/core/machine.h"
#include "engine/core/vcpu.h"

/* Stop all vcpus until machine_resume(); may be called by a vcpu thread that is itself out. */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);
/* For a vcpu that would go IN: returns when it is. */
void machine_wait_resumed(struct vcpu *v);

#endif
