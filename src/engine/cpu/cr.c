/* SPDX-License-Identifier: MIT */
/*
 * Writes to control registers and the checks of their bits (SDM 3:2.5, 3:4.1). A write that is refused changes nothing;
 * one that is accepted drops what the TLB can no longer answer for and recomputes the processor mode. Inner code.
 */
#include "engine/cpu/cr.h"
#include "engine/host/raw.h"
#include "engine/irq/lapic.h"
#include "engine/mem/mem.h"
#include "engine/tap/ask.h"

#define CR0_SUPPORTED                                                                              \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
		CR0_PG)
#define CR0_TLB    (CR0_PG | CR0_WP | CR0_PE)
/* CR4 bits that decide what a page table entry means, or which entries exist. */
#define CR4_TLB    (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_LA57)
#define CR4_PDPTES (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP)

static u64 above_phys_bits(const struct cpu *cpu)
{
	return ~((1ull << cpu->phys_bits) - 1);
}

/* Loading CR3, or turning PAE paging on, checks the four PDPTEs (SDM 3:4.4.1). */
static bool pdptes_valid(struct cpu *cpu, u64 cr3)
{
	u64 gpa = cr3 & 0xffffffe0ull, reserved = above_phys_bits(cpu) | 0x1e6;
	u32 flags;
	const u8 *page = slot_page(cpu->machine, cpu_gpa(cpu, gpa & PAGE_MASK), &flags);

	if (!page)
		return false;
	for (unsigned i = 0; i < 4; i++) {
		u64 e;

		if (guest_load_pte(&e, page + (gpa & ~PAGE_MASK) + i * sizeof(e), sizeof(e)))
			return false;
		if ((e & PTE_P) && (e & reserved))
			return false;
	}
	return true;
}

static bool uses_pdptes(u64 cr0, u64 cr4, u64 efer)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

/* The subscriber of engine/tap.h: a write that would succeed is asked for, and checked again with the value that he gives. */
static int cr_ask(struct cpu *cpu, unsigned cr, u64 old, u64 v,
	int (*write)(struct cpu *cpu, u64 v, bool asked))
{
	int r;

	return tap_cr(cpu, cr, old, &v, &r) ? r : write(cpu, v, true);
}

/* ---- CR0 ---- */

static bool cr0_consistent(u64 v)
{
	if (v >> 32)
		return false;
	if ((v & CR0_PG) && !(v & CR0_PE))
		return false;
	return !((v & CR0_NW) && !(v & CR0_CD));
}

/* Turning paging on with LME set enters IA-32e mode; off leaves it (SDM 3:9.8.5). */
static bool cr0_paging_change(struct cpu *cpu, u64 v, u64 *efer)
{
	bool was = cpu->cr0 & CR0_PG, on = v & CR0_PG;

	if (was == on)
		return true;
	if (!on) {
		if ((cpu->cr4 & CR4_PCIDE) || cpu->code_size == 8)
			return false;
		*efer &= ~EFER_LMA;
		return true;
	}
	if (!(cpu->efer & EFER_LME))
		return true;
	if (!(cpu->cr4 & CR4_PAE) || (cpu->seg[SEG_CS].attr & SEG_L))
		return false;
	*efer |= EFER_LMA;
	return true;
}

static int cr0_write(struct cpu *cpu, u64 v, bool asked)
{
	u64 old = cpu->cr0, efer = cpu->efer;

	if (!cr0_consistent(v))
		return cpu_gp0(cpu);
	v = (v & CR0_SUPPORTED) | CR0_ET;
	if (!cr0_paging_change(cpu, v, &efer))
		return cpu_gp0(cpu);
	if (((v ^ old) & (CR0_PG | CR0_CD | CR0_NW)) && uses_pdptes(v, cpu->cr4, efer) &&
		!pdptes_valid(cpu, cpu->cr3))
		return cpu_gp0(cpu);
	if (!asked && tap_wants(cpu, TAP_CR))
		return cr_ask(cpu, 0, old, v, cr0_write);
	cpu->cr0 = v;
	cpu->efer = efer;
	if ((v ^ old) & CR0_TLB)
		tlb_flush_all(cpu);
	cpu_update_mode(cpu);
	return CPU_OK;
}

/* ---- CR3 ---- */

static int cr3_write(struct cpu *cpu, u64 v, bool asked)
{
	if (cpu_long_mode(cpu)) {
		if (cpu->cr4 & CR4_PCIDE)
			v &= ~CR3_NOFLUSH; /* a hint only: the TLB keeps one address space */
		if (v & above_phys_bits(cpu))
			return cpu_gp0(cpu);
	} else if (uses_pdptes(cpu->cr0, cpu->cr4, cpu->efer) && !pdptes_valid(cpu, v)) {
		return cpu_gp0(cpu);
	}
	if (!asked && tap_wants(cpu, TAP_CR))
		return cr_ask(cpu, 3, cpu->cr3, v, cr3_write);
	cpu->cr3 = v;
	tlb_flush_nonglobal(cpu);
	return CPU_OK;
}

/* ---- CR4 ---- */

static bool cr4_valid(struct cpu *cpu, u64 v)
{
	u64 old = cpu->cr4;

	if (v & ~cpu->cr4_allowed)
		return false;
	if (cpu_long_mode(cpu)) {
		if (!(v & CR4_PAE) || ((v ^ old) & CR4_LA57))
			return false;
	} else if (v & CR4_PCIDE) {
		return false;
	}
	if ((v & ~old & CR4_PCIDE) && (cpu->cr3 & CR3_PCID_MASK))
		return false;
	return !((v ^ old) & CR4_PDPTES) || !uses_pdptes(cpu->cr0, v, cpu->efer) ||
	       pdptes_valid(cpu, cpu->cr3);
}

static int cr4_write(struct cpu *cpu, u64 v, bool asked)
{
	u64 old = cpu->cr4;

	if (!cr4_valid(cpu, v))
		return cpu_gp0(cpu);
	if (!asked && tap_wants(cpu, TAP_CR))
		return cr_ask(cpu, 4, old, v, cr4_write);
	cpu->cr4 = v;
	if ((v ^ old) & CR4_TLB)
		tlb_flush_all(cpu);
	cpu_update_mode(cpu);
	return CPU_OK;
}

/* ---- CR8 ---- */

/* The caller's TPR: he is told when it falls, which may let through what he holds back (KVM_EXIT_SET_TPR). */
static int cr8_of_caller(struct cpu *cpu, u64 v)
{
	if (v < cpu->cr8)
		cpu->exit.reason = EXIT_SET_TPR;
	cpu->cr8 = v;
	return CPU_OK;
}

/* Outer code delivers; it need not look when no request that waits has become deliverable. */
static int cr8_write(struct cpu *cpu, u64 v, bool asked)
{
	struct vcpu *vcpu = cpu->vcpu;
	struct lapic *l = vcpu ? vcpu->lapic : NULL;

	if (v > 15)
		return cpu_gp0(cpu);
	if (!asked && tap_wants(cpu, TAP_CR))
		return cr_ask(cpu, 8, cpu->cr8, v, cr8_write);
	if (!l)
		return cr8_of_caller(cpu, v);
	lapic_put_tpr(l, (u8)(v << 4));
	if (lapic_lets_through(l, lapic_highest(l, R_IRR)) || vcpu->tpr.page)
		cpu_request(cpu, REQ_EVENT);
	return CPU_OK;
}

int cr_write(struct cpu *cpu, unsigned cr, u64 value)
{
	switch (cr) {
	case 0: return cr0_write(cpu, value, false);
	case 2: cpu->cr2 = value; return CPU_OK;
	case 3: return cr3_write(cpu, value, false);
	case 4: return cr4_write(cpu, value, false);
	case 8: return cr8_write(cpu, value, false);
	default: return cpu_raise(cpu, X86_UD);
	}
}
