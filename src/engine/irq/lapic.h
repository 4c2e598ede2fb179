/* SPDX-License-Identifier: MIT */
/*
 * A local APIC. Registers are kept at their xAPIC indices (offset / 16), SDM 3:10.4.1 table 10-1.
 *
 * Who may touch what: IRR and TMR bits, esr_pending, extint, maybe_pending and timer_due by any thread;
 * everything else by the vcpu's thread (or by the owner of a vcpu that does not run). Others read
 * id, LDR, DFR, SVR, PPR and LVT0, so all registers are atomics, used without ordering.
 */
#ifndef ENGINE_IRQ_LAPIC_H
#define ENGINE_IRQ_LAPIC_H

#include "engine/irq/fabric.h"

enum lapic_reg {
	R_ID = 0x02,
	R_VERSION = 0x03,
	R_TPR = 0x08,
	R_APR = 0x09,
	R_PPR = 0x0a,
	R_EOI = 0x0b,
	R_LDR = 0x0d,
	R_DFR = 0x0e,
	R_SVR = 0x0f,
	R_ISR = 0x10,
	R_TMR = 0x18,
	R_IRR = 0x20,
	R_ESR = 0x28,
	R_CMCI = 0x2f,
	R_ICR = 0x30,
	R_ICR2 = 0x31,
	R_LVT_TIMER = 0x32,
	R_LVT_THERMAL = 0x33,
	R_LVT_PERF = 0x34,
	R_LVT_LINT0 = 0x35,
	R_LVT_LINT1 = 0x36,
	R_LVT_ERROR = 0x37,
	R_TIMER_INITIAL = 0x38,
	R_TIMER_CURRENT = 0x39,
	R_TIMER_DIVIDE = 0x3e,
	R_SELF_IPI = 0x3f,
	LAPIC_REGS = 0x40,
};

#define LAPIC_VERSION 0x50014
#define LAPIC_CMCI    0x10000 /* in the version: one more local vector */
#define LVT_MASKED    BIT(16)
#define SVR_ENABLE    BIT(8)
#define ICR_BUSY      BIT(12)

#define ESR_SEND_VECTOR    BIT(5)
#define ESR_RECEIVE_VECTOR BIT(6)
#define ESR_REGISTER       BIT(7)

enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };

/* Why what needs one is refused. */
#define NO_LAPIC "there is no local APIC: create the irqchip before the vCPU"

struct lapic {
	struct vcpu *vcpu;
	struct irq *irq;
	_Atomic u32 reg[LAPIC_REGS];
	_Atomic bool maybe_pending; /* false: IRR is empty */
	_Atomic bool extint;        /* the IOAPIC sent an ExtINT message */
	_Atomic bool
		missed; /* of a partition: a request has come that a disabled APIC does not keep */
	_Atomic u32 esr_pending;
	int eoi_exit; /* vector, or -1 */
	bool pv_eoi;  /* the guest may end the one in service by the flag in its memory */
	bool cmci;    /* the CMCI entry exists */
	struct timer timer;
	_Atomic bool timer_due; /* it has expired, and the request has not been made yet */
	_Atomic u64 timer_at;   /* ns: when it expires next; 0 not armed */
	_Atomic u64 tsc_deadline;
	u64 timer_first,
		timer_period; /* ns: first expiry and distance of the next ones; 0 stopped */
};

static inline u32 reg_get(const struct lapic *l, unsigned r)
{
	return atomic_load_explicit(&l->reg[r], memory_order_relaxed);
}

static inline void reg_set(struct lapic *l, unsigned r, u32 value)
{
	atomic_store_explicit(&l->reg[r], value, memory_order_relaxed);
}

static inline u64 lapic_base(const struct lapic *l)
{
	return cpu_apic_base(&l->vcpu->cpu);
}

static inline bool lapic_enabled(const struct lapic *l)
{
	return lapic_base(l) & APIC_BASE_ENABLE;
}

static inline bool lapic_x2(const struct lapic *l)
{
	const u64 both = APIC_BASE_ENABLE | APIC_BASE_X2APIC;

	return (lapic_base(l) & both) == both;
}

/* Its registers are a page at the base. */
static inline bool lapic_is_mapped(const struct lapic *l)
{
	return lapic_enabled(l) && !(lapic_base(l) & APIC_BASE_X2APIC);
}

static inline u8 lapic_tpr(const struct lapic *l)
{
	return (u8)reg_get(l, R_TPR);
}

/* ---- priorities, SDM 3:10.8.3.1; inner code uses them, too: MOV CR8 is a way to the TPR ---- */

/* Of a set of vectors in eight registers; -1: none. */
static inline int lapic_highest(const struct lapic *l, unsigned first)
{
	for (int i = 7; i >= 0; i--) {
		u32 bits = reg_get(l, first + i);

		if (bits)
			return i * 32 + 31 - __builtin_clz(bits);
	}
	return -1;
}

static inline void lapic_update_ppr(struct lapic *l)
{
	u32 tpr = lapic_tpr(l);
	int isr = lapic_highest(l, R_ISR);
	u32 served = isr < 0 ? 0 : (u32)isr & 0xf0;

	reg_set(l, R_PPR, (tpr & 0xf0) >= served ? tpr : served);
}

/* Does the PPR let this vector through? -1: there is none. */
static inline bool lapic_lets_through(const struct lapic *l, int vector)
{
	return vector >= 0 && ((u32)vector & 0xf0) > (reg_get(l, R_PPR) & 0xf0);
}

/* Who lowers it must look for what that lets through. */
static inline void lapic_put_tpr(struct lapic *l, u8 tpr)
{
	reg_set(l, R_TPR, tpr);
	lapic_update_ppr(l);
}

/*
 * CR8 is the TPR's upper half (SDM 3:10.8.6), or, where the local APIC is the caller's, all that there is of it. There is
 * no copy.
 */
static inline struct lapic *cpu_lapic(const struct cpu *cpu)
{
	return cpu->vcpu ? cpu->vcpu->lapic : NULL;
}

static inline u64 vcpu_cr8(const struct vcpu *v)
{
	return v->lapic ? lapic_tpr(v->lapic) >> 4 : v->cpu.apic_own.cr8;
}

static inline u64 cpu_cr8(const struct cpu *cpu)
{
	return cpu->vcpu ? vcpu_cr8(cpu->vcpu) : cpu->apic_own.cr8;
}

static inline void cpu_put_cr8(struct cpu *cpu, u64 cr8)
{
	struct lapic *l = cpu_lapic(cpu);

	if (l)
		lapic_put_tpr(l, (u8)(cr8 << 4));
	else
		cpu->apic_own.cr8 = cr8 & 0xf;
}

static inline bool lapic_deadline_mode(const struct lapic *l)
{
	return (reg_get(l, R_LVT_TIMER) >> 17 & 3) == TIMER_TSC_DEADLINE;
}

/* In x2APIC mode reg[R_ID] holds all 32 bits. */
static inline u32 lapic_id(const struct lapic *l)
{
	return lapic_x2(l) ? reg_get(l, R_ID) : reg_get(l, R_ID) >> 24;
}

/* Has any request come, whether or not it can be taken? */
static inline bool lapic_has_request(const struct lapic *l)
{
	return atomic_load(&l->missed) ||
	       (atomic_load(&l->maybe_pending) && lapic_highest(l, R_IRR) >= 0);
}

/* ---- for the rest of the engine: on the vcpu's own thread ---- */

int lapic_create(struct vcpu *v); /* when machine_irqchip() != NONE */
void lapic_destroy(struct vcpu *v);
void lapic_reset(struct vcpu *v, bool init); /* works without LAPIC, too */
/* Register access to the LAPIC page at its base; true if it was the LAPIC's. */
bool lapic_mmio(struct vcpu *v, u64 gpa, unsigned len, void *data, bool write);
/*
 * IA32_APIC_BASE by the VMM (SREGS, SET_MSRS): any legal value, without the transition rules that
 * hold for the guest. -EINVAL. Works without LAPIC, too.
 */
int lapic_set_base(struct vcpu *v, u64 value);
/* IA32_APIC_BASE, IA32_TSC_DEADLINE, x2APIC 0x800-0x8ff. 0, or -EINVAL for #GP, -ENOENT not one of these. */
int lapic_read_msr(struct vcpu *v, u32 index, u64 *ret);
int lapic_write_msr(struct vcpu *v, u32 index, u64 value);
/* The timer has expired: make the request. On the vcpu's own thread. */
void lapic_timer_serve(struct vcpu *v);
/* The guest's RDMSR or WRMSR of one of these finds the timer as it should be. */
void lapic_timer_before_msr(struct vcpu *v, u32 index);
/* By the VMM. The guest's way is cpu_put_cr8(). */
void lapic_set_cr8(struct vcpu *v, u64 cr8);
/* TLFS: EOI, ICR and TPR (0, 1, 2) as MSRs whatever the APIC's mode. 0 or -EINVAL. */
int lapic_direct_read(struct vcpu *v, unsigned which, u64 *ret);
int lapic_direct_write(struct vcpu *v, unsigned which, u64 value);

/* ---- lapic.c ---- */

enum accept_result { ACCEPT_REFUSED, ACCEPT_PENDING, ACCEPT_FRESH };
/* Any thread. */
enum accept_result lapic_accept(struct lapic *l, const struct apic_msg *msg);
void lapic_error(struct lapic *l, u32 esr_bit);
/* Deliver what a local vector table entry says; any thread. */
void lapic_local(struct lapic *l, enum lapic_reg lvt);
bool lapic_takes_extint(const struct lapic *l);
/* An interrupt may have become deliverable by what this vcpu did. */
void lapic_recheck(struct lapic *l);
void lapic_set_tpr(struct lapic *l, u8 tpr);
void lapic_eoi(struct lapic *l);
/* Must others hear of the end of this vector's interrupt? */
bool lapic_end_matters(const struct lapic *l, u8 vector);
void lapic_set_cmci(struct lapic *l, bool exists);
static inline u32 lapic_version(const struct lapic *l)
{
	return l->cmci ? LAPIC_VERSION + LAPIC_CMCI : LAPIC_VERSION;
}

/* ---- lapic_reg.c ---- */

u32 lapic_x2_ldr(u32 id);

/* ---- lapic_timer.c ---- */

void lapic_timer_init(struct lapic *l);
void lapic_timer_stop(struct lapic *l);
/* Before who looks at, or changes, what it depends on: what has expired is requested, though nobody has fired it yet. */
void lapic_timer_settle(struct lapic *l);
void lapic_timer_start(struct lapic *l, u32 count); /* R_TIMER_INITIAL has been set */
u32 lapic_timer_current(const struct lapic *l);
void lapic_timer_set_divide(struct lapic *l, u32 value);
void lapic_timer_set_lvt(struct lapic *l, u32 value); /* stores it, too */
void lapic_timer_restore(struct lapic *l, u32 current);
void lapic_set_deadline(struct lapic *l, u64 tsc);
u64 lapic_get_deadline(const struct lapic *l);

#endif
