/* SPDX-License-Identifier: MIT */
/*
 * What all changes of privilege share: code segments behind gates, stacks from the TSS, and the
 * commit of a new code segment. Used by deliver.c, ops_far.c, ops_iret.c, ops_syscall.c and task.c.
 */
#ifndef ENGINE_CPU_TRANSFER_H
#define ENGINE_CPU_TRANSFER_H

#include "engine/cpu/segment.h"
#include "engine/cpu/stack.h"

/*
 * Code segment that a call, interrupt or trap gate names: privilege at least as high as ours, and
 * in IA-32e mode 64-bit code. Only reads. SDM 3:5.8.4, 3:6.12.1.1.
 */
int gate_code_read(struct cpu *cpu, u16 selector, u64 desc[2]);
/* Privilege level after entering the code segment from the present one through a gate. */
static inline unsigned gate_new_cpl(const struct cpu *cpu, u64 desc)
{
	return desc_is_conforming(desc) ? cpu->cpl : DESC_DPL(desc);
}

/* L and D together are reserved in IA-32e mode (SDM 3:5.2.1). */
bool reserved_code_size(const struct cpu *cpu, u64 desc);
/* May execution continue at rip in cs? (canonical form or limit) */
bool code_allows_rip(const struct cpu *cpu, const struct segment *cs, u64 rip);

/* Stack of an inner level from a 16- or 32-bit TSS, all checks made: #TS, #SS. SDM 3:5.8.5. */
int tss_stack_legacy(struct cpu *cpu, unsigned cpl, struct segment *ss, struct stack *s);
/* Stack pointer at this offset of the 64-bit TSS; canonical or #SS(0). SDM 3:7.7. */
int tss_stack_long(struct cpu *cpu, unsigned offset, u64 *rsp);
#define TSS64_RSP(cpl) (4 + 8 * (cpl))
#define TSS64_IST(ist) (28 + 8 * (ist)) /* ist 1..7 */

/* Push n values of size bytes; the first is pushed first. */
int stack_push_all(struct cpu *cpu, struct stack *s, const u64 *values, unsigned n, unsigned size);

/* Code segment of a far return or iret: checks of selector, descriptor and rip (SDM 2: RET, IRET). */
int return_code_prepare(struct cpu *cpu, u16 selector, u64 rip, struct segment *ret);
/* Stack segment that belongs to it. A null one is allowed for 64-bit code below CPL 3. */
int return_stack_prepare(
	struct cpu *cpu, const struct segment *cs, u16 selector, struct segment *ret);
/* The rest of a return to an outer level, after cs has been committed. */
void return_outer_commit(struct cpu *cpu, const struct segment *ss, u64 sp);

/* After a return to an outer level: data segments that it may not use become null. SDM 3:5.8.6. */
void segments_drop_inner(struct cpu *cpu);
/* rsp := sp as wide as the new stack segment says, when the privilege level has changed. */
void set_outer_rsp(struct cpu *cpu, u64 sp);

/* AMD and Hygon differ from Intel in system calls (APM 3: SYSCALL, SYSENTER). */
bool cpu_vendor_is_amd(const struct cpu *cpu);

#endif
