/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers: one table, sorted by number, of what exists, where its value is kept,
 * which bits it may have, and who else must act (SDM 4; APM 2 appendix A; Linux's KVM documentation
 * for the paravirtual ones).
 *
 * Registers of the local APIC and writes to the TSC and the paravirtual clock belong to outer code: the
 * instruction leaves with EXIT_RDMSR or EXIT_WRMSR, why 0, and finds the answer in cpu->replay.
 */
#include <errno.h>

#include "engine/cpu/replay.h"
#include "engine/cpu/segment.h"
#include "engine/feat/feat.h"
#include "engine/cpu/smm.h"
#include "engine/feat/msr_policy.h"
#include "engine/machine.h"

struct msr_desc;
typedef int (*msr_getter)(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host);
typedef int (*msr_setter)(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host);

#define MSR_SAVE    BIT(0) /* a VMM should save and restore it */
#define MSR_FEATURE BIT(1) /* describes the host, readable without a vcpu */
#define MSR_RO      BIT(2) /* the guest's write is #GP */
#define MSR_OUTER_R BIT(3)
#define MSR_OUTER_W BIT(4)
#define MSR_ZERO    BIT(5) /* no storage: reads as constant, writes are ignored */

struct msr_desc {
	u32 first, last;
	const char *name;
	u16 offset; /* of the first one's u64 in struct cpu */
	u8 flags;
	u32 pv;         /* PV_*: exists only with this feature */
	u64 valid;      /* bits that may be written; for MSR_ZERO, the constant */
	msr_getter get; /* NULL: the field */
	msr_setter set; /* NULL: the field, after the check of valid */
};

#define AT(member)     offsetof(struct cpu, member)
#define MSR_AT(member) offsetof(struct cpu, msr.member)
#define ANY            (~0ull)

static u64 *msr_field(struct cpu *cpu, const struct msr_desc *d, u32 index)
{
	return (u64 *)((u8 *)cpu + d->offset) + (index - d->first);
}

/* ---- registers with rules ---- */

static u64 host_tsc_now(void)
{
	return __builtin_ia32_rdtsc();
}

static int get_tsc(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host)
{
	*ret = host_tsc_now() + (u64)cpu->tsc_offset;
	return 0;
}

static int set_canonical(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (!cpu_canonical(cpu, value))
		return -EINVAL;
	*msr_field(cpu, d, index) = value;
	return 0;
}

static int set_efer(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	u64 changed;

	if (value & ~d->valid)
		return -EINVAL;
	/* LMA follows LME and CR0.PG; the bit written is ignored */
	value = (value & ~EFER_LMA) | (cpu->efer & EFER_LMA);
	changed = value ^ cpu->efer;
	if ((changed & EFER_LME) && (cpu->cr0 & CR0_PG))
		return -EINVAL;
	cpu->efer = value;
	if ((changed & EFER_NX) && host)
		cpu_request(cpu, REQ_FLUSH); /* when inside */
	else if (changed & EFER_NX)
		tlb_flush_all(cpu);
	if (changed)
		cpu_update_mode(cpu);
	return 0;
}

/* Memory types of PAT and MTRRs: UC 0, WC 1, WT 4, WP 5, WB 6; UC- 7 in the PAT only. */
static bool memory_types_valid(u64 value, u32 allowed)
{
	for (unsigned i = 0; i < 8; i++) {
		u8 type = value >> 8 * i;
		if (type > 7 || !(allowed & BIT(type)))
			return false;
	}
	return true;
}
#define MTRR_TYPES 0x73
#define PAT_TYPES  0xf3

static int set_memory_types(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (!memory_types_valid(value, (u32)d->valid))
		return -EINVAL;
	*msr_field(cpu, d, index) = value;
	return 0;
}

static int set_mtrr_def_type(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if ((value & ~d->valid) || (value & 7) != (value & 0xff) || !(MTRR_TYPES & BIT(value & 7)))
		return -EINVAL;
	cpu->msr.mtrr_def_type = value;
	return 0;
}

static int set_mtrr_var(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	bool mask = index & 1;
	u64 address = ((1ull << cpu->phys_bits) - 1) & PAGE_MASK;

	if (value & ~(address | (mask ? 0x800 : 0xff)))
		return -EINVAL;
	if (!mask && ((value & 0xff) > 7 || !(MTRR_TYPES & BIT(value & 7))))
		return -EINVAL;
	*msr_field(cpu, d, index) = value;
	return 0;
}

/* MC banks: MCi_CTL is all ones or all zeroes, MCi_STATUS is cleared by writing 0 (SDM 3:15.3.2). */
static int set_mc_bank(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	unsigned n = index - d->first;

	if (n >= 4 * (cpu->msr.mcg_cap & 0xff))
		return -EINVAL;
	if (n % 4 == 0 && value != 0 && (value | (1ull << 10) | 1) != ANY)
		return -EINVAL;
	if (!host && n % 4 == 1 && value != 0 && !(cpu->msr.hwcr & BIT64(18)))
		return -EINVAL;
	cpu->msr.mc_banks[n] = value;
	return 0;
}

static int get_mc_bank(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host)
{
	if (index - d->first >= 4 * (cpu->msr.mcg_cap & 0xff))
		return -EINVAL;
	*ret = cpu->msr.mc_banks[index - d->first];
	return 0;
}

/* MCi_CTL2: exists with MCG_CAP.CMCI_P (SDM 3:15.3.2.5). To the VMM it is 0 without. */
static int set_mc_ctl2(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (index - d->first >= (cpu->msr.mcg_cap & 0xff) || value & ~d->valid)
		return -EINVAL;
	if (!(cpu->msr.mcg_cap & MCE_CAP_CMCI) && (value || !host))
		return -EINVAL;
	cpu->msr.mc_ctl2[index - d->first] = value;
	return 0;
}

static int get_mc_ctl2(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host)
{
	if (index - d->first >= (cpu->msr.mcg_cap & 0xff))
		return -EINVAL;
	if (!(cpu->msr.mcg_cap & MCE_CAP_CMCI) && !host)
		return -EINVAL;
	*ret = cpu->msr.mc_ctl2[index - d->first];
	return 0;
}

static int get_mcg_ctl(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host)
{
	if (!(cpu->msr.mcg_cap & MCE_CAP_CTL) && !host)
		return -EINVAL;
	*ret = cpu->msr.mcg_ctl;
	return 0;
}

static int set_mcg_ctl(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (!(cpu->msr.mcg_cap & MCE_CAP_CTL) && (value || !host))
		return -EINVAL;
	if (value != 0 && value != ANY)
		return -EINVAL;
	cpu->msr.mcg_ctl = value;
	return 0;
}

/* Bits of FEATURE_CONTROL stand once bit 0 has locked them. */
static int set_feature_control(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (!host && (value & ~d->valid || cpu->msr.feature_control & 1))
		return -EINVAL;
	cpu->msr.feature_control = value;
	return 0;
}

/* The guest's way to it is the image that RSM loads. */
static int get_smbase(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host)
{
	if (!host)
		return -EINVAL;
	*ret = cpu->msr.smbase;
	return 0;
}

static int set_smbase(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (!host)
		return -EINVAL;
	cpu->msr.smbase = (u32)value;
	return 0;
}

static int set_bios_sign(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (host) /* a guest writes 0 before it asks CPUID for the revision; the revision stays */
		cpu->msr.bios_sign = value;
	return 0;
}

#define PLATFORM_CPUID_FAULT BIT64(31) /* CPUID faulting exists */
#define CPUID_FAULT_ENABLE   1ull

static int get_platform_info(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 *ret, bool host)
{
	if (!host && cpu->machine && machine_option(cpu->machine, OPT_NO_PLATFORM_INFO))
		return -EINVAL;
	*ret = cpu->msr.platform_info;
	return 0;
}

/* What is in use cannot be taken away. */
static int set_platform_info(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (!(value & PLATFORM_CPUID_FAULT) && cpu->msr.misc_features)
		return -EINVAL;
	cpu->msr.platform_info = value;
	return 0;
}

static int set_misc_features(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	if (value & ~d->valid)
		return -EINVAL;
	if (value && !(cpu->msr.platform_info & PLATFORM_CPUID_FAULT))
		return -EINVAL;
	cpu->msr.misc_features = value;
	return 0;
}

/* To the guest, BTS and PEBS unavailability are read-only, and writes to performance monitoring are ignored (SDM 4: 1A0H). */
#define MISC_ENABLE_EMON  BIT64(7)
#define MISC_ENABLE_FIXED (BIT64(11) | BIT64(12))

static int set_misc_enable(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
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
static int set_steal_time(
	struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	const u64 reserved = 0x3e;

	if (value & reserved)
		return -EINVAL;
	cpu->msr.kvm_steal_time = value;
	if (cpu->vcpu)
		cpu->vcpu->steal.have_last = false; /* another page, another version */
	return 0;
}

#define HWCR_BITS    (BIT64(18) | BIT64(24))          /* McStatusWrEn, TscFreqSel */
#define HWCR_IGNORED (BIT64(3) | BIT64(6) | BIT64(8)) /* TLB cache, flush filter, IGNNE */

static int set_hwcr(struct cpu *cpu, const struct msr_desc *d, u32 index, u64 value, bool host)
{
	value &= ~HWCR_IGNORED;
	if (value & ~d->valid)
		return -EINVAL;
	cpu->msr.hwcr = value;
	return 0;
}

/* ---- the table ---- */

#define SPEC_CTRL_BITS    0x7ull                             /* IBRS STIBP SSBD */
#define MISC_ENABLE_RESET (BIT64(0) | BIT64(11) | BIT64(12)) /* fast strings; no BTS, no PEBS */
/*
 * RDCL_NO IBRS_ALL SKIP_L1DFL_VMENTRY SSB_NO MDS_NO PSCHANGE_MC_NO TAA_NO SBDR_SSDP_NO FBSDP_NO PSDP_NO
 * BHI_NO PBRSB_NO GDS_NO RFDS_NO. All guest code runs at the host's CPL 3 and is translated: the
 * guest's work-arounds against speculation (retpolines, buffer clearing, separate page tables) would
 * cost much and hold nothing apart.
 */
#define ARCH_CAPABILITIES 0xd10e17bull
#define PLATFORM_INFO     PLATFORM_CPUID_FAULT
#define BIOS_SIGN         0x100000000ull
#define MC_BANKS          32       /* until the VMM sets up machine checks */
#define MTRR_CAP          0x508ull /* 8 variable ranges, fixed ranges, WC */

#define FIELD(n, nm, at, fl, bits)                                                                 \
	{                                                                                          \
		.first = n, .last = n, .name = nm, .offset = at, .flags = fl, .valid = bits        \
	}
#define RULED(n, nm, at, fl, bits, getter, setter)                                                 \
	{                                                                                          \
		.first = n, .last = n, .name = nm, .offset = at, .flags = fl, .valid = bits,       \
		.get = getter, .set = setter                                                       \
	}
#define RANGE(n, m, nm, at, fl, bits, getter, setter)                                              \
	{                                                                                          \
		.first = n, .last = m, .name = nm, .offset = at, .flags = fl, .valid = bits,       \
		.get = getter, .set = setter                                                       \
	}
/* One of KVM's own, which CPUID can hide. */
#define PV(n, nm, feature, at, fl, bits, setter)                                                   \
	{                                                                                          \
		.first = n, .last = n, .name = nm, .offset = at, .flags = fl, .pv = feature,       \
		.valid = bits, .set = setter                                                       \
	}
#define CONST(n, m, nm, value)                                                                     \
	{                                                                                          \
		.first = n, .last = m, .name = nm, .flags = MSR_ZERO, .valid = value               \
	}

/* hv/msr.c knows more. */
#define HV(n, m, nm, fl) RANGE(n, m, nm, 0, (fl) | MSR_OUTER_R | MSR_OUTER_W, ANY, NULL, NULL)

static const struct msr_desc table[] = {
	CONST(0x0, 0x1, "P5_MC_ADDR, P5_MC_TYPE", 0),
	RULED(0x10, "TSC", 0, MSR_SAVE | MSR_OUTER_W, ANY, get_tsc, NULL),
	PV(0x11, "KVM_WALL_CLOCK", PV_CLOCK, MSR_AT(kvm_wall_clock), MSR_SAVE | MSR_OUTER_W, ANY,
		NULL),
	PV(0x12, "KVM_SYSTEM_TIME", PV_CLOCK, MSR_AT(kvm_system_time), MSR_SAVE | MSR_OUTER_W, ANY,
		NULL),
	CONST(0x17, 0x17, "PLATFORM_ID", 0),
	FIELD(0x1b, "APIC_BASE", AT(apic_base), MSR_OUTER_W, ANY),
	CONST(0x2a, 0x2a, "EBL_CR_POWERON", 0),
	RULED(0x34, "SMI_COUNT", MSR_AT(smi_count), MSR_SAVE | MSR_RO, ANY, NULL, NULL),
	RULED(0x3a, "FEATURE_CONTROL", MSR_AT(feature_control), MSR_SAVE, 0x100001, NULL,
		set_feature_control),
	FIELD(0x3b, "TSC_ADJUST", MSR_AT(tsc_adjust), MSR_SAVE | MSR_OUTER_W, ANY),
	FIELD(0x48, "SPEC_CTRL", MSR_AT(spec_ctrl), MSR_SAVE, SPEC_CTRL_BITS),
	CONST(0x49, 0x49, "PRED_CMD", 0),
	CONST(0x79, 0x79, "BIOS_UPDT_TRIG", 0),
	RULED(0x8b, "BIOS_SIGN_ID", MSR_AT(bios_sign), MSR_SAVE | MSR_FEATURE, ANY, NULL,
		set_bios_sign),
	RULED(0x9e, "SMBASE", MSR_AT(smbase), MSR_SAVE, 0xffffffff, get_smbase, set_smbase),
	CONST(0xc1, 0xc2, "PMC0, PMC1", 0),
	CONST(0xcd, 0xcd, "FSB_FREQ", 3),
	RULED(0xce, "PLATFORM_INFO", MSR_AT(platform_info), MSR_SAVE | MSR_FEATURE | MSR_RO, ANY,
		get_platform_info, set_platform_info),
	CONST(0xfe, 0xfe, "MTRRCAP", MTRR_CAP),
	FIELD(0x10a, "ARCH_CAPABILITIES", MSR_AT(arch_capabilities),
		MSR_SAVE | MSR_FEATURE | MSR_RO, ANY),
	CONST(0x10b, 0x10b, "FLUSH_CMD", 0),
	CONST(0x11e, 0x11e, "BBL_CR_CTL3", 0xbe702111),
	RULED(0x140, "MISC_FEATURES_ENABLES", MSR_AT(misc_features), MSR_SAVE, CPUID_FAULT_ENABLE,
		NULL, set_misc_features),
	FIELD(0x174, "SYSENTER_CS", MSR_AT(sysenter_cs), MSR_SAVE, ANY),
	RULED(0x175, "SYSENTER_ESP", MSR_AT(sysenter_esp), MSR_SAVE, ANY, NULL, set_canonical),
	RULED(0x176, "SYSENTER_EIP", MSR_AT(sysenter_eip), MSR_SAVE, ANY, NULL, set_canonical),
	FIELD(0x179, "MCG_CAP", MSR_AT(mcg_cap), MSR_RO, ANY),
	FIELD(0x17a, "MCG_STATUS", MSR_AT(mcg_status), MSR_SAVE, ANY),
	RULED(0x17b, "MCG_CTL", MSR_AT(mcg_ctl), MSR_SAVE, ANY, get_mcg_ctl, set_mcg_ctl),
	CONST(0x186, 0x187, "PERFEVTSEL0, 1", 0),
	CONST(0x198, 0x199, "PERF_STATUS, PERF_CTL", 0),
	CONST(0x19a, 0x19c, "CLOCK_MODULATION, THERM_INTERRUPT, THERM_STATUS", 0),
	RULED(0x1a0, "MISC_ENABLE", MSR_AT(misc_enable), MSR_SAVE, ANY, NULL, set_misc_enable),
	FIELD(0x1d9, "DEBUGCTL", MSR_AT(debugctl), MSR_SAVE, 3),
	CONST(0x1db, 0x1de, "LASTBRANCH, LASTINT", 0),
	FIELD(0x1fc, "POWER_CTL", MSR_AT(power_ctl), MSR_SAVE, ANY),
	RANGE(0x200, 0x20f, "MTRR_PHYS", MSR_AT(mtrr_var), MSR_SAVE, ANY, NULL, set_mtrr_var),
	RULED(0x250, "MTRR_FIX64K", MSR_AT(mtrr_fixed[0]), MSR_SAVE, MTRR_TYPES, NULL,
		set_memory_types),
	RANGE(0x258, 0x259, "MTRR_FIX16K", MSR_AT(mtrr_fixed[1]), MSR_SAVE, MTRR_TYPES, NULL,
		set_memory_types),
	RANGE(0x268, 0x26f, "MTRR_FIX4K", MSR_AT(mtrr_fixed[3]), MSR_SAVE, MTRR_TYPES, NULL,
		set_memory_types),
	RULED(0x277, "PAT", MSR_AT(pat), MSR_SAVE, PAT_TYPES, NULL, set_memory_types),
	RANGE(0x280, 0x29f, "MC_CTL2", 0, 0, MC_CTL2_CMCI_ENABLE | 0x7fff, get_mc_ctl2,
		set_mc_ctl2),
	RULED(0x2ff, "MTRR_DEF_TYPE", MSR_AT(mtrr_def_type), MSR_SAVE, 0xcff, NULL,
		set_mtrr_def_type),
	{.first = 0x345,
		.last = 0x345,
		.name = "PERF_CAPABILITIES",
		.flags = MSR_ZERO | MSR_FEATURE,
		.valid = 0},
	RANGE(0x400, 0x47f, "MC_BANKS", 0, 0, ANY, get_mc_bank, set_mc_bank),
	CONST(0x606, 0x606, "RAPL_POWER_UNIT", 0),
	CONST(0x611, 0x611, "PKG_ENERGY_STATUS", 0),
	CONST(0x619, 0x619, "DRAM_ENERGY_STATUS", 0),
	CONST(0x639, 0x639, "PP0_ENERGY_STATUS", 0),
	CONST(0x641, 0x641, "PP1_ENERGY_STATUS", 0),
	FIELD(0x6e0, "TSC_DEADLINE", MSR_AT(tsc_deadline), MSR_SAVE | MSR_OUTER_R | MSR_OUTER_W,
		ANY),
	RANGE(0x800, 0x8ff, "X2APIC", 0, MSR_OUTER_R | MSR_OUTER_W, ANY, NULL, NULL),
	FIELD(0xda0, "XSS", MSR_AT(xss), MSR_SAVE, 0), /* no supervisor component is offered */
	HV(0x40000000, 0x40000003, "HV_GUEST_OS_ID, HYPERCALL, VP_INDEX, RESET", MSR_SAVE),
	HV(0x40000010, 0x40000010, "HV_VP_RUNTIME", MSR_SAVE),
	HV(0x40000020, 0x40000023, "HV_TIME_REF_COUNT, REFERENCE_TSC, frequencies", MSR_SAVE),
	HV(0x40000070, 0x40000072, "HV_EOI, ICR, TPR", 0),
	HV(0x40000073, 0x40000073, "HV_VP_ASSIST_PAGE", MSR_SAVE),
	HV(0x40000080, 0x40000080, "HV_SCONTROL", MSR_SAVE),
	HV(0x40000081, 0x4000009f, "HV_SVERSION to SINT15", 0),
	HV(0x400000b0, 0x400000b0, "HV_STIMER0_CONFIG", MSR_SAVE),
	HV(0x400000b1, 0x400000b7, "HV_STIMER", 0),
	HV(0x400000f1, 0x400000f5, "HV_SYNDBG", MSR_SAVE),
	HV(0x400000ff, 0x400000ff, "HV_SYNDBG_OPTIONS", MSR_SAVE),
	HV(0x40000100, 0x40000105, "HV_CRASH", MSR_SAVE),
	HV(0x40000106, 0x40000108, "HV_REENLIGHTENMENT, TSC_EMULATION", MSR_SAVE),
	HV(0x40000118, 0x40000118, "HV_TSC_INVARIANT_CONTROL", MSR_SAVE),
	PV(0x4b564d00, "KVM_WALL_CLOCK_NEW", PV_CLOCK2, MSR_AT(kvm_wall_clock),
		MSR_SAVE | MSR_OUTER_W, ANY, NULL),
	PV(0x4b564d01, "KVM_SYSTEM_TIME_NEW", PV_CLOCK2, MSR_AT(kvm_system_time),
		MSR_SAVE | MSR_OUTER_W, ANY, NULL),
	PV(0x4b564d02, "KVM_ASYNC_PF_EN", PV_ASYNC_PF, MSR_AT(kvm_async_pf), 0, 0, NULL),
	PV(0x4b564d03, "KVM_STEAL_TIME", PV_STEAL_TIME, MSR_AT(kvm_steal_time), MSR_SAVE, 0,
		set_steal_time),
	PV(0x4b564d04, "KVM_PV_EOI_EN", PV_EOI, MSR_AT(kvm_eoi), 0, 0, NULL),
	PV(0x4b564d05, "KVM_POLL_CONTROL", PV_POLL_CONTROL, MSR_AT(kvm_poll_control), MSR_SAVE, 1,
		NULL),
	PV(0x4b564d06, "KVM_ASYNC_PF_INT", PV_ASYNC_PF_INT, MSR_AT(kvm_async_pf_int), 0, 0, NULL),
	PV(0x4b564d07, "KVM_ASYNC_PF_ACK", PV_ASYNC_PF_INT, 0, MSR_ZERO, 0, NULL),
	RULED(0xc0000080, "EFER", AT(efer), MSR_SAVE, EFER_OFFERED, NULL, set_efer),
	FIELD(0xc0000081, "STAR", MSR_AT(star), MSR_SAVE, ANY),
	RULED(0xc0000082, "LSTAR", MSR_AT(lstar), MSR_SAVE, ANY, NULL, set_canonical),
	RULED(0xc0000083, "CSTAR", MSR_AT(cstar), MSR_SAVE, ANY, NULL, set_canonical),
	FIELD(0xc0000084, "SFMASK", MSR_AT(sfmask), MSR_SAVE, 0xffffffff),
	RULED(0xc0000100, "FS_BASE", AT(seg[SEG_FS].base), 0, ANY, NULL, set_canonical),
	RULED(0xc0000101, "GS_BASE", AT(seg[SEG_GS].base), 0, ANY, NULL, set_canonical),
	RULED(0xc0000102, "KERNEL_GS_BASE", MSR_AT(kernel_gs_base), MSR_SAVE, ANY, NULL,
		set_canonical),
	FIELD(0xc0000103, "TSC_AUX", MSR_AT(tsc_aux), MSR_SAVE, 0xffffffff),
	CONST(0xc0010000, 0xc0010007, "K7_EVNTSEL, K7_PERFCTR", 0),
	CONST(0xc0010010, 0xc0010010, "SYSCFG", 0),
	RULED(0xc0010015, "HWCR", MSR_AT(hwcr), MSR_SAVE, HWCR_BITS, NULL, set_hwcr),
	CONST(0xc001001a, 0xc001001a, "TOP_MEM", 0),
	CONST(0xc001001d, 0xc001001d, "TOP_MEM2", 0),
	CONST(0xc001001f, 0xc0010020, "NB_CFG, PATCH_LOADER", 0),
	CONST(0xc0010055, 0xc0010055, "INT_PENDING_MSG", 0),
	CONST(0xc0010058, 0xc0010058, "MMIO_CONF_BASE", 0),
	CONST(0xc0010112, 0xc0010113, "SMM_ADDR, SMM_MASK", 0),
	CONST(0xc0010114, 0xc0010114, "VM_CR", 0x18), /* SVM is disabled and locked */
	CONST(0xc0010140, 0xc0010141, "OSVW", 0),
	CONST(0xc0011020, 0xc0011023, "LS_CFG, IC_CFG, DC_CFG, BU_CFG", 0),
	CONST(0xc0011029, 0xc0011029, "DE_CFG", 2), /* lfence serialises: the host's does */
	CONST(0xc001102a, 0xc001102a, "BU_CFG2", 0),
};

static const struct msr_desc *msr_find(u32 index)
{
	unsigned low = 0, high = ARRAY_SIZE(table);

	while (low < high) {
		unsigned mid = (low + high) / 2;
		if (index > table[mid].last)
			low = mid + 1;
		else if (index < table[mid].first)
			high = mid;
		else
			return &table[mid];
	}
	return NULL;
}

/* ---- access ---- */

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
		return host && !value ? 0 : -ENOENT;
	if (d->flags & MSR_OUTER_W)
		return MSR_IS_OUTER;
	if ((d->flags & MSR_RO) && !host)
		return -EINVAL;
	if (d->flags & MSR_ZERO)
		return 0;
	if (d->set)
		return d->set(cpu, d, index, value, host);
	if (value & ~d->valid)
		return -EINVAL;
	*msr_field(cpu, d, index) = value;
	return 0;
}

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

/* ---- rdmsr, wrmsr ---- */

static int msr_ask(struct cpu *cpu, u8 reason, u32 index, u64 data, u32 why)
{
	cpu->exit.msr.index = index;
	cpu->exit.msr.why = why;
	cpu->exit.msr.data = data;
	cpu->exit.msr.error = false;
	return replay_ask(cpu, reason);
}

/* The guest may not, or cannot: #GP, unless the VMM wants to know (KVM_CAP_X86_USER_SPACE_MSR). */
static int msr_refuse(struct cpu *cpu, u8 reason, u32 index, u64 data, u32 why)
{
	return msr_exit_wanted(cpu, why) ? msr_ask(cpu, reason, index, data, why) : cpu_gp0(cpu);
}

int msr_read(struct cpu *cpu, u32 index, u64 *ret)
{
	const struct answer *a = replay_answer(cpu, EXIT_RDMSR, index, 8);

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
	return index && cpu->machine && cpu->machine->xen_msr == index;
}

int msr_write(struct cpu *cpu, u32 index, u64 value)
{
	const struct answer *a = replay_answer(cpu, EXIT_WRMSR, index, 8);

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

/* ---- lists ---- */

static unsigned msr_list(u8 flag, u32 *ret, unsigned n)
{
	unsigned count = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		if (!(table[i].flags & flag))
			continue;
		for (u32 index = table[i].first; index <= table[i].last; index++, count++)
			if (count < n)
				ret[count] = index;
	}
	return count;
}

unsigned engine_msr_list(u32 *ret, unsigned n)
{
	return msr_list(MSR_SAVE, ret, n);
}

unsigned engine_feature_msr_list(u32 *ret, unsigned n)
{
	return msr_list(MSR_FEATURE, ret, n);
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
