/* SPDX-License-Identifier: MIT */
/*
 * The numbers and layouts of the Microsoft hypervisor's interface to the partition that makes others: hypercalls,
 * partition properties, names of registers, intercept messages (Hypervisor Top Level Functional Specification, "TLFS").
 * What a guest sees is in hyperv.h.
 */
#ifndef X86_HYPERV_ROOT_H
#define X86_HYPERV_ROOT_H

#include <stddef.h>

#include "x86/hyperv.h"

#define HV_VP_INDEX_SELF 0xfffffffeu
#define HV_ANY_VP        0xffffffffu
#define HV_PAGE_SIZE     4096u

/* ---- hypercalls ---- */

enum hv_root_call {
	HVCALL_GET_PARTITION_PROPERTY = 0x44,
	HVCALL_SET_PARTITION_PROPERTY = 0x45,
	HVCALL_INSTALL_INTERCEPT = 0x4d,
	HVCALL_GET_VP_REGISTERS = 0x50,
	HVCALL_SET_VP_REGISTERS = 0x51,
	HVCALL_TRANSLATE_VIRTUAL_ADDRESS = 0x52,
	HVCALL_CLEAR_VIRTUAL_INTERRUPT = 0x56,
	HVCALL_POST_MESSAGE = 0x5c,
	HVCALL_SIGNAL_EVENT = 0x5d,
	HVCALL_REGISTER_INTERCEPT_RESULT = 0x91,
	HVCALL_ASSERT_VIRTUAL_INTERRUPT = 0x94,
	HVCALL_SIGNAL_EVENT_DIRECT = 0xc0,
	HVCALL_POST_MESSAGE_DIRECT = 0xc1,
	HVCALL_GET_GPA_PAGES_ACCESS_STATES = 0xc9,
	HVCALL_GET_VP_CPUID_VALUES = 0xf4,
	HVCALL_GET_PARTITION_PROPERTY_EX = 0x101,
};

/* All inputs begin with the partition's id, which the interface fills in. */
struct hv_get_property {
	u64 partition;
	u32 code, pad;
};

struct hv_set_property {
	u64 partition;
	u32 code, pad;
	u64 value;
};

struct hv_get_property_ex {
	u64 partition;
	u32 code, pad;
	u64 arg;
};
#define HV_PROPERTY_EX_BYTES 4072 /* of its output, at most */

struct hv_property_bank {
	u16 count, reserved[3];
	u64 mask[1];
};

/* Which accesses, for HVCALL_INSTALL_INTERCEPT; also the kind of one in a message is the number of its bit. */
#define HV_ACCESS_READ    BIT(0)
#define HV_ACCESS_WRITE   BIT(1)
#define HV_ACCESS_EXECUTE BIT(2)

enum hv_intercept_type {
	HV_INTERCEPT_IO_PORT = 0,
	HV_INTERCEPT_MSR = 1,
	HV_INTERCEPT_CPUID = 2,
	HV_INTERCEPT_EXCEPTION = 3,
	HV_INTERCEPT_MMIO = 5,
	HV_INTERCEPT_GLOBAL_CPUID = 6,
	HV_INTERCEPT_APIC_SMI = 7,
	HV_INTERCEPT_HYPERCALL = 8,
	HV_INTERCEPT_APIC_INIT_SIPI = 9,
	HV_INTERCEPT_APIC_WRITE = 0xb,
	HV_INTERCEPT_MSR_INDEX = 0xc,
	HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION = 0xd,
	HV_INTERCEPT_APIC_EOI = 0xe,
	HV_INTERCEPT_RETARGET_INTERRUPT = 0xf,
	HV_INTERCEPT_EXCEPTION_TRAP = 0x10,
	HV_INTERCEPT_IO_PORT_RANGE = 0x11,
};

struct hv_install_intercept {
	u64 partition;
	u32 access, type;
	u64 parameter;
};

/* The level that an input means; without the bit, the caller's own. */
#define HV_INPUT_VTL_TARGET(v) ((v)&15)
#define HV_INPUT_VTL_USE       BIT(4)

struct hv_value128 {
	u64 low, high;
};

struct hv_vp_registers {
	u64 partition;
	u32 vp_index;
	u8 vtl, pad[3];
	/* names, or struct hv_register */
};

struct hv_register {
	u32 name, pad;
	u64 reserved;
	struct hv_value128 value;
};

struct hv_translate {
	u64 partition;
	u32 vp_index, pad;
	u64 flags, gva_page;
};

struct hv_translated {
	u32 result, flags;
	u64 gpa_page;
};

#define HV_TRANSLATE_READ          BIT64(0)
#define HV_TRANSLATE_WRITE         BIT64(1)
#define HV_TRANSLATE_EXECUTE       BIT64(2)
#define HV_TRANSLATE_EXEMPT        BIT64(3)
#define HV_TRANSLATE_SET_BITS      BIT64(4)
#define HV_TRANSLATE_NO_FLUSH      BIT64(5)
#define HV_TRANSLATE_SUPERVISOR    BIT64(6)
#define HV_TRANSLATE_USER          BIT64(7)
#define HV_TRANSLATE_ENFORCE_SMAP  BIT64(8)
#define HV_TRANSLATE_OVERRIDE_SMAP BIT64(9)
#define HV_TRANSLATE_VTL_SHIFT     56 /* which level's: HV_INPUT_VTL_* */
#define HV_TRANSLATED_OVERLAY      BIT(8)

enum hv_translate_result {
	HV_TRANSLATE_OK,
	HV_TRANSLATE_NOT_PRESENT,
	HV_TRANSLATE_PRIVILEGE,
	HV_TRANSLATE_BAD_FLAGS,
	HV_TRANSLATE_UNMAPPED,
	HV_TRANSLATE_NO_READ,
	HV_TRANSLATE_NO_WRITE,
};

/* A CPUID result or what becomes of an MSR. */
struct hv_intercept_result {
	u64 partition;
	u32 vp_index, type;
	union {
		struct {
			u32 eax, ecx;
			u8 subleaf_specific, always_override;
			u16 pad;
			struct {
				u32 value, mask;
			} reg[4]; /* EAX, EBX, ECX, EDX */
		} cpuid;
		struct {
			u32 msr, access, action;
		} msr;
	};
};
#define HV_INTERCEPT_RESULT_HEAD 16 /* bytes in front of the union */
#define HV_MSR_RESULT_FAULT      0
#define HV_MSR_RESULT_IGNORE     1 /* reads as zero, writes are ignored */

enum hv_interrupt_type {
	HV_INTERRUPT_FIXED,
	HV_INTERRUPT_LOWEST,
	HV_INTERRUPT_SMI,
	HV_INTERRUPT_REMOTE_READ,
	HV_INTERRUPT_NMI,
	HV_INTERRUPT_INIT,
	HV_INTERRUPT_SIPI,
	HV_INTERRUPT_EXTINT,
	HV_INTERRUPT_LINT0,
	HV_INTERRUPT_LINT1,
};

struct hv_assert_interrupt {
	u64 partition;
	u32 type, control; /* HV_INTERRUPT_* */
	u64 dest;
	u32 vector;
	u8 vtl, pad[3];
};
#define HV_INTERRUPT_LEVEL   BIT(0)
#define HV_INTERRUPT_LOGICAL BIT(1)
#define HV_INTERRUPT_LONG    BIT(30) /* of old callers, without a meaning */

struct hv_signal_event_direct {
	u64 partition;
	u32 vp_index;
	u8 vtl, sint;
	u16 flag;
};

struct hv_post_message_direct {
	u64 partition;
	u32 vp_index;
	u8 vtl, pad[3];
	u32 sint;
	u8 message[256];
	u32 pad2;
} __attribute__((packed));
#define HV_POST_MESSAGE_BYTES 276 /* that are looked at */

/* These two are for a connection, not about a partition. */
struct hv_post_message {
	u32 connection, reserved;
	u32 type, bytes;
	/* the payload */
};

struct hv_signal_event {
	u32 connection;
	u16 flag, reserved;
};

struct hv_access_states {
	u64 partition, flags;
	u64 gpa_page;
};
#define HV_STATES_CLEAR_ACCESSED BIT64(0)
#define HV_STATES_SET_ACCESSED   BIT64(1)
#define HV_STATES_CLEAR_DIRTY    BIT64(2)
#define HV_STATES_SET_DIRTY      BIT64(3)

struct hv_cpuid_values {
	u64 partition;
	u32 vp_index, flags, reserved, pad;
};
#define HV_CPUID_BY_XCR0    BIT(0) /* the processor's own XCR0 and XSS */
#define HV_CPUID_REGISTERED BIT(1) /* with the results of HVCALL_REGISTER_INTERCEPT_RESULT */

struct hv_cpuid_leaf {
	u32 eax, ecx;
	u64 xfem, xss;
};

/* ---- partition properties ---- */

enum hv_property {
	HV_PROPERTY_PRIVILEGE_FLAGS = 0x10000,
	HV_PROPERTY_SYNTHETIC_PROC_FEATURES = 0x10001,
	HV_PROPERTY_SUSPEND = 0x20000,
	HV_PROPERTY_CPU_RESERVE = 0x20001,
	HV_PROPERTY_CPU_CAP = 0x20002,
	HV_PROPERTY_CPU_WEIGHT = 0x20003,
	HV_PROPERTY_CPU_GROUP_ID = 0x20004,
	HV_PROPERTY_TIME_FREEZE = 0x30003,
	HV_PROPERTY_REFERENCE_TIME = 0x30005,
	HV_PROPERTY_VIRTUAL_TLB_PAGE_COUNT = 0x50000,
	HV_PROPERTY_VSM_CONFIG = 0x50001,
	HV_PROPERTY_ZERO_MEMORY_ON_RESET = 0x50002,
	HV_PROPERTY_PROCESSORS_PER_SOCKET = 0x50003,
	HV_PROPERTY_GPA_PAGE_ACCESS_TRACKING = 0x50005,
	HV_PROPERTY_IMPLEMENTED_PHYSICAL_ADDRESS_BITS = 0x50010,
	HV_PROPERTY_NON_ARCHITECTURAL_CORE_SHARING = 0x50011,
	HV_PROPERTY_HYPERCALL_DOORBELL_PAGE = 0x50012,
	HV_PROPERTY_UNIMPLEMENTED_MSR_ACTION = 0x50017,
	HV_PROPERTY_DIAG_BUFFER = 0x50026,
	HV_PROPERTY_PROCESSOR_VENDOR = 0x60000,
	HV_PROPERTY_PROCESSOR_XSAVE_FEATURES = 0x60002,
	HV_PROPERTY_PROCESSOR_CL_FLUSH_SIZE = 0x60003,
	HV_PROPERTY_ENLIGHTENMENT_MODIFICATIONS = 0x60004,
	HV_PROPERTY_COMPATIBILITY_VERSION = 0x60005,
	HV_PROPERTY_PHYSICAL_ADDRESS_WIDTH = 0x60006,
	HV_PROPERTY_XSAVE_STATES = 0x60007,
	HV_PROPERTY_MAX_XSAVE_DATA_SIZE = 0x60008,
	HV_PROPERTY_PROCESSOR_CLOCK_FREQUENCY = 0x60009,
	HV_PROPERTY_PROCESSOR_FEATURES0 = 0x6000a,
	HV_PROPERTY_PROCESSOR_FEATURES1 = 0x6000b,
	HV_PROPERTY_GUEST_OS_ID = 0x70000,
	HV_PROPERTY_PROCESSOR_VIRTUALIZATION_FEATURES = 0x80000,
	HV_PROPERTY_VMM_CAPABILITIES = 0x90007,
	HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES = 0x90009,
};

/* HV_PROPERTY_PROCESSOR_VENDOR */
#define HV_VENDOR_AMD   0
#define HV_VENDOR_INTEL 1
#define HV_VENDOR_HYGON 2

/* HV_PROPERTY_UNIMPLEMENTED_MSR_ACTION */
#define HV_MSR_ACTION_FAULT  0
#define HV_MSR_ACTION_IGNORE 1

/* HV_PROPERTY_GPA_PAGE_ACCESS_TRACKING */
#define HV_TRACKING_ON BIT64(0)

/* HV_PROPERTY_VMM_CAPABILITIES */
#define HV_VMM_ASSIGNABLE_FEATURES                                                                 \
	BIT64(4) /* HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES exists */

#define HV_COMPATIBILITY_VERSION 0x609

/* Synthetic processor features: what the guest may use of the hypervisor. */
enum hv_synthetic_feature {
	HV_SYN_HYPERVISOR_PRESENT = 0,
	HV_SYN_HV1 = 1,
	HV_SYN_VP_RUNTIME = 2,
	HV_SYN_REFERENCE_COUNTER = 3,
	HV_SYN_SYNIC = 4,
	HV_SYN_SYNTHETIC_TIMERS = 5,
	HV_SYN_INTR_CTRL = 6,
	HV_SYN_HYPERCALL = 7,
	HV_SYN_VP_INDEX = 8,
	HV_SYN_REFERENCE_TSC = 9,
	HV_SYN_GUEST_IDLE = 10,
	HV_SYN_FREQUENCY = 11,
	HV_SYN_EXTENDED_GVA_FLUSH = 15,
	HV_SYN_VSM = 16,
	HV_SYN_FAST_HYPERCALL_OUTPUT = 18,
	HV_SYN_START_VP = 20,
	HV_SYN_DIRECT_TIMERS = 22,
	HV_SYN_EXTENDED_MASKS = 24,
	HV_SYN_TB_FLUSH = 25,
	HV_SYN_CLUSTER_IPI = 26,
	HV_SYN_LONG_SPIN_WAIT = 27,
	HV_SYN_QUERY_NUMA_DISTANCE = 28,
	HV_SYN_SIGNAL_EVENTS = 29,
	HV_SYN_RETARGET_INTERRUPT = 30,
	HV_SYN_ACCESS_VP_REGS = 38,
	HV_SYN_FLUSH_GPA_SPACE = 53,
};

/* ---- names of registers ---- */

enum hv_register_name {
	HV_REGISTER_EXPLICIT_SUSPEND = 0x0,
	HV_REGISTER_INTERCEPT_SUSPEND = 0x1,
	HV_REGISTER_INSTRUCTION_EMULATION_HINTS = 0x2,
	HV_REGISTER_DISPATCH_SUSPEND = 0x3,
	HV_REGISTER_INTERNAL_ACTIVITY_STATE = 0x4,

	HV_REGISTER_HYPERVISOR_VERSION = 0x100,
	HV_REGISTER_PRIVILEGES_AND_FEATURES_INFO = 0x200,
	HV_REGISTER_FEATURES_INFO = 0x201,
	HV_REGISTER_IMPLEMENTATION_LIMITS_INFO = 0x202,
	HV_REGISTER_HARDWARE_FEATURES_INFO = 0x203,
	HV_REGISTER_GUEST_CRASH_P0 = 0x210,
	HV_REGISTER_GUEST_CRASH_P4 = 0x214,
	HV_REGISTER_GUEST_CRASH_CTL = 0x215,
	HV_REGISTER_PROCESSOR_CLOCK_FREQUENCY = 0x240,
	HV_REGISTER_INTERRUPT_CLOCK_FREQUENCY = 0x241,
	HV_REGISTER_GUEST_IDLE = 0x250,

	HV_REGISTER_PENDING_INTERRUPTION = 0x10002,
	HV_REGISTER_INTERRUPT_STATE = 0x10003,
	HV_REGISTER_PENDING_EVENT0 = 0x10004,
	HV_REGISTER_PENDING_EVENT1 = 0x10005,
	HV_REGISTER_DELIVERABILITY_NOTIFICATIONS = 0x10006,
	HV_REGISTER_PENDING_DEBUG_EXCEPTION = 0x10007,
	HV_REGISTER_PENDING_EVENT2 = 0x10008,
	HV_REGISTER_PENDING_EVENT3 = 0x10009,

	HV_X64_REGISTER_RAX = 0x20000,
	HV_X64_REGISTER_R15 = 0x2000f,
	HV_X64_REGISTER_RIP = 0x20010,
	HV_X64_REGISTER_RFLAGS = 0x20011,

	HV_X64_REGISTER_XMM0 = 0x30000,
	HV_X64_REGISTER_XMM15 = 0x3000f,
	HV_X64_REGISTER_FP_MMX0 = 0x30010,
	HV_X64_REGISTER_FP_MMX7 = 0x30017,
	HV_X64_REGISTER_FP_CONTROL_STATUS = 0x30018,
	HV_X64_REGISTER_XMM_CONTROL_STATUS = 0x30019,

	HV_X64_REGISTER_CR0 = 0x40000,
	HV_X64_REGISTER_CR2 = 0x40001,
	HV_X64_REGISTER_CR3 = 0x40002,
	HV_X64_REGISTER_CR4 = 0x40003,
	HV_X64_REGISTER_CR8 = 0x40004,
	HV_X64_REGISTER_XFEM = 0x40005,
	HV_X64_REGISTER_INTERMEDIATE_CR0 = 0x41000,
	HV_X64_REGISTER_INTERMEDIATE_CR3 = 0x41002,
	HV_X64_REGISTER_INTERMEDIATE_CR4 = 0x41003,
	HV_X64_REGISTER_INTERMEDIATE_CR8 = 0x41004,

	HV_X64_REGISTER_DR0 = 0x50000,
	HV_X64_REGISTER_DR3 = 0x50003,
	HV_X64_REGISTER_DR6 = 0x50004,
	HV_X64_REGISTER_DR7 = 0x50005,

	HV_X64_REGISTER_ES = 0x60000,
	HV_X64_REGISTER_CS = 0x60001,
	HV_X64_REGISTER_SS = 0x60002,
	HV_X64_REGISTER_DS = 0x60003,
	HV_X64_REGISTER_FS = 0x60004,
	HV_X64_REGISTER_GS = 0x60005,
	HV_X64_REGISTER_LDTR = 0x60006,
	HV_X64_REGISTER_TR = 0x60007,
	HV_X64_REGISTER_IDTR = 0x70000,
	HV_X64_REGISTER_GDTR = 0x70001,

	HV_X64_REGISTER_TSC = 0x80000,
	HV_X64_REGISTER_EFER = 0x80001,
	HV_X64_REGISTER_KERNEL_GS_BASE = 0x80002,
	HV_X64_REGISTER_APIC_BASE = 0x80003,
	HV_X64_REGISTER_PAT = 0x80004,
	HV_X64_REGISTER_SYSENTER_CS = 0x80005,
	HV_X64_REGISTER_SYSENTER_EIP = 0x80006,
	HV_X64_REGISTER_SYSENTER_ESP = 0x80007,
	HV_X64_REGISTER_STAR = 0x80008,
	HV_X64_REGISTER_LSTAR = 0x80009,
	HV_X64_REGISTER_CSTAR = 0x8000a,
	HV_X64_REGISTER_SFMASK = 0x8000b,
	HV_X64_REGISTER_INITIAL_APIC_ID = 0x8000c,
	HV_X64_REGISTER_MTRR_CAP = 0x8000d,
	HV_X64_REGISTER_MTRR_DEF_TYPE = 0x8000e,
	HV_X64_REGISTER_MTRR_PHYS_BASE0 = 0x80010,
	HV_X64_REGISTER_MTRR_PHYS_BASEF = 0x8001f,
	HV_X64_REGISTER_MTRR_PHYS_MASK0 = 0x80040,
	HV_X64_REGISTER_MTRR_PHYS_MASKF = 0x8004f,
	HV_X64_REGISTER_MTRR_FIX64K_00000 = 0x80070,
	HV_X64_REGISTER_MTRR_FIX16K_80000 = 0x80071,
	HV_X64_REGISTER_MTRR_FIX16K_A0000 = 0x80072,
	HV_X64_REGISTER_MTRR_FIX4K_C0000 = 0x80073,
	HV_X64_REGISTER_MTRR_FIX4K_F8000 = 0x8007a,
	HV_X64_REGISTER_TSC_AUX = 0x8007b,
	HV_X64_REGISTER_BNDCFGS = 0x8007c,
	HV_X64_REGISTER_DEBUG_CTL = 0x8007d,
	HV_X64_REGISTER_SPEC_CTRL = 0x80084,
	HV_X64_REGISTER_PRED_CMD = 0x80085,
	HV_X64_REGISTER_VIRT_SPEC_CTRL = 0x80086,
	HV_X64_REGISTER_TSC_OFFSET = 0x80087,
	HV_X64_REGISTER_TSX_CTRL = 0x80088,
	HV_X64_REGISTER_XSS = 0x8008b,
	HV_X64_REGISTER_U_CET = 0x8008c,
	HV_X64_REGISTER_S_CET = 0x8008d,
	HV_X64_REGISTER_SSP = 0x8008e,
	HV_X64_REGISTER_PL0_SSP = 0x8008f,
	HV_X64_REGISTER_PL3_SSP = 0x80092,
	HV_X64_REGISTER_INTERRUPT_SSP_TABLE_ADDR = 0x80093,
	HV_X64_REGISTER_TSC_DEADLINE = 0x80095,
	HV_X64_REGISTER_TSC_ADJUST = 0x80096,
	HV_X64_REGISTER_XFD = 0x80099,
	HV_X64_REGISTER_XFD_ERR = 0x8009a,
	HV_X64_REGISTER_MISC_ENABLE = 0x800a0,
	HV_X64_REGISTER_FEATURE_CONTROL = 0x800a1,
	HV_X64_REGISTER_APIC_FIRST = 0x84800, /* plus the number of an x2APIC MSR, less 800h */
	HV_X64_REGISTER_APIC_ID = 0x84802,
	HV_X64_REGISTER_APIC_VERSION = 0x84803,
	HV_X64_REGISTER_APIC_LAST = 0x8483f,

	HV_REGISTER_VP_RUNTIME = 0x90000,
	HV_REGISTER_HYPERCALL = 0x90001,
	HV_REGISTER_GUEST_OS_ID = 0x90002,
	HV_REGISTER_VP_INDEX = 0x90003,
	HV_REGISTER_TIME_REF_COUNT = 0x90004,
	HV_REGISTER_EOI = 0x90010,
	HV_REGISTER_ICR = 0x90011,
	HV_REGISTER_TPR = 0x90012,
	HV_REGISTER_VP_ASSIST_PAGE = 0x90013,
	HV_REGISTER_ROOT_SIGNAL_COUNT = 0x90014,
	HV_REGISTER_REFERENCE_TSC = 0x90017,
	HV_REGISTER_GHCB = 0x90019,
	HV_REGISTER_REFERENCE_TSC_SEQUENCE = 0x9001a,
	HV_REGISTER_REG_PAGE = 0x9001c,

	HV_REGISTER_SINT0 = 0xa0000,
	HV_REGISTER_SINT15 = 0xa000f,
	HV_REGISTER_SCONTROL = 0xa0010,
	HV_REGISTER_SVERSION = 0xa0011,
	HV_REGISTER_SIEFP = 0xa0012,
	HV_REGISTER_SIMP = 0xa0013,
	HV_REGISTER_EOM = 0xa0014,
	HV_REGISTER_SIRBP = 0xa0015,
	HV_REGISTER_STIMER0_CONFIG = 0xb0000,
	HV_REGISTER_STIMER3_COUNT = 0xb0007,
	HV_REGISTER_STIME_UNHALTED_TIMER_CONFIG = 0xb0100,
	HV_REGISTER_STIME_UNHALTED_TIMER_COUNT = 0xb0101,

	HV_REGISTER_VSM_CODE_PAGE_OFFSETS = 0xd0002,
	HV_REGISTER_VSM_VP_STATUS = 0xd0003,
	HV_REGISTER_VSM_PARTITION_STATUS = 0xd0004,
	HV_REGISTER_VSM_VINA = 0xd0005,
	HV_REGISTER_VSM_CAPABILITIES = 0xd0006,
	HV_REGISTER_VSM_PARTITION_CONFIG = 0xd0007,
};

/* How what the x87 and SSE units say of themselves lies in a value; segments and tables: hyperv.h. */
struct hv_fp_control {
	u16 fcw, fsw;
	u8 ftw, reserved; /* abridged */
	u16 fop;
	u64 fip;
};

struct hv_xmm_control {
	u64 fdp;
	u32 mxcsr, mxcsr_mask;
};

/* HV_REGISTER_INTERNAL_ACTIVITY_STATE */
#define HV_ACTIVITY_STARTUP BIT64(0)
#define HV_ACTIVITY_HALT    BIT64(1)
#define HV_ACTIVITY_IDLE    BIT64(2)

/* HV_REGISTER_PENDING_INTERRUPTION */
#define HV_PENDING         BIT64(0)
#define HV_PENDING_TYPE(v) ((unsigned)((v) >> 1 & 7))
enum {
	HV_PENDING_EXTINT = 0,
	HV_PENDING_NMI = 2,
	HV_PENDING_EXCEPTION,
	HV_PENDING_SOFT_INT,
	HV_PENDING_ICEBP,
	HV_PENDING_SOFT_EXCEPTION
};
#define HV_PENDING_HAS_ERROR BIT64(4)
#define HV_PENDING_LENGTH(v) ((unsigned)((v) >> 5 & 15))
#define HV_PENDING_VECTOR(v) ((u16)((v) >> 16))
#define HV_PENDING_ERROR(v)  ((u32)((v) >> 32))

/* HV_REGISTER_PENDING_EVENT0: the first word of two */
enum { HV_EVENT_EXCEPTION = 0, HV_EVENT_EXTINT = 5 };
#define HV_EVENT_HAS_ERROR        BIT64(8)
#define HV_EVENT_EXTINT_VECTOR(v) ((u8)((v) >> 8))

/* HV_REGISTER_INTERRUPT_STATE */
#define HV_INTERRUPT_SHADOW BIT64(0)
#define HV_NMI_MASKED       BIT64(1)

/* HV_REGISTER_DELIVERABILITY_NOTIFICATIONS */
#define HV_NOTIFY_NMI       BIT64(0)
#define HV_NOTIFY_INTERRUPT BIT64(1)
#define HV_NOTIFY_PRIORITY  0x3cull
#define HV_NOTIFY_SINTS(v)  ((u16)((v) >> 48))

/* HV_REGISTER_VSM_CAPABILITIES */
#define HV_VSM_DR6_SHARED     BIT64(0)
#define HV_VSM_INTERCEPT_PAGE BIT64(27)
#define HV_VSM_RETURN_ACTION  BIT64(28)

/* HV_REGISTER_VSM_PARTITION_CONFIG */
#define HV_VSM_CONFIG_PROTECTION                                                                   \
	BIT64(0) /* of pages, by level; with the mask of those that have none of their own: */
#define HV_VSM_CONFIG_MASK         (15ull << 1)
#define HV_VSM_CONFIG_ZERO_MEMORY  BIT64(5)
#define HV_VSM_CONFIG_DENY_STARTUP BIT64(6)
#define HV_VSM_CONFIG_INTERCEPTS   (31ull << 7)
#define HV_VSM_CONFIG_PAGE         BIT64(12) /* intercepts are told in a page */

/* ---- the register page of a virtual processor ---- */

struct hv_register_page {
	u16 version; /* 1 */
	u8 is_valid, reserved;
	u32 dirty; /* HV_PAGE_DIRTY_*: what the VMM has changed */
	u64 gpr[16];
	u64 rip, rflags;
	u64 reserved2;
	struct hv_value128 xmm[6];
	struct hv_segment segment[6]; /* ES CS SS DS FS GS */
	u64 cr0, cr3, cr4, cr8, efer, dr7;
	u64 pending_interruption, interrupt_state, emulation_hints;
	u64 xfem;
	u8 reserved3[0x100];
	u64 interrupt_vectors; /* a count and up to seven vectors */
};
#define HV_PAGE_DIRTY_GPR      BIT(0)
#define HV_PAGE_DIRTY_RIP      BIT(1)
#define HV_PAGE_DIRTY_XMM      BIT(2)
#define HV_PAGE_DIRTY_SEGMENTS BIT(3)
#define HV_PAGE_DIRTY_RFLAGS   BIT(4)
#define HV_PAGE_DIRTY_ALL      0x1fu

_Static_assert(offsetof(struct hv_register_page, rip) == 0x88, "TLFS");
_Static_assert(offsetof(struct hv_register_page, xmm) == 0xa0, "TLFS");
_Static_assert(offsetof(struct hv_register_page, segment) == 0x100, "TLFS");
_Static_assert(offsetof(struct hv_register_page, cr0) == 0x160, "TLFS");
_Static_assert(offsetof(struct hv_register_page, xfem) == 0x1a8, "TLFS");
_Static_assert(offsetof(struct hv_register_page, interrupt_vectors) == 0x2b0, "TLFS");

/* ---- state of a virtual processor in pages ---- */

struct hv_lapic_state {
	u32 id, version, ldr, dfr, spurious;
	u32 isr[8], tmr[8], irr[8];
	u32 esr, icr_high, icr_low;
	u32 lvt_timer, lvt_thermal, lvt_perfmon, lvt_lint0, lvt_lint1, lvt_error, lvt_cmci;
	u32 error_status, initial_count, counter_value, divide_configuration, remote_read;
};
_Static_assert(sizeof(struct hv_lapic_state) == 0xb0, "TLFS");

struct hv_stimers_state {
	struct {
		u32 flags, pad; /* bit 0: a message is still to be delivered */
		u64 config, count, adjustment, undelivered_expiration;
	} timer[4];
	u8 reserved[40];
};
_Static_assert(sizeof(struct hv_stimers_state) == 200, "TLFS");
#define HV_STIMER_UNDELIVERED BIT(0)

/* ---- intercept messages: struct hv_message with one of these ---- */

enum hv_message_type {
	HVMSG_UNMAPPED_GPA = 0x80000000,
	HVMSG_GPA_INTERCEPT = 0x80000001,
	HVMSG_UNACCEPTED_GPA = 0x80000003,
	HVMSG_GPA_ATTRIBUTE = 0x80000004,
	HVMSG_TIMER_EXPIRED = 0x80000010,
	HVMSG_INVALID_VP_REGISTER_VALUE = 0x80000020,
	HVMSG_UNRECOVERABLE_EXCEPTION = 0x80000021,
	HVMSG_UNSUPPORTED_FEATURE = 0x80000022,
	HVMSG_HYPERCALL_INTERCEPT = 0x80000050,
	HVMSG_SYNIC_EVENT_INTERCEPT = 0x80000060,
	HVMSG_SYNIC_SINT_INTERCEPT = 0x80000061,
	HVMSG_SYNIC_SINT_DELIVERABLE = 0x80000062,
	HVMSG_X64_IO_PORT_INTERCEPT = 0x80010000,
	HVMSG_X64_MSR_INTERCEPT = 0x80010001,
	HVMSG_X64_CPUID_INTERCEPT = 0x80010002,
	HVMSG_X64_EXCEPTION_INTERCEPT = 0x80010003,
	HVMSG_X64_APIC_EOI = 0x80010004,
	HVMSG_X64_HALT = 0x80010007,
	HVMSG_X64_INTERRUPTION_DELIVERABLE = 0x80010008,
	HVMSG_X64_SIPI_INTERCEPT = 0x80010009,
	HVMSG_X64_APIC_SMI = 0x8001000b,
	HVMSG_X64_APIC_INIT_SIPI = 0x8001000d,
	HVMSG_X64_APIC_WRITE = 0x8001000e,
	HVMSG_X64_EXCEPTION_TRAP = 0x80010012,
};

#define HV_INSTRUCTION_BYTES 16

struct hv_intercept_header {
	u32 vp_index;
	u8 length_cr8; /* of the instruction; CR8 in the upper half */
	u8 access;     /* HV_INTERCEPT_READ, ... */
	u16 execution_state;
	struct hv_segment cs;
	u64 rip, rflags;
};
_Static_assert(sizeof(struct hv_intercept_header) == 40, "TLFS");
enum { HV_INTERCEPT_READ, HV_INTERCEPT_WRITE, HV_INTERCEPT_EXECUTE };

/* execution_state; bits 0 and 1 are the privilege level */
#define HV_EXEC_CR0_PE       BIT(2)
#define HV_EXEC_CR0_AM       BIT(3)
#define HV_EXEC_EFER_LMA     BIT(4)
#define HV_EXEC_DEBUG        BIT(5)
#define HV_EXEC_INTERRUPTION BIT(6)
#define HV_EXEC_SHADOW       BIT(12)

struct hv_io_port_message {
	struct hv_intercept_header header;
	u16 port;
	u8 access_info; /* size; HV_IO_STRING, HV_IO_REP */
	u8 byte_count;
	u32 reserved;
	u64 rax;
	u8 bytes[HV_INSTRUCTION_BYTES];
	struct hv_segment ds, es;
	u64 rcx, rsi, rdi;
};
_Static_assert(sizeof(struct hv_io_port_message) == 128, "TLFS");
#define HV_IO_SIZE   7
#define HV_IO_STRING BIT(3)
#define HV_IO_REP    BIT(4)

struct hv_memory_message {
	struct hv_intercept_header header;
	u32 cache_type;
	u8 byte_count, access_info, tpr_priority, reserved;
	u64 gva, gpa;
	u8 bytes[HV_INSTRUCTION_BYTES];
};
_Static_assert(sizeof(struct hv_memory_message) == 80, "TLFS");
#define HV_MEMORY_GVA_VALID     BIT(0)
#define HV_MEMORY_GVA_GPA_VALID BIT(1)
#define HV_CACHE_UC             0
#define HV_CACHE_WB             6

struct hv_cpuid_message {
	struct hv_intercept_header header;
	u64 rax, rcx, rdx, rbx;
	u64 default_rax, default_rcx, default_rdx, default_rbx;
};
_Static_assert(sizeof(struct hv_cpuid_message) == 104, "TLFS");

struct hv_msr_message {
	struct hv_intercept_header header;
	u32 msr, reserved;
	u64 rdx, rax;
};
_Static_assert(sizeof(struct hv_msr_message) == 64, "TLFS");

struct hv_exception_message {
	struct hv_intercept_header header;
	u16 vector;
	u8 info, byte_count;
	u32 error;
	u64 parameter, reserved;
	u8 bytes[HV_INSTRUCTION_BYTES];
	struct hv_segment ds, ss;
	u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
};
_Static_assert(sizeof(struct hv_exception_message) == 240, "TLFS");
#define HV_EXCEPTION_HAS_ERROR BIT(0)
#define HV_EXCEPTION_SOFTWARE  BIT(1)

struct hv_hypercall_message {
	struct hv_intercept_header header;
	u64 rax, rbx, rcx, rdx, r8, rsi, rdi;
	struct hv_value128 xmm[6];
	u32 flags, reserved;
};
_Static_assert(offsetof(struct hv_hypercall_message, flags) == 0xc0, "TLFS");

struct hv_apic_eoi_message {
	u32 vp_index, vector;
};

struct hv_sint_deliverable_message {
	struct hv_intercept_header header;
	u16 sints, reserved;
	u32 reserved2;
};
_Static_assert(sizeof(struct hv_sint_deliverable_message) == 48, "TLFS");

struct hv_deliverable_message {
	struct hv_intercept_header header;
	u32 type, reserved; /* HV_PENDING_EXTINT, HV_PENDING_NMI */
};

struct hv_sipi_message {
	struct hv_intercept_header header;
	u32 target_vp, vector;
};

struct hv_invalid_register_message {
	u32 vp_index, reserved;
};

struct hv_unsupported_message {
	u32 vp_index, feature;
	u64 parameter;
};
enum { HV_UNSUPPORTED_INTERCEPT = 1, HV_UNSUPPORTED_TASK_SWITCH = 2 };

#endif
