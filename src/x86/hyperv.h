/* SPDX-License-Identifier: MIT */
/* The numbers of Hyper-V's interface to guests (Hypervisor Top Level Functional Specification, "TLFS"). */
#ifndef X86_HYPERV_H
#define X86_HYPERV_H

#include "base/types.h"

/* ---- synthetic MSRs, TLFS appendix ---- */

enum hv_msr {
	HV_GUEST_OS_ID = 0x40000000,
	HV_HYPERCALL,
	HV_VP_INDEX,
	HV_RESET,
	HV_VP_RUNTIME = 0x40000010,
	HV_TIME_REF_COUNT = 0x40000020,
	HV_REFERENCE_TSC,
	HV_TSC_FREQUENCY,
	HV_APIC_FREQUENCY,
	HV_EOI = 0x40000070,
	HV_ICR,
	HV_TPR,
	HV_VP_ASSIST_PAGE,
	HV_SCONTROL = 0x40000080,
	HV_SVERSION,
	HV_SIEFP,
	HV_SIMP,
	HV_EOM,
	HV_SINT0 = 0x40000090,
	HV_SINT15 = 0x4000009f,
	HV_STIMER0_CONFIG = 0x400000b0,
	HV_STIMER3_COUNT = 0x400000b7,
	HV_SYNDBG_CONTROL = 0x400000f1,
	HV_SYNDBG_STATUS,
	HV_SYNDBG_SEND_BUFFER,
	HV_SYNDBG_RECV_BUFFER,
	HV_SYNDBG_PENDING_BUFFER,
	HV_SYNDBG_OPTIONS = 0x400000ff,
	HV_CRASH_P0 = 0x40000100,
	HV_CRASH_P4 = 0x40000104,
	HV_CRASH_CTL,
	HV_REENLIGHTENMENT_CONTROL,
	HV_TSC_EMULATION_CONTROL,
	HV_TSC_EMULATION_STATUS,
	HV_TSC_INVARIANT_CONTROL = 0x40000118,
};

#define HV_PAGE_ENABLE BIT64(0) /* in MSRs that place a page */

#define HV_SIGNATURE 0x31237648u /* leaf 40000001: "Hv#1" */

/* ---- CPUID: leaf 40000003 (features), 40000004 (recommendations), 40000082 ---- */

enum {
	HV_EAX,
	HV_EBX,
	HV_EDX,
	HV_HINTS,
	HV_SPIN,
	HV_SYNDBG,
	HV_WORDS
}; /* the words that are kept of it */

/* HV_EAX */
#define HVF_VP_RUNTIME      BIT(0)
#define HVF_REF_COUNT       BIT(1)
#define HVF_SYNIC           BIT(2)
#define HVF_STIMER          BIT(3)
#define HVF_APIC            BIT(4)
#define HVF_HYPERCALL       BIT(5)
#define HVF_VP_INDEX        BIT(6)
#define HVF_RESET           BIT(7)
#define HVF_REF_TSC         BIT(9)
#define HVF_FREQUENCY       BIT(11)
#define HVF_REENLIGHTEN     BIT(13)
#define HVF_INVARIANT_TSC   BIT(15)
/* HV_EBX */
#define HVF_POST_MESSAGES   BIT(4)
#define HVF_SIGNAL_EVENTS   BIT(5)
#define HVF_DEBUGGING       BIT(11)
#define HVF_EXTENDED_CALLS  BIT(20)
/* HV_EDX */
#define HVF_GUEST_DEBUG     BIT(1)
#define HVF_XMM_INPUT       BIT(4)
#define HVF_FREQUENCY_MSRS  BIT(8)
#define HVF_CRASH           BIT(10)
#define HVF_DEBUG_MSRS      BIT(11)
#define HVF_EXT_GVA_FLUSH   BIT(14)
#define HVF_DIRECT_TIMERS   BIT(19)
/* HV_HINTS */
#define HVH_REMOTE_FLUSH    BIT(2)
#define HVH_APIC_ACCESS     BIT(3)
#define HVH_RELAXED_TIMING  BIT(5)
#define HVH_NO_AUTO_EOI     BIT(9)
#define HVH_CLUSTER_IPI     BIT(10)
#define HVH_EX_MASKS        BIT(11)
#define HVH_NO_CORESHARING  BIT(18)
/* HV_SYNDBG */
#define HVD_ALLOW_DEBUGGING BIT(1)

/* Synthetic interrupt sources of a virtual processor. */
#define HV_SINTS 16

#endif
