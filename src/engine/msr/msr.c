/* SPDX-License-Identifier: MIT */
/*
 * Access to model-specific registers by the guest and the VMM, and their values at RESET.
 *
 * Registers of the local APIC and writes to the TSC and the paravirtual clock belong to outer code: the
 * instruction leaves with EXIT_RDMSR or EXIT_WRMSR, why 0, and finds the answer in cpu->answers.
 */
#include <errno.h>

#include "engine/core/answer.h"
#include "engine/cpu/smm.h"
#include "engine/msr/msr.h"
#include "engine/msr/policy.h"
#include "engine/msr/table.h"

/* ---- what they hold ---- */

#define MISC_ENABLE_RESET (BIT64(0) | BIT64(11) | BIT64(12)) /* fast strings; no BTS, no PEBS */
/*
 * RDCL_NO IBRS_ALL SKIP_L1DFL_VMENTRY SSB_NO MDS_NO PSCHANGE_MC_NO TAA_NO SBDR_SSDP_NO FBSDP_NO PSDP_NO
 * BHI_NO PBRSB_NO GDS_NO RFDS_NO ITS_NO. All guest code runs at the host's CPL 3 and is translated: the
 * guest's work-arounds against speculation (retpolines, buffer clearing, separate page tables) would
 * cost much and hold nothing apart.
 */
#define ARCH_CAPABILITIES 0x400000000d10e17bull
#define PLATFORM_INFO     PLATFORM_CPUID_FAULT
#define BIOS_SIGN         0x100000000ull
#define MC_BANKS          32 /* until the VMM sets up machine checks */

void msr_reset(struct cpu *cpu)
{
	cpu->msr.pat = 0x0007040600070406; /* SDM 3:11.12.4 */
	cpu->msr.misc_enable = MISC_ENABLE_RESET;
	cpu->msr.arch_capabilities = ARCH_CAPABILITIES;
	cpu->msr.platform_info = PLATFORM_INFO;
	cpu->msr.bios_sign = BIOS_SIGN;
	cpu->msr.mcg_cap = MC_BANKS;
	cpu->msr.kvm_poll_control = 1;
	cpu->msr.smbase = SMBASE_RESET;
}

/* INIT keeps registers, but what Linux's KVM would write to guest memory by itself, or was told to send, ends. */
void msr_reset_pv(struct cpu *cpu)
{
	cpu->msr.kvm_system_time = cpu->msr.kvm_steal_time = 0;
	cpu->msr.kvm_async_pf = cpu->msr.kvm_async_pf_int = cpu->msr.kvm_eoi = 0;
}

int engine_feature_msr(u32 index, u64 *ret)
{
	switch (index) {
	case 0x8b: *ret = BIOS_SIGN; return 0;
	case 0xce: *ret = PLATFORM_INFO; return 0;
	case 0x10a: *ret = ARCH_CAPABILITIES; return 0;
	case 0x345: *ret = 0; return 0; /* no performance counters */
	default: return -ENOENT;
	}
}

/* ---- access ---- */

/* The guest's alone: a VMM reads and sets what it will offer later, or never. */
static bool msr_lacking(const struct cpu *cpu, const struct msr_desc *d, bool host)
{
	return unlikely(cpu->lacks & d->lack) && !host;
}

/* What CPUID hides does not exist. But the VMM may save it, as 0, and restore that: it is in the list. */
static bool msr_hidden(const struct cpu *cpu, const struct msr_desc *d)
{
	return d->pv && !(cpu->pv_allowed & d->pv);
}

int msr_get(struct cpu *cpu, u32 index, u64 *ret, bool host)
{
	const struct msr_desc *d = msr_find(index);

	if (!d)
		return -ENOENT;
	if (msr_hidden(cpu, d)) {
		*ret = 0;
		return host ? 0 : -ENOENT;
	}
	if (msr_lacking(cpu, d, host) || (d->flags & MSR_WO))
		return -EINVAL;
	if (d->flags & MSR_OUTER_R)
		return MSR_IS_OUTER;
	if (d->get)
		return d->get(cpu, d, index, ret, host);
	*ret = d->flags & MSR_ZERO ? d->valid : *msr_field(cpu, d, index);
	return 0;
}

int msr_set(struct cpu *cpu, u32 index, u64 value, bool host)
{
	const struct msr_desc *d = msr_find(index);

	if (!d)
		return -ENOENT;
	if (msr_hidden(cpu, d))
		return host && !value ? 0
				      : refuse(&cpu->refusal, -ENOENT,
						"leaf 0x40000001 of CPUID does not offer it");
	if (d->flags & MSR_OUTER_W)
		return MSR_IS_OUTER;
	if (((d->flags & MSR_RO) && !host) || msr_lacking(cpu, d, host))
		return -EINVAL;
	if (d->flags & MSR_ZERO)
		return 0;
	if (d->set)
		return d->set(cpu, d, index, value, host);
	if (value & ~d->valid)
		return msr_refuse_bits(cpu, value & ~d->valid);
	*msr_field(cpu, d, index) = value;
	return 0;
}

/* ---- rdmsr, wrmsr ---- */

static int msr_ask(struct cpu *cpu, u8 reason, u32 index, u64 data, u32 why)
{
	cpu_exit_begin(cpu, reason);
	cpu->exit.msr.index = index;
	cpu->exit.msr.why = why;
	cpu->exit.msr.data = data;
	cpu->exit.msr.error = false;
	return ask_outside(cpu);
}

/* The guest may not, or cannot: #GP, unless the VMM wants to know (KVM_CAP_X86_USER_SPACE_MSR). */
static int msr_refuse(struct cpu *cpu, u8 reason, u32 index, u64 data, u32 why)
{
	return msr_exit_wanted(cpu, why) ? msr_ask(cpu, reason, index, data, why) : cpu_gp0(cpu);
}

int msr_read(struct cpu *cpu, u32 index, u64 *ret)
{
	const struct answer *a = answer_to(cpu, EXIT_RDMSR, index, 8);

	if (a) {
		*ret = a->value;
		return a->error ? cpu_gp0(cpu) : CPU_OK;
	}
	if (!msr_allowed(cpu, index, MSR_FILTER_READ))
		return msr_refuse(cpu, EXIT_RDMSR, index, 0, MSR_WHY_FILTER);
	switch (msr_get(cpu, index, ret, false)) {
	case 0: return CPU_OK;
	case MSR_IS_OUTER: return msr_ask(cpu, EXIT_RDMSR, index, 0, 0);
	case -ENOENT: return msr_refuse(cpu, EXIT_RDMSR, index, 0, MSR_WHY_UNKNOWN);
	default: return msr_refuse(cpu, EXIT_RDMSR, index, 0, MSR_WHY_INVALID);
	}
}

/* The VMM chooses its number, see machine_set_xen(). */
static bool is_xen_msr(const struct cpu *cpu, u32 index)
{
	return index && cpu->machine->xen_msr == index;
}

int msr_write(struct cpu *cpu, u32 index, u64 value)
{
	const struct answer *a = answer_to(cpu, EXIT_WRMSR, index, 8);

	if (a)
		return a->error ? cpu_gp0(cpu) : CPU_OK;
	if (!msr_allowed(cpu, index, MSR_FILTER_WRITE))
		return msr_refuse(cpu, EXIT_WRMSR, index, value, MSR_WHY_FILTER);
	if (unlikely(is_xen_msr(cpu, index)))
		return msr_ask(cpu, EXIT_WRMSR, index, value, 0);
	switch (msr_set(cpu, index, value, false)) {
	case 0: return CPU_OK;
	case MSR_IS_OUTER: return msr_ask(cpu, EXIT_WRMSR, index, value, 0);
	case -ENOENT: return msr_refuse(cpu, EXIT_WRMSR, index, value, MSR_WHY_UNKNOWN);
	default: return msr_refuse(cpu, EXIT_WRMSR, index, value, MSR_WHY_INVALID);
	}
}
