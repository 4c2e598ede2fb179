/* SPDX-License-Identifier: MIT */
/* Reading and writing MSRs. msr_get() and its like are inner code, outer_msr_get() and its like outer code. */
#ifndef ENGINE_MSR_MSR_H
#define ENGINE_MSR_MSR_H

#include "engine/core/cpu.h"

/* For the guest's RDMSR and WRMSR: CPU_OK, CPU_FAULT (#GP), or CPU_EXIT (EXIT_RDMSR/EXIT_WRMSR with why 0: outer code answers). */
int msr_read(struct cpu *cpu, u32 index, u64 *ret);
int msr_write(struct cpu *cpu, u32 index, u64 value);

/* The owner is outer code (enum msr_owner). */
#define MSR_IS_OUTER 1

/*
 * host: the VMM asks, so read-only registers may be set and CPUID does not matter. 0, -ENOENT unknown,
 * -EINVAL the value is not allowed (for a guest: the access), MSR_IS_OUTER.
 */
int msr_get(struct cpu *cpu, u32 index, u64 *ret, bool host);
int msr_set(struct cpu *cpu, u32 index, u64 value, bool host);
/* RESET values. */
void msr_reset(struct cpu *cpu);
/* Of KVM's own, at INIT. */
void msr_reset_pv(struct cpu *cpu);

/* Where msr_get() and msr_set() say MSR_IS_OUTER: the owner's. 0 or -errno (the guest gets #GP). */
int outer_msr_get(struct vcpu *v, u32 index, u64 *ret, bool host);
int outer_msr_set(struct vcpu *v, u32 index, u64 value, bool host);
/* cpu->tsc_offset has changed: rewrite the kvmclock page, arm the deadline anew. */
void outer_tsc_moved(struct vcpu *v);

#endif
