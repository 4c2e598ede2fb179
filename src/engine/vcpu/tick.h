/* SPDX-License-Identifier: MIT */
/* The heartbeat of running vcpus: see tick.c. */
#ifndef ENGINE_VCPU_TICK_H
#define ENGINE_VCPU_TICK_H

#include "engine/core/machine.h"

int tick_create(struct machine *m);
void tick_destroy(struct machine *m);
void tick_need(struct machine *m);

#endif
