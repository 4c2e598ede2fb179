/* SPDX-License-Identifier: MIT */
/*
 * The ways to a LAPIC's registers: the MMIO page (xAPIC), the MSRs (x2APIC), and IA32_APIC_BASE
 * which chooses between them. SDM 3:10.4 and 3:10.12.
 */
#include "engine/cpuid/cpuid.h"
#include "engine/irq/lapic.h"
#include "x86/msr.h"

#include <errno.h>
#include <string.h>

#define ICR_X2_RESERVED 0xfff32000u

/* Access rights, SDM 3:10.4.1 table 10-1 and 3:10.12.1.2 table 10-6. */
enum { RX = BIT(0), WX = BIT(1), R2 = BIT(2), W2 = BIT(3), RW = RX | WX | R2 | W2 };

static const struct {
	u8 access;
	u32 writable;
} info[LAPIC_REGS] = {
	[R_ID] = {RX | WX | R2, 0xff000000},
	[R_VERSION] = {RX | R2},
	[R_TPR] = {RW, 0xff},
	[R_APR] = {RX},
	[R_PPR] = {RX | R2},
	[R_EOI] = {WX | W2},
	[R_LDR] = {RX | WX | R2, 0xff000000},
	[R_DFR] = {RX | WX, 0xf0000000},
	[R_SVR] = {RW, 0x1ff},
	[R_ISR... R_ISR + 7] = {RX | R2},
	[R_TMR... R_TMR + 7] = {RX | R2},
	[R_IRR... R_IRR + 7] = {RX | R2},
	[R_ESR] = {RW},
	[R_CMCI] = {RW, 0x107ff},
	[R_ICR] = {RW, ~ICR_BUSY},
	[R_ICR2] = {RX | WX, 0xff000000},
	[R_LVT_TIMER] = {RW, 0x700ff},
	[R_LVT_THERMAL] = {RW, 0x107ff},
	[R_LVT_PERF] = {RW, 0x107ff},
	[R_LVT_LINT0] = {RW, 0x1a7ff},
	[R_LVT_LINT1] = {RW, 0x1a7ff},
	[R_LVT_ERROR] = {RW, 0x100ff},
	[R_TIMER_INITIAL] = {RW, 0xffffffff},
	[R_TIMER_CURRENT] = {RX | R2},
	[R_TIMER_DIVIDE] = {RW, 0xb},
	[R_SELF_IPI] = {W2, 0xff},
};

/* ---- what reads and writes mean, whichever way they came ---- */

static u32 read_reg(struct lapic *l, unsigned r)
{
	switch (r) {
	case R_TIMER_CURRENT: lapic_timer_settle(l); return lapic_timer_current(l);
	case R_APR: return reg_get(l, R_PPR); /* no bus to arbitrate for */
	default: return reg_get(l, r);
	}
}

static void send_ipi(struct lapic *l)
{
	u32 icr = reg_get(l, R_ICR), high = reg_get(l, R_ICR2);
	struct apic_msg msg = {
		.dest = lapic_x2(l) ? high : high >> 24,
		.vector = (u8)icr,
		.delivery = icr >> 8 & 7,
		.logical = icr & BIT(11),
		.level_triggered = icr & BIT(15),
		.shorthand = icr >> 18 & 3,
		.source = l,
	};
	bool fresh;

	/* Level de-assert: only the long obsolete INIT level de-assert, which changes nothing. */
	if (msg.level_triggered && !(icr & BIT(14)))
		return;
	if ((msg.delivery == DELIVER_FIXED || msg.delivery == DELIVER_LOWEST) && msg.vector < 16)
		lapic_error(l, ESR_SEND_VECTOR);
	else if (msg.delivery != DELIVER_EXTINT) /* not defined for IPIs */
		apic_deliver(l->irq, &msg, &fresh);
}

static void self_ipi(struct lapic *l, u8 vector)
{
	struct apic_msg msg = {.vector = vector};

	if (vector < 16)
		lapic_error(l, ESR_SEND_VECTOR);
	else
		lapic_accept(l, &msg);
}

/* Software disable masks all local interrupts (SDM 3:10.4.7.2). */
static void write_svr(struct lapic *l, u32 value)
{
	reg_set(l, R_SVR, value);
	if (value & SVR_ENABLE)
		return;
	for (unsigned r = R_LVT_TIMER; r <= R_LVT_ERROR; r++)
		atomic_fetch_or(&l->reg[r], LVT_MASKED);
	if (l->cmci)
		atomic_fetch_or(&l->reg[R_CMCI], LVT_MASKED);
}

static void write_lvt(struct lapic *l, unsigned r, u32 value)
{
	if (!(reg_get(l, R_SVR) & SVR_ENABLE))
		value |= LVT_MASKED;
	if (r == R_LVT_TIMER && l->vcpu->cpu.lacks & LACKS_TSC_DEADLINE)
		value &= ~(TIMER_TSC_DEADLINE << 17); /* then a reserved bit, SDM 3:10.5.1 */
	if (r == R_LVT_TIMER)
		lapic_timer_set_lvt(l, value);
	else
		reg_set(l, r, value);
	if (r == R_LVT_LINT0)
		lapic_recheck(l);
}

static void write_address(struct lapic *l, unsigned r, u32 value)
{
	reg_set(l, r, r == R_DFR ? value | 0x0fffffff : value);
	apic_map_stale(l->irq);
}

static void write_reg(struct lapic *l, unsigned r, u32 value)
{
	value &= info[r].writable;
	switch (r) {
	case R_ID:
	case R_LDR:
	case R_DFR: write_address(l, r, value); break;
	case R_TPR: lapic_set_tpr(l, (u8)value); break;
	case R_EOI: lapic_eoi(l); break;
	case R_SVR: write_svr(l, value); break;
	/* A write shows what has been collected since the last one (SDM 3:10.5.3). */
	case R_ESR: reg_set(l, R_ESR, atomic_exchange(&l->esr_pending, 0)); break;
	case R_ICR:
		reg_set(l, R_ICR, value);
		send_ipi(l);
		break;
	case R_CMCI:
	case R_LVT_TIMER ... R_LVT_ERROR: write_lvt(l, r, value); break;
	case R_TIMER_INITIAL: lapic_timer_start(l, value); break;
	case R_TIMER_DIVIDE: lapic_timer_set_divide(l, value); break;
	case R_SELF_IPI: self_ipi(l, (u8)value); break;
	default: reg_set(l, r, value); break;
	}
}

/* ---- MMIO ---- */

/* Some register is there, whichever way it is accessed. */
static bool exists(const struct lapic *l, unsigned r)
{
	return r < LAPIC_REGS && info[r].access && (r != R_CMCI || l->cmci);
}

static bool known(const struct lapic *l, unsigned r)
{
	return exists(l, r) && info[r].access & (RX | WX);
}

/*
 * Registers are aligned to 16 bytes and must be accessed with aligned 32-bit loads and stores
 * (SDM 3:10.4.1). Shorter reads of parts work on real ones; other writes are ignored.
 */
static void mmio_read(struct lapic *l, u32 offset, unsigned len, void *data)
{
	unsigned r = offset >> 4, byte = offset & 0xf;
	u32 value = 0;

	memset(data, 0, len);
	if (byte + len > 4)
		return;
	if (!known(l, r))
		lapic_error(l, ESR_REGISTER);
	else if (info[r].access & RX)
		value = read_reg(l, r);
	memcpy(data, (u8 *)&value + byte, len);
}

static void mmio_write(struct lapic *l, u32 offset, unsigned len, const void *data)
{
	unsigned r = offset >> 4;
	u32 value;

	if (len != 4 || offset & 0xf)
		return;
	memcpy(&value, data, sizeof(value));
	if (!known(l, r))
		lapic_error(l, ESR_REGISTER);
	else if (info[r].access & WX)
		write_reg(l, r, value);
}

bool lapic_mmio(struct vcpu *v, u64 gpa, unsigned len, void *data, bool write)
{
	struct lapic *l = v->lapic;
	u64 base = cpu_apic_base(&v->cpu);

	if (!l || gpa - (base & PAGE_MASK) >= PAGE_SIZE)
		return false;
	if (!lapic_is_mapped(l)) {
		if (machine_intercepts(v->machine) ||
			!machine_quirk(v->machine, QUIRK_LAPIC_MMIO_HOLE))
			return false;
		if (!write)
			memset(data, 0xff, len);
	} else if (write) {
		mmio_write(l, gpa & 0xfff, len, data);
	} else {
		mmio_read(l, gpa & 0xfff, len, data);
	}
	return true;
}

/* ---- MSRs ---- */

u32 lapic_x2_ldr(u32 id)
{
	return (id >> 4) << 16 | BIT(id & 0xf); /* SDM 3:10.12.10.2 */
}

static int x2_read(struct lapic *l, unsigned r, u64 *ret)
{
	if (!(info[r].access & R2))
		return -EINVAL;
	*ret = read_reg(l, r);
	if (r == R_ICR)
		*ret |= (u64)reg_get(l, R_ICR2) << 32;
	return 0;
}

static int x2_write_icr(struct lapic *l, u64 value)
{
	if (value & ICR_X2_RESERVED)
		return -EINVAL;
	reg_set(l, R_ICR2, value >> 32);
	write_reg(l, R_ICR, (u32)value);
	return 0;
}

static int x2_write(struct lapic *l, unsigned r, u64 value)
{
	if (!(info[r].access & W2))
		return -EINVAL;
	if (r == R_ICR)
		return x2_write_icr(l, value);
	if (value >> 32)
		return -EINVAL;
	/* Only 0 may be written to these, and 8 bits to those (SDM 3:10.12.1.2 table 10-6). */
	if ((r == R_EOI || r == R_ESR) && value)
		return -EINVAL;
	if ((r == R_TPR || r == R_SELF_IPI) && value > 0xff)
		return -EINVAL;
	write_reg(l, r, (u32)value);
	return 0;
}

void lapic_timer_before_msr(struct vcpu *v, u32 index)
{
	if (v->lapic && (index == MSR_TSC || index == MSR_TSC_ADJUST || index == MSR_TSC_DEADLINE))
		lapic_timer_settle(v->lapic);
}

int lapic_read_msr(struct vcpu *v, u32 index, u64 *ret)
{
	struct lapic *l = v->lapic;

	if (index == MSR_APIC_BASE) {
		*ret = cpu_apic_base(&v->cpu);
		return 0;
	}
	if (index == MSR_TSC_DEADLINE) {
		*ret = l ? lapic_get_deadline(l) : 0;
		return 0;
	}
	if (index < MSR_X2APIC || index > MSR_X2APIC_END)
		return -ENOENT;
	if (!l || !lapic_x2(l) || !exists(l, index - MSR_X2APIC))
		return -EINVAL;
	return x2_read(l, index - MSR_X2APIC, ret);
}

/* ---- the three registers that Hyper-V offers as MSRs ---- */

static const u8 direct[] = {R_EOI, R_ICR, R_TPR};

int lapic_direct_read(struct vcpu *v, unsigned which, u64 *ret)
{
	return v->lapic ? x2_read(v->lapic, direct[which], ret) : -EINVAL;
}

int lapic_direct_write(struct vcpu *v, unsigned which, u64 value)
{
	if (!v->lapic)
		return -EINVAL;
	/* What is written there does not matter. */
	return x2_write(v->lapic, direct[which], direct[which] == R_EOI ? 0 : value);
}

/* ---- IA32_APIC_BASE, SDM 3:10.12.5 ---- */

static bool may_have_x2apic(const struct cpu *cpu)
{
	for (unsigned i = 0; i < cpu->cpuid_count; i++)
		if (cpu->cpuid[i].function == 1)
			return cpu->cpuid[i].ecx & BIT(21);
	return true;
}

static int check_base(struct cpu *cpu, u64 value)
{
	u64 reserved = 0x2ff | cpu_phys_reserved(cpu);

	if (value & reserved)
		return refuse(&cpu->refusal, -EINVAL,
			"apic_base 0x%lx: the bits 0x%lx are reserved", value, value & reserved);
	if (value & APIC_BASE_X2APIC && !(value & APIC_BASE_ENABLE))
		return refuse(&cpu->refusal, -EINVAL,
			"apic_base 0x%lx: bit 10 (x2APIC) needs bit 11 (enabled)", value);
	if (value & APIC_BASE_X2APIC && !may_have_x2apic(cpu))
		return refuse(&cpu->refusal, -EINVAL,
			"apic_base 0x%lx: CPUID does not offer bit 10 (x2APIC)", value);
	return 0;
}

/* Not from x2APIC back to xAPIC, and not from disabled straight to x2APIC (figure 10-27). */
static bool legal_transition(u64 old, u64 value)
{
	if (!(value & APIC_BASE_ENABLE))
		return true;
	if (old & APIC_BASE_X2APIC)
		return value & APIC_BASE_X2APIC;
	return old & APIC_BASE_ENABLE || !(value & APIC_BASE_X2APIC);
}

/*
 * Of an APIC that is switched off and on the SDM says that its state may be lost (3:10.4.3). KVM keeps it, requests and
 * CR8 included, but for the id, which guests can change in xAPIC mode and expect to be the one after RESET.
 */
static void change_base(struct vcpu *v, u64 value)
{
	struct lapic *l = v->lapic;
	u64 changed = cpu_apic_base(&v->cpu) ^ value;
	bool is_x2 = value & APIC_BASE_X2APIC;

	__atomic_store_n(&v->cpu.apic_own.base, value, __ATOMIC_RELAXED);
	if (!l)
		return;
	if (changed & (APIC_BASE_X2APIC | APIC_BASE_ENABLE))
		reg_set(l, R_ID, is_x2 ? v->apic_id : v->apic_id << 24);
	if (changed & APIC_BASE_X2APIC)
		reg_set(l, R_LDR, is_x2 ? lapic_x2_ldr(v->apic_id) : 0);
	apic_map_stale(l->irq);
	lapic_recheck(l);
}

int lapic_set_base(struct vcpu *v, u64 value)
{
	if (check_base(&v->cpu, value))
		return -EINVAL;
	if (value != cpu_apic_base(&v->cpu))
		change_base(v, value);
	return 0;
}

int lapic_write_msr(struct vcpu *v, u32 index, u64 value)
{
	struct lapic *l = v->lapic;

	if (index == MSR_APIC_BASE) {
		if (!legal_transition(cpu_apic_base(&v->cpu), value))
			return -EINVAL;
		return lapic_set_base(v, value);
	}
	if (index == MSR_TSC_DEADLINE) {
		if (l)
			lapic_set_deadline(l, value);
		return 0;
	}
	if (index < MSR_X2APIC || index > MSR_X2APIC_END)
		return -ENOENT;
	if (!l || !lapic_x2(l) || !exists(l, index - MSR_X2APIC))
		return refuse(&v->cpu.refusal, -EINVAL,
			"this MSR exists only while the APIC is in x2APIC mode");
	return x2_write(l, index - MSR_X2APIC, value);
}
