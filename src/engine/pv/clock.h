/* SPDX-License-Identifier: MIT */
/* Clocks that guests have in their memory. */
#ifndef ENGINE_PV_CLOCK_H
#define ENGINE_PV_CLOCK_H

#include "engine/core/vcpu.h"

/* IA32_TSC by the VMM: tsc_set(), and what follows from it. */
void vcpu_set_tsc(struct vcpu *v, u64 value);

#endif
