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
	HV_GUEST_IDLE = 0x400000f0,
	HV_SYNDBG_CONTROL,
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

/* ---- CPUID: leaf 40000003 (features), 40000004 (recommendations), 4000000a (nested), 40000082 ---- */

enum {
	HV_EAX,
	HV_EBX,
	HV_EDX,
	HV_HINTS,
	HV_SPIN,
	HV_SYNDBG,
	HV_NESTED,
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
#define HVF_GUEST_IDLE_MSR  BIT(10)
#define HVF_FREQUENCY       BIT(11)
#define HVF_REENLIGHTEN     BIT(13)
#define HVF_INVARIANT_TSC   BIT(15)
/* HV_EBX */
#define HVF_POST_MESSAGES   BIT(4)
#define HVF_SIGNAL_EVENTS   BIT(5)
#define HVF_DEBUGGING       BIT(11)
#define HVF_VP_REGISTERS    BIT(17)
#define HVF_EXTENDED_CALLS  BIT(20)
#define HVF_START_VP        BIT(21)
/* HV_EDX */
#define HVF_GUEST_DEBUG     BIT(1)
#define HVF_XMM_INPUT       BIT(4)
#define HVF_GUEST_IDLE      BIT(5) /* together with HVF_GUEST_IDLE_MSR */
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
/* HV_NESTED */
#define HVN_FLUSH_MAPPINGS  BIT(18)
/* HV_SYNDBG */
#define HVD_ALLOW_DEBUGGING BIT(1)

/* ---- hypercalls, TLFS 3 and appendix A ---- */

enum hv_call_code {
	HV_CALL_FLUSH_SPACE = 0x02,
	HV_CALL_FLUSH_LIST = 0x03,
	HV_CALL_LONG_SPIN_WAIT = 0x08,
	HV_CALL_SEND_IPI = 0x0b,
	HV_CALL_VTL_CALL = 0x11,
	HV_CALL_FLUSH_SPACE_EX = 0x13,
	HV_CALL_FLUSH_LIST_EX = 0x14,
	HV_CALL_SEND_IPI_EX = 0x15,
	HV_CALL_GET_VP_REGISTERS = 0x50,
	HV_CALL_SET_VP_REGISTERS = 0x51,
	HV_CALL_POST_MESSAGE = 0x5c,
	HV_CALL_SIGNAL_EVENT = 0x5d,
	HV_CALL_POST_DEBUG_DATA = 0x69,
	HV_CALL_RETRIEVE_DEBUG_DATA = 0x6a,
	HV_CALL_RESET_DEBUG_SESSION = 0x6b,
	HV_CALL_START_VP = 0x99,
	HV_CALL_GET_VP_INDEX = 0x9a,
	HV_CALL_FLUSH_MAPPINGS = 0xaf,
	HV_CALL_FLUSH_MAPPINGS_LIST = 0xb0,
	HV_CALL_EXTENDED = 0x8001,
	HV_CALL_EXTENDED_LAST = 0x9fff,
};

/* The control word. */
#define HV_CONTROL_FAST        BIT64(16)
#define HV_CONTROL_VAR(c)      ((c) >> 17 & 0x3ff) /* size of the variable header, in words */
#define HV_CONTROL_REPS(c)     ((c) >> 32 & 0xfff)
#define HV_CONTROL_START(c)    ((c) >> 48 & 0xfff)
#define HV_CONTROL_REPS_FIELD  (0xfffull << 32)
#define HV_CONTROL_START_FIELD (0xfffull << 48)
#define HV_CONTROL_RESERVED    0xf000f000f8000000ull

enum hv_status {
	HVS_SUCCESS = 0,
	HVS_INVALID_CODE = 2,
	HVS_INVALID_INPUT = 3,
	HVS_INVALID_ALIGNMENT = 4,
	HVS_INVALID_PARAMETER = 5,
	HVS_ACCESS_DENIED = 6,
	HVS_INVALID_PARTITION_STATE = 7,
	HVS_OPERATION_DENIED = 8,
	HVS_UNKNOWN_PROPERTY = 9,
	HVS_PROPERTY_OUT_OF_RANGE = 0xa,
	HVS_INSUFFICIENT_MEMORY = 0xb,
	HVS_INVALID_PARTITION_ID = 0xd,
	HVS_INVALID_VP_INDEX = 0xe,
	HVS_NOT_FOUND = 0x10,
	HVS_INVALID_PORT = 0x11,
	HVS_INVALID_CONNECTION = 0x12,
	HVS_INSUFFICIENT_BUFFERS = 0x13,
	HVS_NOT_ACKNOWLEDGED = 0x14,
	HVS_INVALID_VP_STATE = 0x15,
	HVS_INVALID_SYNIC_STATE = 0x18,
	HVS_OBJECT_IN_USE = 0x19,
	HVS_NO_RESOURCES = 0x1d,
	HVS_FEATURE_NOT_SUPPORTED = 0x20,
	HVS_INVALID_LP_INDEX = 0x41,
	HVS_INVALID_REGISTER_VALUE = 0x50,
	HVS_INVALID_VTL_STATE = 0x51,
	HVS_OPERATION_FAILED = 0x71,
	HVS_TIME_OUT = 0x78,
	HVS_CALL_PENDING = 0x79,
	HVS_VTL_ALREADY_ENABLED = 0x86,
	HVS_UNKNOWN_REGISTER = 0x87,
};

#define HV_CONNECTION_BITS       0xffffffull
#define HV_SYNDBG_USE_HYPERCALLS BIT64(2)
#define HV_CRASH_NOTIFY          BIT64(63)
#define HV_CRASH_MESSAGE         BIT64(62) /* P3 and P4 are a text's address and length */

/* HV_CALL_START_VP */
#define HV_PARTITION_ID_SELF (~0ull)

struct hv_segment {
	u64 base;
	u32 limit; /* bytes */
	u16 selector;
	u16 attr; /* as in the descriptor, bits 8 to 11 are 0; P clear: unusable */
};

struct hv_table {
	u16 pad[3], limit;
	u64 base;
};

struct hv_start {
	u64 partition;
	u32 vp_index;
	u8 vtl, reserved[3];
	u64 rip, rsp, rflags;
	struct hv_segment cs, ds, es, fs, gs, ss, tr, ldtr;
	struct hv_table idtr, gdtr;
	u64 efer, cr0, cr3, cr4, pat;
};
_Static_assert(sizeof(struct hv_start) == 240, "TLFS 10.5, 7.8.15");

/* Sets of virtual processors, TLFS 7.8.7.3. */
#define HV_SET_BANKS            64
#define HV_SET_SPARSE           0
#define HV_SET_ALL              1
#define HV_CALL_EX              BIT(4) /* of 13h, 14h, 15h: the set is a sparse one */
#define HV_FLUSH_ALL_PROCESSORS 1

/* ---- synthetic interrupt controller, TLFS 11 ---- */

#define HV_SCONTROL_ENABLE   BIT64(0)
#define HV_SINTS             16 /* sources of a virtual processor */
#define HV_SINT_VECTOR(s)    ((u8)(s))
#define HV_SINT_MASKED       BIT64(16)
#define HV_SINT_AUTO_EOI     BIT64(17)
#define HV_SINT_POLLING      BIT64(18) /* no interrupt: the guest looks */
#define HV_SINT_FIRST_VECTOR 16

struct hv_message {
	u32 type; /* 0: the slot is free */
	u8 len, flags;
	u16 reserved;
	u64 sender;
	u8 payload[240];
};
_Static_assert(sizeof(struct hv_message) == 256, "TLFS 11.8.2");
#define HV_MESSAGE_PENDING       1 /* flags: another one waits for the slot */
#define HV_MESSAGE_TIMER_EXPIRED 0x80000010u

struct hv_timer_payload {
	u32 index, reserved;
	u64 expiration, delivery;
};

/* ---- time, TLFS 12 ---- */

#define HV_STIMER_ENABLE      BIT64(0)
#define HV_STIMER_PERIODIC    BIT64(1)
#define HV_STIMER_AUTO_ENABLE BIT64(3)
#define HV_STIMER_DIRECT      BIT64(12)
#define HV_STIMER_VECTOR(c)   ((u8)((c) >> 4))
#define HV_STIMER_SINT(c)     ((unsigned)((c) >> 16) & 15)

/* The page by which the guest computes reference time from its TSC. */
struct hv_tsc_page {
	u32 sequence; /* 0: not valid, use the register */
	u32 reserved;
	u64 scale;
	s64 offset;
};
#define HV_TICKS_PER_SEC 10000000ull

#endif
