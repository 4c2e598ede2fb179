/* SPDX-License-Identifier: MIT */
/*
 * Control registers, read and written by the guest (SDM 3:2.5). What valid.h refuses changes nothing; a write that is accepted
 * drops what the TLB can no longer answer for and recomputes the processor mode. Inner code.
 */
#include "engine/cpu/cr.h"
#include "engine/cpu/mode.h"
#include "engine/cpu/valid.h"
#include "engine/irq/lapic.h"
#include "engine/mem/mem.h"
#include "engine/tap/ask.h"

#define CR0_TLB (CR0_PG | CR0_WP | CR0_PE)
/* CR4 bits that decide what a page table entry means, or which entries exist. */
#define CR4_TLB (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_LA57)

/* The subscriber of engine/tap.h: a write that would succeed is asked for, and checked again with the value that he gives. */
static int cr_ask(struct cpu *cpu, unsigned cr, u64 old, u64 v,
	int (*write)(struct cpu *cpu, u64 v, bool asked))
{
	int r;

	return tap_cr(cpu, cr, old, &v, &r) ? r : write(cpu, v, true);
}

/* ---- CR0 ---- */

static int cr0_write(struct cpu *cpu, u64 v, bool asked)
{
	u64 old = cpu->cr0;

	if (valid_cr0_write(cpu, v))
		return cpu_gp0(cpu);
	v = (v & CR0_DEFINED) | CR0_ET;
	if (!asked && tap_wants(cpu, TAP_CR))
		return cr_ask(cpu, 0, old, v, cr0_write);
	cpu->cr0 = v;
	cpu->efer = efer_with_lma(cpu->efer, v);
	if ((v ^ old) & CR0_TLB)
		tlb_flush_all(cpu);
	cpu_update_mode(cpu);
	return CPU_OK;
}

/* ---- CR3 ---- */

static int cr3_write(struct cpu *cpu, u64 v, bool asked)
{
	if (cpu->cr4 & CR4_PCIDE)
		v &= ~CR3_NOFLUSH; /* a hint only: the TLB keeps one address space */
	if (valid_cr3_write(cpu, v))
		return cpu_gp0(cpu);
	if (!asked && tap_wants(cpu, TAP_CR))
		return cr_ask(cpu, 3, cpu->cr3, v, cr3_write);
	cpu->cr3 = v;
	tlb_flush_nonglobal(cpu);
	return CPU_OK;
}

/* ---- CR4 ---- */

static int cr4_write(struct cpu *cpu, u64 v, bool asked)
{
	u64 old = cpu->cr4;

	if (valid_cr4_write(cpu, v))
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

/*
 * Outer code delivers; it need not look when no request that waits has become deliverable. A caller who has the local
 * APIC is told when it falls, which may let through what he holds back (KVM_EXIT_SET_TPR).
 */
static int cr8_write(struct cpu *cpu, u64 v, bool asked)
{
	struct lapic *l = cpu_lapic(cpu);

	if (!valid_cr8(v))
		return cpu_gp0(cpu);
	if (!asked && tap_wants(cpu, TAP_CR))
		return cr_ask(cpu, 8, cpu_cr8(cpu), v, cr8_write);
	if (!l && v < cpu_cr8(cpu))
		cpu->exit.reason = EXIT_SET_TPR;
	cpu_put_cr8(cpu, v);
	if (l && (lapic_lets_through(l, lapic_highest(l, R_IRR)) || l->vcpu->tpr.page))
		cpu_request(cpu, REQ_EVENT);
	return CPU_OK;
}

int cr_read(struct cpu *cpu, unsigned cr, u64 *ret)
{
	switch (cr) {
	case 0: *ret = cpu->cr0; return CPU_OK;
	case 2: *ret = cpu->cr2; return CPU_OK;
	case 3: *ret = cpu->cr3; return CPU_OK;
	case 4: *ret = cpu->cr4; return CPU_OK;
	case 8: *ret = cpu_cr8(cpu); return CPU_OK;
	default: return cpu_raise(cpu, X86_UD);
	}
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
