/* SPDX-License-Identifier: MIT */
/*
 * Machine checks that the VMM reports to its guest (SDM 3:15). The banks and their registers are MSRs
 * (msr/rules.c); here an error is put into one of them, and signalled as #MC or through the local APIC's CMCI
 * entry.
 */
#include <errno.h>

#include "engine/irq/lapic.h"
#include "engine/msr/table.h"
#include "engine/request/post.h"

/* IA32_MCi_STATUS, figure 15-6 */
#define STATUS_VAL  BIT64(63)
#define STATUS_OVER BIT64(62)
#define STATUS_UC   BIT64(61)
#define STATUS_PCC  BIT64(57)
#define STATUS_S    BIT64(56)
#define STATUS_AR   BIT64(55)
#define MCIP        BIT64(2) /* IA32_MCG_STATUS */

enum { MC_CTL, MC_STATUS, MC_ADDR, MC_MISC, MC_REGS };

int vcpu_setup_mce(struct vcpu *v, u64 cap)
{
	struct msr_state *msr = &v->cpu.msr;
	unsigned banks = cap & 0xff;
	u64 unknown = cap & ~(MCE_CAP_SUPPORTED | 0xff00ffull);

	if (!banks || banks > MCE_BANKS_MAX)
		return refuse(&v->cpu.refusal, -EINVAL,
			"%lu banks: a vCPU must have 1 to %lu banks", (u64)banks,
			(u64)MCE_BANKS_MAX);
	if (unknown)
		return refuse(&v->cpu.refusal, -EINVAL, "the bits 0x%lx are not offered", unknown);
	msr->mcg_cap = cap;
	if (cap & MCE_CAP_CTL)
		msr->mcg_ctl = ~0ull;
	for (unsigned i = 0; i < banks; i++) {
		msr->mc_banks[i * MC_REGS + MC_CTL] = ~0ull;
		if (cap & MCE_CAP_CMCI)
			msr->mc_ctl2[i] = 0;
	}
	if (v->lapic)
		lapic_set_cmci(v->lapic, cap & MCE_CAP_CMCI);
	return 0;
}

static void fill_bank(u64 bank[MC_REGS], const struct machine_check *mc, u64 status)
{
	bank[MC_STATUS] = status;
	bank[MC_ADDR] = mc->addr;
	bank[MC_MISC] = mc->misc;
}

/* Uncorrected, no action required: an interrupt at most (SDM 3:15.6.3). */
static bool needs_no_action(const struct machine_check *mc)
{
	return !mc->mcg_status && !(mc->status & (STATUS_PCC | STATUS_S | STATUS_AR));
}

static void report_quietly(struct vcpu *v, const struct machine_check *mc, u64 bank[MC_REGS])
{
	struct msr_state *msr = &v->cpu.msr;

	fill_bank(bank, mc, mc->status);
	msr->mcg_status = mc->mcg_status;
	if ((msr->mcg_cap & MCE_CAP_CMCI) && (msr->mc_ctl2[mc->bank] & MC_CTL2_CMCI_ENABLE) &&
		v->lapic)
		lapic_local(v->lapic, R_CMCI);
}

/* A second one before the first was handled, or a guest that does not want any: the machine stops (SDM 3:15.3.1.2). */
static void raise_mc(struct vcpu *v, const struct machine_check *mc, u64 bank[MC_REGS])
{
	struct vcpu_events *e = &v->cpu.events;
	u64 over = bank[MC_STATUS] & STATUS_VAL ? STATUS_OVER : 0;

	if ((v->cpu.msr.mcg_status & MCIP) || !(v->cpu.cr4 & CR4_MCE)) {
		e->triple_fault = true;
		return;
	}
	fill_bank(bank, mc, mc->status | over);
	v->cpu.msr.mcg_status = mc->mcg_status;
	e->exception.pending = true;
	e->exception.injected = e->exception.has_error = e->exception.has_payload = false;
	e->exception.vector = X86_MC;
}

static void record_corrected(const struct machine_check *mc, u64 bank[MC_REGS])
{
	u64 old = bank[MC_STATUS];

	if ((old & STATUS_VAL) && (old & STATUS_UC)) /* the worse one stays */
		bank[MC_STATUS] |= STATUS_OVER;
	else
		fill_bank(bank, mc, mc->status | (old & STATUS_VAL ? STATUS_OVER : 0));
}

int vcpu_machine_check(struct vcpu *v, const struct machine_check *mc)
{
	struct msr_state *msr = &v->cpu.msr;
	u64 *bank;

	if (mc->bank >= msr_mc_banks(&v->cpu))
		return refuse(&v->cpu.refusal, -EINVAL, "bank %lu: this vCPU has only %lu banks",
			(u64)mc->bank, (u64)msr_mc_banks(&v->cpu));
	if (!(mc->status & STATUS_VAL))
		return refuse(&v->cpu.refusal, -EINVAL, "status 0x%lx: bit 63 (VAL) must be set",
			mc->status);
	bank = &msr->mc_banks[mc->bank * MC_REGS];
	if (needs_no_action(mc))
		report_quietly(v, mc, bank);
	else if (!(mc->status & STATUS_UC))
		record_corrected(mc, bank);
	/* Reporting can be switched off, for all or for the bank (SDM 3:15.3.1.3, 15.3.2.1). */
	else if ((!(msr->mcg_cap & MCE_CAP_CTL) || msr->mcg_ctl == ~0ull) && bank[MC_CTL] == ~0ull)
		raise_mc(v, mc, bank);
	vcpu_post_event(v);
	return 0;
}
