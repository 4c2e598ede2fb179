/* SPDX-License-Identifier: MIT */
/* The numbers of KVM's interface to guests (Linux: Documentation/virt/kvm/x86). */
#ifndef X86_KVM_GUEST_H
#define X86_KVM_GUEST_H

#include "base/types.h"

/* MSRs, msr.rst. The first two are the numbers of before 2010, which others use as well. */
#define MSR_KVM_WALL_CLOCK      0x11
#define MSR_KVM_SYSTEM_TIME     0x12
#define MSR_KVM_WALL_CLOCK_NEW  0x4b564d00
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_KVM_ASYNC_PF_EN     0x4b564d02
#define MSR_KVM_STEAL_TIME      0x4b564d03
#define MSR_KVM_PV_EOI_EN       0x4b564d04
#define MSR_KVM_POLL_CONTROL    0x4b564d05
#define MSR_KVM_ASYNC_PF_INT    0x4b564d06
#define MSR_KVM_ASYNC_PF_ACK    0x4b564d07

/* Features of leaf 0x40000001, cpuid.rst. */
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

/* ---- hypercalls, hypercalls.rst; errors are negative ---- */

enum kvm_hypercall {
	KVM_HC_VAPIC_POLL_IRQ = 1,
	KVM_HC_KICK_CPU = 5,
	KVM_HC_CLOCK_PAIRING = 9,
	KVM_HC_SEND_IPI = 10,
	KVM_HC_SCHED_YIELD = 11,
	KVM_HC_MAP_GPA_RANGE = 12,
	KVM_HC_XEN_HVM_OP = 34, /* for whoever watches the guest */
};

#define KVM_HC_EPERM      1
#define KVM_HC_EFAULT     14
#define KVM_HC_EINVAL     22
#define KVM_HC_EOPNOTSUPP 95
#define KVM_HC_ENOSYS     1000

struct kvm_clock_pairing_page {
	s64 sec, nsec;
	u64 tsc;
	u32 flags, pad[9];
};
_Static_assert(sizeof(struct kvm_clock_pairing_page) == 64, "part of the guest's ABI");

/* ---- kvmclock, msr.rst ---- */

#define PVCLOCK_ON            BIT64(0) /* in the MSR */
#define PVCLOCK_TSC_STABLE    BIT(0)
#define PVCLOCK_GUEST_STOPPED BIT(1)

struct pvclock_time {
	u32 version;
	u32 pad0;
	u64 tsc_timestamp;
	u64 system_time;
	u32 tsc_to_system_mul;
	s8 tsc_shift;
	u8 flags;
	u8 pad[2];
};
_Static_assert(sizeof(struct pvclock_time) == 32, "part of the guest's ABI");

struct pvclock_wall {
	u32 version, sec, nsec;
};

/* ---- steal time ---- */

#define STEAL_ENABLED BIT64(0) /* in the MSR */
struct steal_page {
	u64 steal;
	u32 version, flags;
	u8 preempted, pad[3];
	u32 pad2[11];
};
_Static_assert(sizeof(struct steal_page) == 64, "part of the guest's ABI");

#define STEAL_PREEMPTED BIT(0)

/* ---- the end of an interrupt by a flag ---- */

#define PV_EOI_ON        BIT64(0) /* in the MSR */
#define PV_EOI_MAY_CLEAR BIT(0)   /* in the word */

/* ---- asynchronous page faults ---- */

#define ASYNC_PF_ON       (BIT64(0) | BIT64(3)) /* enabled, "page ready" by an interrupt */
#define ASYNC_PF_RESERVED (BIT64(4) | BIT64(5))
#define ASYNC_PF_PAGE     (~(u64)0x3f)

#endif
