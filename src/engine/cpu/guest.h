/* SPDX-License-Identifier: MIT */
/* Crossing into inner code and back: vector state. */
#ifndef ENGINE_CPU_GUEST_H
#define ENGINE_CPU_GUEST_H

#include "engine/cpu/run.h"

/* cpu_run() with the guest's vector state in the host's registers. */
enum run_result cpu_run_guest(struct cpu *cpu);

#endif
