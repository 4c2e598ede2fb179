/* SPDX-License-Identifier: MIT */
/* The guest's way to control registers. */
#ifndef ENGINE_CPU_CR_H
#define ENGINE_CPU_CR_H

#include "engine/core/cpu.h"

int cr_read(struct cpu *cpu, unsigned cr, u64 *ret); /* #UD: there is none */
/* Checked writes with all side effects (TLB flush, mode switch); CPU_FAULT on #GP. */
int cr_write(struct cpu *cpu, unsigned cr, u64 value);

#endif
