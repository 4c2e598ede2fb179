/* SPDX-License-Identifier: MIT */
/* Crossing into inner code and back: vector state. */
#ifndef ENGINE_VCPU_CROSS_H
#define ENGINE_VCPU_CROSS_H

#include "engine/jit/run.h"

/* cpu_run() with the guest's vector state in the host's registers. */
enum run_result cpu_run_inner(struct cpu *cpu);

/*
 * Does XINUSE take registers that are zero for unused ones, or those that nobody has written since XRSTOR initialised them?
 * Changes all of AVX-512's registers, as any call may.
 */
bool cross_xinuse_by_value(const struct cpu *cpu);

#endif
