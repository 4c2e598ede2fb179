/* SPDX-License-Identifier: MIT */
/*
 * What RFLAGS.IOPL lets a privilege level do: IF and ports (SDM 1:19.5), and in virtual-8086 mode below IOPL 3 what VIF
 * does in IF's place (SDM 3:20.3.3). Inner code.
 */
#ifndef ENGINE_CPU_IOPL_H
#define ENGINE_CPU_IOPL_H

#include "engine/core/cpu.h"

/* May the program use IF and ports? In real mode CPL is 0, in virtual-8086 mode 3. */
static inline bool iopl_allows(const struct cpu *cpu)
{
	return cpu->cpl <= (cpu->rflags & FL_IOPL) >> 12;
}

/* Virtual-8086 mode whose monitor wants to know of CLI, STI, PUSHF, POPF, INT and IRET (SDM 3:20.2.7). */
static inline bool iopl_traps_v86(const struct cpu *cpu)
{
	return cpu_v86(cpu) && !iopl_allows(cpu);
}

/* The 16-bit forms work on VIF then, if CR4.VME is set. */
static inline bool vme_does(const struct cpu *cpu, unsigned size)
{
	return (cpu->cr4 & CR4_VME) && size == 2;
}

/* What PUSHF and INT push: VIF stands in for IF, and IOPL reads as 3. */
static inline u64 vme_image(u64 flags)
{
	return (flags & ~FL_IF) | FL_IOPL | (flags & FL_VIF ? FL_IF : 0);
}

/* POPF and IRET of such an image: #GP if it sets TF, or IF while VIP is set. */
static inline bool vme_refuses(const struct cpu *cpu, u64 image)
{
	return (image & FL_TF) || ((image & FL_IF) && (cpu->rflags & FL_VIP));
}

static inline u64 vme_loaded(u64 image)
{
	return (image & ~FL_VIF) | (image & FL_IF ? FL_VIF : 0);
}

#endif
