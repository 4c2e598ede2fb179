/* SPDX-License-Identifier: MIT */
/* Writes to code that nobody announces: see recheck.c. */
#ifndef ENGINE_MEM_RECHECK_H
#define ENGINE_MEM_RECHECK_H

#include "engine/core/vcpu.h"

/* These three on the vcpu's own thread, outside. */
void recheck_on_entry(struct vcpu *v);
void recheck_on_interrupt(struct vcpu *v);
void recheck_on_tick(struct vcpu *v);
/* The VMM was called by, or spoke to, the guest without an exit. Any thread. */
void recheck_device_event(struct machine *m);

#endif
