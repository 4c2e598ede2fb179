/* SPDX-License-Identifier: MIT */
/* CPUID and MSRs: what the door (engine/vcpu/state.c) needs beyond engine.h and ops.h. */
#ifndef ENGINE_CPUID_CPUID_H
#define ENGINE_CPUID_CPUID_H

#include "engine/core/cpu.h"

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
	LACKS_VBMI2 = BIT(18),
};

/* What EFER may hold. */
#define EFER_OFFERED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NX | EFER_AIBRSE)

void cpuid_read(const struct cpu *cpu, u32 leaf, u32 subleaf, u32 out[4]);
/* After cpu->cpuid has changed: cr4_allowed, xcr0_allowed, phys_bits... */
void cpuid_changed(struct cpu *cpu);
/* The vcpu's leaf of KVM's features, or NULL. */
struct cpuid_entry *cpuid_pv_features(struct cpu *cpu);
/* Does CPUID show MONITOR and MWAIT now? */
bool cpuid_has_mwait(const struct cpu *cpu);

/* 0 or -EINVAL: can they be in an XSAVE image, and in XCR0 where CPUID offers allowed (xstate.c)? */
int xstate_check_bv(struct refusal *why, u64 bv, u64 host);
int xstate_check_xcr0(struct refusal *why, u64 xcr0, u64 allowed, u64 host);
/* Of this host; supported.c. */
struct xstate_place xstate_of_host(void);

/* Make an entry as the VMM set it what the guest would read now. */
void cpuid_apply_state(const struct cpu *cpu, struct cpuid_entry *e);

#endif
