/* SPDX-License-Identifier: MIT */
/* A guest of Hyper-V's interface: CPUID, and one instruction of it at a time. */
#ifndef TESTS_UNIT_WORLD_HVGUEST_H
#define TESTS_UNIT_WORLD_HVGUEST_H

#include "world.h"
#include "engine/exit.h"
#include "engine/irqchip.h"
#include "x86/regs.h"

#define PAGE_AT 0x10000u
#define VECTOR  0x60

enum {
	GUEST_OS_ID = 0x40000000,
	HYPERCALL = 0x40000001,
	RESET = 0x40000003,
	TIME_REF_COUNT = 0x40000020,
	REFERENCE_TSC = 0x40000021,
	ASSIST_PAGE = 0x40000073,
	SCONTROL = 0x40000080,
	SIEFP = 0x40000082,
	SIMP = 0x40000083,
	EOM = 0x40000084,
	SINT2 = 0x40000092,
	STIMER0_CONFIG = 0x400000b0,
	STIMER0_COUNT = 0x400000b1,
	SYNDBG_CONTROL = 0x400000f1,
	SYNDBG_STATUS = 0x400000f2,
	CRASH_CTL = 0x40000105,
};

/* A machine with one vcpu, as KVM's callers make it; synic: that is enabled. */
void hv_open(struct world *w, bool synic);
/* A partition, and the guest has SynIC, message page (PAGE_AT) and local APIC enabled, SINT 2 with VECTOR. */
void hv_open_partition(struct world *w);
/* All of the interface that the engine can do. */
void hv_give_cpuid(struct vcpu *v);
void hv_set_state(struct vcpu *v, u64 rip, u64 rcx, u64 value);

/* wrmsr; out 10h. #GP: out 66h. */
void begin_wrmsr(struct world *w, u32 index, u64 value);
/* The same with rdmsr. */
bool rdmsr_works(struct world *w, u32 index);
bool wrmsr_works(struct world *w, u32 index, u64 value);
void wrmsr(struct world *w, u32 index, u64 value);
/* As the VMM reads it. */
u64 msr_of(struct world *w, u32 index);
u64 reference_time(struct world *w);

/* Local APIC on, interrupt handler of VECTOR at 5000h: out 72h; iret. */
void enable_interrupts(struct world *w);
/* sti; hlt; out 10h */
void begin_halt(struct world *w);
/* The same, until the handler's out. */
void wait_for_interrupt(struct world *w);
void hv_eoi(struct world *w);

/* vmcall; out 10h, in 32-bit code; the exit that follows. */
struct exit *flat_call(struct world *w, u64 control, u64 input);
u64 call_result(struct world *w, u64 control, u64 input);
u64 call_with_output(struct world *w, u64 control, u64 input, u64 output);
#define FAST    BIT64(16)
#define REPS(n) ((u64)(n) << 32)

#endif
