/* SPDX-License-Identifier: MIT */
/*
 * MSRs with rules: what may be written beyond the valid bits of the table, what is read when it is not the field,
 * and who else must act (SDM 4; APM 2 appendix A; Linux's KVM documentation for the paravirtual ones).
 */
#include <errno.h>

#include "engine/cpu/segment.h"
#include "engine/cpu/mode.h"
#include "engine/cpu/valid.h"
#include "engine/core/machine.h"
#include "engine/cpuid/cpuid.h"
#include "engine/msr/table.h"
#include "engine/mem/mem.h"
#include "engine/core/vcpu.h"

#define ALL_ONES (~0ull)

int msr_get_tsc(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host)
{
	*ret = cpu_tsc_now(cpu);
	return 0;
}

int msr_get_apic_base(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host)
{
	*ret = cpu_apic_base(cpu);
	return 0;
}

int msr_set_canonical(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (!cpu_canonical(cpu, value))
		return refuse(&cpu->refusal, -EINVAL, "0x%lx is not a canonical address", value);
	*msr_field(cpu, d, index) = value;
	return 0;
}

int msr_set_efer(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	u64 changed, unknown = efer_refused_bits(cpu, value, host ? BY_VMM : BY_GUEST);

	if (unknown)
		return msr_refuse_bits(cpu, unknown);
	if (!valid_lme(cpu, value))
		return refuse(&cpu->refusal, -EINVAL, "LME cannot change while PG is set in cr0");
	value = efer_with_lma(value, cpu->cr0);
	changed = value ^ cpu->efer;
	cpu->efer = value;
	if (changed & EFER_NX)
		tlb_flush_all(cpu);
	if (changed)
		cpu_update_mode(cpu);
	return 0;
}

/* Commands to predictors and caches (SDM 4: 49H, 10BH). There is nothing to do: guest code runs as the host's user does. */
int msr_set_pred_cmd(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	u64 known = cpu->lacks & LACKS_SBPB && !host ? 1 : 0x81;

	return value & ~known ? msr_refuse_bits(cpu, value & ~known) : 0;
}

int msr_set_flush_cmd(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	return value & ~1ull ? msr_refuse_bits(cpu, value & ~1ull) : 0;
}

static bool memory_types_valid(u64 value, u32 allowed)
{
	for (unsigned i = 0; i < 8; i++) {
		u8 type = value >> 8 * i;
		if (type > 7 || !(allowed & BIT(type)))
			return false;
	}
	return true;
}

int msr_set_memory_types(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (!memory_types_valid(value, (u32)d->valid))
		return refuse(
			&cpu->refusal, -EINVAL, "0x%lx: every byte must be a memory type", value);
	*msr_field(cpu, d, index) = value;
	return 0;
}

int msr_set_mtrr_def_type(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if ((value & ~d->valid) || (value & 7) != (value & 0xff) || !(MTRR_TYPES & BIT(value & 7)))
		return refuse(&cpu->refusal, -EINVAL,
			"0x%lx: reserved bits are set, or the type is not a memory type", value);
	cpu->msr.mtrr_def_type = value;
	return 0;
}

int msr_set_mtrr_var(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	bool mask = index & 1;
	u64 address = ~cpu_phys_reserved(cpu) & PAGE_MASK;

	if (value & ~(address | (mask ? 0x800 : 0xff)))
		return msr_refuse_bits(cpu, value & ~(address | (mask ? 0x800 : 0xff)));
	if (!mask && ((value & 0xff) > 7 || !(MTRR_TYPES & BIT(value & 7))))
		return refuse(&cpu->refusal, -EINVAL, "0x%lx is not a memory type", value & 0xff);
	*msr_field(cpu, d, index) = value;
	return 0;
}

/* MC banks: MCi_CTL is all ones or all zeroes, MCi_STATUS is cleared by writing 0 (SDM 3:15.3.2). */
int msr_set_mc_bank(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	unsigned n = index - d->first;

	if (n >= 4 * msr_mc_banks(cpu))
		return refuse(&cpu->refusal, -EINVAL, "this vCPU has only %lu banks",
			(u64)msr_mc_banks(cpu));
	if (n % 4 == 0 && value != 0 && (value | (1ull << 10) | 1) != ALL_ONES)
		return refuse(
			&cpu->refusal, -EINVAL, "a CTL register must be all ones or all zeroes");
	if (!host && n % 4 == 1 && value != 0 && !(cpu->msr.hwcr & BIT64(18)))
		return -EINVAL;
	cpu->msr.mc_banks[n] = value;
	return 0;
}

int msr_get_mc_bank(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host)
{
	if (index - d->first >= 4 * msr_mc_banks(cpu))
		return -EINVAL;
	*ret = cpu->msr.mc_banks[index - d->first];
	return 0;
}

/* MCi_CTL2: exists with MCG_CAP.CMCI_P (SDM 3:15.3.2.5). To the VMM it is 0 without. */
int msr_set_mc_ctl2(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (index - d->first >= msr_mc_banks(cpu))
		return refuse(&cpu->refusal, -EINVAL, "this vCPU has only %lu banks",
			(u64)msr_mc_banks(cpu));
	if (value & ~d->valid)
		return msr_refuse_bits(cpu, value & ~d->valid);
	if (!(cpu->msr.mcg_cap & MCE_CAP_CMCI) && (value || !host))
		return refuse(&cpu->refusal, -EINVAL, "CMCI_P is not set in MCG_CAP");
	cpu->msr.mc_ctl2[index - d->first] = value;
	return 0;
}

int msr_get_mc_ctl2(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host)
{
	if (index - d->first >= msr_mc_banks(cpu))
		return -EINVAL;
	if (!(cpu->msr.mcg_cap & MCE_CAP_CMCI) && !host)
		return -EINVAL;
	*ret = cpu->msr.mc_ctl2[index - d->first];
	return 0;
}

int msr_get_mcg_ctl(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host)
{
	if (!(cpu->msr.mcg_cap & MCE_CAP_CTL) && !host)
		return -EINVAL;
	*ret = cpu->msr.mcg_ctl;
	return 0;
}

int msr_set_mcg_ctl(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (!(cpu->msr.mcg_cap & MCE_CAP_CTL) && (value || !host))
		return refuse(&cpu->refusal, -EINVAL, "MCG_CTL_P is not set in MCG_CAP");
	if (value != 0 && value != ALL_ONES)
		return refuse(&cpu->refusal, -EINVAL, "the value must be all ones or all zeroes");
	cpu->msr.mcg_ctl = value;
	return 0;
}

/* Bits of FEATURE_CONTROL stand once bit 0 has locked them. */
int msr_set_feature_control(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (!host && (value & ~d->valid || cpu->msr.feature_control & 1))
		return -EINVAL;
	cpu->msr.feature_control = value;
	return 0;
}

/* The guest's way to it is the image that RSM loads. */
int msr_get_smbase(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host)
{
	if (!host)
		return -EINVAL;
	*ret = cpu->msr.smbase;
	return 0;
}

int msr_set_smbase(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (!host)
		return -EINVAL;
	cpu->msr.smbase = (u32)value;
	return 0;
}

int msr_set_bios_sign(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (host) /* a guest writes 0 before it asks CPUID for the revision; the revision stays */
		cpu->msr.bios_sign = value;
	return 0;
}

int msr_get_platform_info(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host)
{
	if (!host && machine_option(cpu->machine, OPT_NO_PLATFORM_INFO))
		return -EINVAL;
	*ret = cpu->msr.platform_info;
	return 0;
}

/* What is in use cannot be taken away. */
int msr_set_platform_info(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (!(value & PLATFORM_CPUID_FAULT) && cpu->msr.misc_features)
		return refuse(&cpu->refusal, -EINVAL,
			"bit 31, CPUID faulting, cannot be cleared while it is in use");
	cpu->msr.platform_info = value;
	return 0;
}

int msr_set_misc_features(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (value & ~d->valid)
		return msr_refuse_bits(cpu, value & ~d->valid);
	if (value && !(cpu->msr.platform_info & PLATFORM_CPUID_FAULT))
		return refuse(&cpu->refusal, -EINVAL,
			"PLATFORM_INFO, MSR 0xce, does not offer CPUID faulting");
	cpu->msr.misc_features = value;
	return 0;
}

/* To the guest, BTS and PEBS unavailability are read-only, and writes to performance monitoring are ignored (SDM 4: 1A0H). */
#define MISC_ENABLE_EMON  BIT64(7)
#define MISC_ENABLE_FIXED (BIT64(11) | BIT64(12))

int msr_set_misc_enable(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	u64 old = cpu->msr.misc_enable;

	if (!host) {
		if ((old ^ value) & MISC_ENABLE_FIXED)
			return -EINVAL;
		value = (value & ~MISC_ENABLE_EMON) | (old & MISC_ENABLE_EMON);
	}
	cpu->msr.misc_enable = value;
	return 0;
}

/* The page is found when the vcpu runs next. It is 64 bytes, aligned; bit 0 switches on. */
int msr_set_steal_time(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	const u64 reserved = 0x3e;

	if (value & reserved)
		return msr_refuse_bits(cpu, value & reserved);
	cpu->msr.kvm_steal_time = value;
	if (cpu->vcpu)
		cpu->vcpu->steal.have_last = false; /* another page, another version */
	return 0;
}

#define HWCR_IGNORED (BIT64(3) | BIT64(6) | BIT64(8)) /* TLB cache, flush filter, IGNNE */

int msr_set_hwcr(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	value &= ~HWCR_IGNORED;
	if (value & ~d->valid)
		return msr_refuse_bits(cpu, value & ~d->valid);
	cpu->msr.hwcr = value;
	return 0;
}
