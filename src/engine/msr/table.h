/* SPDX-License-Identifier: MIT */
/*
 * The parts of the MSRs: msr.c is access by the guest and the VMM, table.c what exists, and rules.c what
 * a field and its valid bits cannot say. All is inner code.
 */
#ifndef ENGINE_MSR_TABLE_H
#define ENGINE_MSR_TABLE_H

#include <errno.h>
#include "engine/core/cpu.h"

struct msr_desc;

/* host: the VMM asks, see msr_get() and msr_set(). 0 or -EINVAL. */
typedef int msr_getter(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host);
typedef int msr_setter(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host);

#define MSR_SAVE    BIT(0) /* a VMM should save and restore it */
#define MSR_FEATURE BIT(1) /* describes the host, readable without a vcpu */
#define MSR_RO      BIT(2) /* the guest's write is #GP */
#define MSR_OUTER_R BIT(3)
#define MSR_OUTER_W BIT(4)
#define MSR_ZERO    BIT(5) /* no storage: reads as constant, writes are ignored */
#define MSR_WO      BIT(6) /* a command: it cannot be read */
#define MSR_INIT    BIT(7) /* INIT clears it, too */

/* Who answers what MSR_OUTER_R and MSR_OUTER_W say; the ways to them are in outer.c. */
enum msr_owner { OWNER_CPU, OWNER_CLOCK, OWNER_LAPIC, OWNER_KVM, OWNER_HYPERV, MSR_OWNERS };

struct msr_desc {
	u32 first, last;
	const char *name;
	u32 offset; /* of the first one's u64 in struct cpu */
	u8 flags, owner;
	u32 pv;          /* PV_*: exists only with this feature */
	u32 lack;        /* LACKS_*: to the guest it exists only without */
	u64 reset;       /* value after RESET; for MSR_FEATURE, what the engine offers */
	u64 valid;       /* bits that may be written; for MSR_ZERO, the constant */
	msr_getter *get; /* NULL: the field */
	msr_setter *set; /* NULL: the field, after the check of valid */
};

static inline u64 *msr_field(struct cpu *cpu, const struct msr_desc *d, u32 index)
{
	return (u64 *)((u8 *)cpu + d->offset) + (index - d->first);
}

/* For the VMM may write any number into MCG_CAP, and there is room for so many. */
static inline unsigned msr_mc_banks(const struct cpu *cpu)
{
	const unsigned room = ARRAY_SIZE(cpu->msr.mc_ctl2);

	return MIN((unsigned)(cpu->msr.mcg_cap & 0xff), room);
}

static inline int msr_refuse_bits(struct cpu *cpu, u64 bits)
{
	return refuse(&cpu->refusal, -EINVAL, "the bits 0x%lx are reserved or not offered", bits);
}

/* ---- table.c ---- */

/* NULL: there is none. */
const struct msr_desc *msr_find(u32 index);

/* ---- rules.c ---- */

msr_getter msr_get_tsc, msr_get_apic_base, msr_get_mc_bank, msr_get_mc_ctl2, msr_get_mcg_ctl,
	msr_get_smbase, msr_get_platform_info;
msr_setter msr_set_canonical, msr_set_efer, msr_set_memory_types, msr_set_mtrr_def_type,
	msr_set_mtrr_var, msr_set_mc_bank, msr_set_mc_ctl2, msr_set_mcg_ctl,
	msr_set_feature_control, msr_set_smbase, msr_set_bios_sign, msr_set_platform_info,
	msr_set_misc_features, msr_set_pred_cmd, msr_set_flush_cmd, msr_set_misc_enable,
	msr_set_steal_time, msr_set_hwcr;

/* Memory types of PAT and MTRRs: UC 0, WC 1, WT 4, WP 5, WB 6; UC- 7 in the PAT only. */
#define MTRR_TYPES 0x73
#define PAT_TYPES  0xf3

#define PLATFORM_CPUID_FAULT BIT64(31) /* in PLATFORM_INFO: CPUID faulting exists */

#endif
