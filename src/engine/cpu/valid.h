/* SPDX-License-Identifier: MIT */
/*
 * What a control, debug or flags register may hold: each rule once, whoever writes. The guest does by an instruction, the
 * VMM by a request, RSM from its image. Inner code.
 *
 * The functions return 0 or -EINVAL and change nothing. Of a refusal the guest has its #GP and RSM its shutdown; the VMM
 * is shown the sentence in *why, which is NULL for the others.
 *
 * Canonical addresses and the width of physical ones are in engine/core/cpu.h (cpu_canonical(), cpu_phys_reserved());
 * what a descriptor must be to be loaded is in segment.c.
 */
#ifndef ENGINE_CPU_VALID_H
#define ENGINE_CPU_VALID_H

#include "engine/core/cpu.h"

/* Who writes. valid.c says what the VMM may do and the guest may not, and why. */
enum valid_by { BY_GUEST, BY_VMM, BY_RSM };

/* The registers that decide together which mode the processor is in. cr3 is without CR3_NOFLUSH. */
struct control {
	u64 cr0, cr3, cr4, efer;
	bool cs_l;
};

/* LMA is nobody's to write: it follows from LME and PG (SDM 3:9.8.5). */
static inline u64 efer_with_lma(u64 efer, u64 cr0)
{
	return (efer & EFER_LME) && (cr0 & CR0_PG) ? efer | EFER_LMA : efer & ~EFER_LMA;
}

/* ---- a processor's state as a whole: SREGS, RSM ---- */

int valid_control(
	const struct cpu *cpu, struct refusal *why, const struct control *c, enum valid_by by);

/* ---- one register, by an instruction of the guest: also what may not change at once ---- */

int valid_cr0_write(struct cpu *cpu, u64 cr0);
int valid_cr3_write(struct cpu *cpu, u64 cr3);
int valid_cr4_write(struct cpu *cpu, u64 cr4);

/* ---- one register, by guest or VMM ---- */

/* Of EFER, the bits that may not be written. */
u64 efer_refused_bits(const struct cpu *cpu, u64 efer, enum valid_by by);
/* May LME change to what it is in efer? Not while PG is set. */
bool valid_lme(const struct cpu *cpu, u64 efer);
int valid_xcr0(const struct cpu *cpu, struct refusal *why, u64 xcr0, enum valid_by by);
/* CR8 has four bits. */
static inline bool valid_cr8(u64 cr8)
{
	return cr8 <= 15;
}

/* ---- debug registers, SDM 3:17.2 ---- */

/* DR6 and DR7 have 32 bits. DR0 to DR3 are any address. */
static inline bool valid_dr67(u64 value)
{
	return !(value >> 32);
}
/* What an instruction or RSM leaves of a value. The VMM's are kept as they are, as KVM keeps them. */
static inline u64 dr6_written(u64 value)
{
	return (value & DR6_DEFINED) | DR6_FIXED;
}
static inline u64 dr7_written(u64 value)
{
	return (value & DR7_DEFINED) | DR7_FIXED;
}

/* ---- flags, SDM 1:3.4.3 ---- */

/* What a task switch or RSM leaves of a value. Of the VMM's, KVM sets bit 1 only. */
static inline u64 rflags_written(u64 value)
{
	return (value & FL_DEFINED) | FL_FIXED;
}

/* ---- events that wait, as the VMM sets them ---- */

int valid_exception(struct refusal *why, const struct vcpu_events *e);

#endif
