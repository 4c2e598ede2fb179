/* SPDX-License-Identifier: MIT */
/* CPUID and MSRs: what the door (engine/vcpu/state.c) needs beyond engine.h and ops.h. */
#ifndef ENGINE_CPUID_CPUID_H
#define ENGINE_CPUID_CPUID_H

#include "engine/core/cpu.h"

/* The owner is outer code: local APIC, clock. */
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

/*
 * What does not exist for the guest if its CPUID does not offer it: the instruction is #UD, the MSR #GP. Of instructions
 * only those that the engine does by itself; as under a hypervisor on hardware the host's processor does all others.
 */
enum cpuid_lack {
	LACKS_INVPCID = BIT(0),
	LACKS_RDTSCP = BIT(1),
	LACKS_RDPID = BIT(2),
	LACKS_TSC_AUX = BIT(3),
	LACKS_XSAVEOPT = BIT(4),
	LACKS_XSAVEC = BIT(5),
	LACKS_XGETBV1 = BIT(6),
	LACKS_XSAVES = BIT(7),
	LACKS_SPEC_CTRL = BIT(8),
	LACKS_PRED_CMD = BIT(9),
	LACKS_FLUSH_CMD = BIT(10),
	LACKS_ARCH_CAPABILITIES = BIT(11),
	LACKS_PERF_CAPABILITIES = BIT(12),
	LACKS_TSC_DEADLINE = BIT(13),
	LACKS_NX = BIT(14),
	LACKS_LONG_MODE = BIT(15),
	LACKS_AUTO_IBRS = BIT(16),
	LACKS_SBPB = BIT(17),
};

/* What EFER may hold. */
#define EFER_OFFERED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NX | EFER_AIBRSE)

/* Features of leaf 0x40000001, KVM's documentation: cpuid.rst. */
#define PV_CLOCK        BIT(0)
#define PV_NOP_IO_DELAY BIT(1)
#define PV_CLOCK2       BIT(3)
#define PV_ASYNC_PF     BIT(4)
#define PV_STEAL_TIME   BIT(5)
#define PV_EOI          BIT(6)
#define PV_UNHALT       BIT(7)
#define PV_SEND_IPI     BIT(11)
#define PV_POLL_CONTROL BIT(12)
#define PV_SCHED_YIELD  BIT(13)
#define PV_ASYNC_PF_INT BIT(14)
#define PV_CLOCK_STABLE BIT(24)

#define MC_CTL2_CMCI_ENABLE BIT64(30)

/* The vcpu's leaf of them, or NULL. */
struct cpuid_entry *cpuid_pv_features(struct cpu *cpu);
/* Does CPUID show MONITOR and MWAIT now? */
bool cpuid_has_mwait(const struct cpu *cpu);

/* Everything above x87 and SSE is optional; sizes of the standard format (SDM 1:13.4). */
#define XSTATE_X87     BIT64(0)
#define XSTATE_SSE     BIT64(1)
#define XSTATE_AVX     BIT64(2)
#define XSTATE_OFFERED (XSTATE_X87 | XSTATE_SSE | XSTATE_AVX)
#define XSAVE_HEADER   512
#define XSAVE_AVX      576
#define XSAVE_SIZE     832

static inline u32 xsave_size(u64 features)
{
	return features & XSTATE_AVX ? XSAVE_SIZE : XSAVE_AVX;
}

/* 0 or -EINVAL: can they be in an XSAVE image, and in XCR0 where CPUID offers allowed (xstate.c)? */
int xstate_check_bv(struct refusal *why, u64 bv);
int xstate_check_xcr0(struct refusal *why, u64 xcr0, u64 allowed);

/* Make an entry as the VMM set it what the guest would read now. */
void cpuid_apply_state(const struct cpu *cpu, struct cpuid_entry *e);

#endif
