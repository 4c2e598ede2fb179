/* SPDX-License-Identifier: MIT */
/*
 * The x87 instruction and operand pointers (FIP, FDP, FOP; SDM 1:8.1.8) as the guest has them.
 *
 * The host's processor notes them when it executes a guest's x87 instruction, at addresses of the host. While guest state
 * is in the host's registers, what the guest has loaded waits in cpu->x87_loaded and values stand for it that no
 * instruction can leave behind, so that what the processor has noted since is told from it; and FNINIT, which clears all
 * three, needs no help. No host address comes into the guest's state, and no address of the guest's into the host's, where
 * a guest could try whether it is one.
 */
#ifndef ENGINE_CPU_X87PTR_H
#define ENGINE_CPU_X87PTR_H

#include "engine/core/cpu.h"

/* The pointers in cpu->xsave_area, as guest code has left them there, become the guest's; and before it runs, back. */
void x87_pointers_show(struct cpu *cpu);
void x87_pointers_hide(struct cpu *cpu);

/* FOP of an instruction (SDM 1:8.1.9). */
u16 x87_opcode_of(const struct insn *in);

#endif
