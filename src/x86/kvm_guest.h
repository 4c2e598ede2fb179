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

#endif
