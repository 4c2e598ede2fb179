/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers: one table, sorted by number, of what exists, where its value is kept,
 * which bits it may have, who owns it, who lists it and what CPUID must offer (SDM 4; APM 2 appendix A; Linux's KVM documentation
 * for the paravirtual ones).
 */

#include "engine/cpu/smm.h"
#include "engine/cpuid/cpuid.h"
#include "engine/engine.h"
#include "engine/msr/msr.h"
#include "engine/msr/table.h"
#include "x86/hyperv.h"
#include "x86/kvm_guest.h"
#include "x86/msr.h"
#include "x86/regs.h"

#define AT(member)     offsetof(struct cpu, member)
#define MSR_AT(member) offsetof(struct cpu, msr.member)
#define ANY            (~0ull)

#define SPEC_CTRL_BITS     0x407ull /* IBRS STIBP SSBD BHI_DIS_S */
#define CPUID_FAULT_ENABLE 1ull
#define HWCR_BITS          (BIT64(18) | BIT64(24)) /* McStatusWrEn, TscFreqSel */
#define MTRR_CAP           0x508ull                /* 8 variable ranges, fixed ranges, WC */

/* ---- values after RESET ---- */

#define PAT_RESET         0x0007040600070406ull              /* SDM 3:11.12.4 */
#define MISC_ENABLE_RESET (BIT64(0) | BIT64(11) | BIT64(12)) /* fast strings; no BTS, no PEBS */
/*
 * RDCL_NO IBRS_ALL SKIP_L1DFL_VMENTRY SSB_NO MDS_NO PSCHANGE_MC_NO TAA_NO SBDR_SSDP_NO FBSDP_NO PSDP_NO
 * BHI_NO PBRSB_NO GDS_NO RFDS_NO ITS_NO. All guest code runs at the host's CPL 3 and is translated: the
 * guest's work-arounds against speculation (retpolines, buffer clearing, separate page tables) would
 * cost much and hold nothing apart.
 */
#define ARCH_CAPABILITIES 0x400000000d10e17bull
#define BIOS_SIGN         0x100000000ull
#define MC_BANKS          32 /* until the VMM sets up machine checks */

/* ---- rows ---- */

#define ROW(n, m, nm, ...)                                                                         \
	{                                                                                          \
		.first = n, .last = m, .name = nm, __VA_ARGS__                                     \
	}

#define RANGE(n, m, nm, at, fl, bits, getter, setter)                                              \
	ROW(n, m, nm, .offset = at, .flags = fl, .valid = bits, .get = getter, .set = setter)
#define RULED(n, nm, at, fl, bits, getter, setter) RANGE(n, n, nm, at, fl, bits, getter, setter)
#define FIELD(n, nm, at, fl, bits)                 RULED(n, nm, at, fl, bits, NULL, NULL)
/* One of KVM's own, which CPUID can hide. */
#define PV(n, nm, feature, at, fl, bits, setter)                                                   \
	ROW(n, n, nm, .offset = at, .flags = fl, .pv = feature, .valid = bits, .set = setter)
/* One that the guest's CPUID must offer. */
#define OFFERED(n, nm, lck, at, fl, bits, setter)                                                  \
	ROW(n, n, nm, .offset = at, .flags = fl, .lack = lck, .valid = bits, .set = setter)
#define CONST(n, m, nm, value) ROW(n, m, nm, .flags = MSR_ZERO, .valid = value)
/* One that does not begin as 0. */
#define BEGINS(n, nm, value, at, fl, bits, getter, setter)                                         \
	ROW(n, n, nm, .reset = value, .offset = at, .flags = fl, .valid = bits, .get = getter,     \
		.set = setter)
/* Those of other owners. */
#define CLOCK(n, nm, at, getter)                                                                   \
	ROW(n, n, nm, .owner = OWNER_CLOCK, .offset = at, .flags = MSR_SAVE | MSR_OUTER_W,         \
		.valid = ANY, .get = getter)
#define LAPIC(n, m, nm, fl, getter)                                                                \
	ROW(n, m, nm, .owner = OWNER_LAPIC, .flags = fl, .valid = ANY, .get = getter)
#define PV_PAGE(n, nm, feature, at, fl)                                                            \
	ROW(n, n, nm, .owner = OWNER_KVM, .offset = at, .flags = MSR_SAVE | MSR_OUTER_W | (fl),    \
		.pv = feature, .valid = ANY)
#define HV(n, m, nm, lists, word, feature, getter, setter)                                         \
	ROW(n, m, nm, .owner = OWNER_HYPERV, .flags = (lists) | MSR_OUTER_R | MSR_OUTER_W,         \
		.valid = ANY),

static const struct msr_desc table[] = {
	CONST(0x0, 0x1, "P5_MC_ADDR, P5_MC_TYPE", 0),
	CLOCK(MSR_TSC, "TSC", 0, msr_get_tsc),
	PV_PAGE(MSR_KVM_WALL_CLOCK, "KVM_WALL_CLOCK", PV_CLOCK, MSR_AT(kvm_wall_clock), 0),
	PV_PAGE(MSR_KVM_SYSTEM_TIME, "KVM_SYSTEM_TIME", PV_CLOCK, MSR_AT(kvm_system_time),
		MSR_INIT),
	CONST(0x17, 0x17, "PLATFORM_ID", 0),
	LAPIC(MSR_APIC_BASE, MSR_APIC_BASE, "APIC_BASE", MSR_OUTER_W, msr_get_apic_base),
	CONST(0x2a, 0x2a, "EBL_CR_POWERON", 0),
	RULED(0x34, "SMI_COUNT", MSR_AT(smi_count), MSR_SAVE | MSR_RO, ANY, NULL, NULL),
	RULED(0x3a, "FEATURE_CONTROL", MSR_AT(feature_control), MSR_SAVE, 0x100001, NULL,
		msr_set_feature_control),
	CLOCK(MSR_TSC_ADJUST, "TSC_ADJUST", MSR_AT(tsc_adjust), NULL),
	OFFERED(0x48, "SPEC_CTRL", LACKS_SPEC_CTRL, MSR_AT(spec_ctrl), MSR_SAVE, SPEC_CTRL_BITS,
		NULL),
	OFFERED(0x49, "PRED_CMD", LACKS_PRED_CMD, 0, MSR_WO, 0, msr_set_pred_cmd),
	CONST(0x79, 0x79, "BIOS_UPDT_TRIG", 0),
	BEGINS(0x8b, "BIOS_SIGN_ID", BIOS_SIGN, MSR_AT(bios_sign), MSR_SAVE | MSR_FEATURE, ANY,
		NULL, msr_set_bios_sign),
	BEGINS(0x9e, "SMBASE", SMBASE_RESET, MSR_AT(smbase), MSR_SAVE, 0xffffffff, msr_get_smbase,
		msr_set_smbase),
	CONST(0xc1, 0xc2, "PMC0, PMC1", 0),
	CONST(0xcd, 0xcd, "FSB_FREQ", 3),
	BEGINS(0xce, "PLATFORM_INFO", PLATFORM_CPUID_FAULT, MSR_AT(platform_info),
		MSR_SAVE | MSR_FEATURE | MSR_RO, ANY, msr_get_platform_info, msr_set_platform_info),
	CONST(0xfe, 0xfe, "MTRRCAP", MTRR_CAP),
	ROW(0x10a, 0x10a, "ARCH_CAPABILITIES", .reset = ARCH_CAPABILITIES,
		.lack = LACKS_ARCH_CAPABILITIES, .offset = MSR_AT(arch_capabilities),
		.flags = MSR_SAVE | MSR_FEATURE | MSR_RO, .valid = ANY),
	OFFERED(0x10b, "FLUSH_CMD", LACKS_FLUSH_CMD, 0, MSR_WO, 0, msr_set_flush_cmd),
	CONST(0x11e, 0x11e, "BBL_CR_CTL3", 0xbe702111),
	RULED(0x140, "MISC_FEATURES_ENABLES", MSR_AT(misc_features), MSR_SAVE, CPUID_FAULT_ENABLE,
		NULL, msr_set_misc_features),
	FIELD(0x174, "SYSENTER_CS", MSR_AT(sysenter_cs), MSR_SAVE, ANY),
	RULED(0x175, "SYSENTER_ESP", MSR_AT(sysenter_esp), MSR_SAVE, ANY, NULL, msr_set_canonical),
	RULED(0x176, "SYSENTER_EIP", MSR_AT(sysenter_eip), MSR_SAVE, ANY, NULL, msr_set_canonical),
	BEGINS(0x179, "MCG_CAP", MC_BANKS, MSR_AT(mcg_cap), MSR_RO, ANY, NULL, NULL),
	FIELD(0x17a, "MCG_STATUS", MSR_AT(mcg_status), MSR_SAVE, ANY),
	RULED(0x17b, "MCG_CTL", MSR_AT(mcg_ctl), MSR_SAVE, ANY, msr_get_mcg_ctl, msr_set_mcg_ctl),
	CONST(0x186, 0x187, "PERFEVTSEL0, 1", 0),
	CONST(0x198, 0x199, "PERF_STATUS, PERF_CTL", 0),
	CONST(0x19a, 0x19c, "CLOCK_MODULATION, THERM_INTERRUPT, THERM_STATUS", 0),
	BEGINS(0x1a0, "MISC_ENABLE", MISC_ENABLE_RESET, MSR_AT(misc_enable), MSR_SAVE, ANY, NULL,
		msr_set_misc_enable),
	FIELD(0x1d9, "DEBUGCTL", MSR_AT(debugctl), MSR_SAVE, 3),
	CONST(0x1db, 0x1de, "LASTBRANCH, LASTINT", 0),
	FIELD(0x1fc, "POWER_CTL", MSR_AT(power_ctl), MSR_SAVE, ANY),
	RANGE(0x200, 0x20f, "MTRR_PHYS", MSR_AT(mtrr_var), MSR_SAVE, ANY, NULL, msr_set_mtrr_var),
	RULED(0x250, "MTRR_FIX64K", MSR_AT(mtrr_fixed[0]), MSR_SAVE, MTRR_TYPES, NULL,
		msr_set_memory_types),
	RANGE(0x258, 0x259, "MTRR_FIX16K", MSR_AT(mtrr_fixed[1]), MSR_SAVE, MTRR_TYPES, NULL,
		msr_set_memory_types),
	RANGE(0x268, 0x26f, "MTRR_FIX4K", MSR_AT(mtrr_fixed[3]), MSR_SAVE, MTRR_TYPES, NULL,
		msr_set_memory_types),
	BEGINS(0x277, "PAT", PAT_RESET, MSR_AT(pat), MSR_SAVE, PAT_TYPES, NULL,
		msr_set_memory_types),
	RANGE(0x280, 0x29f, "MC_CTL2", 0, 0, MC_CTL2_CMCI_ENABLE | 0x7fff, msr_get_mc_ctl2,
		msr_set_mc_ctl2),
	RULED(0x2ff, "MTRR_DEF_TYPE", MSR_AT(mtrr_def_type), MSR_SAVE, 0xcff, NULL,
		msr_set_mtrr_def_type),
	OFFERED(0x345, "PERF_CAPABILITIES", LACKS_PERF_CAPABILITIES, 0,
		MSR_ZERO | MSR_FEATURE | MSR_RO, 0, NULL),
	RANGE(0x400, 0x47f, "MC_BANKS", 0, 0, ANY, msr_get_mc_bank, msr_set_mc_bank),
	CONST(0x606, 0x606, "RAPL_POWER_UNIT", 0),
	CONST(0x611, 0x611, "PKG_ENERGY_STATUS", 0),
	CONST(0x619, 0x619, "DRAM_ENERGY_STATUS", 0),
	CONST(0x639, 0x639, "PP0_ENERGY_STATUS", 0),
	CONST(0x641, 0x641, "PP1_ENERGY_STATUS", 0),
	LAPIC(MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, "TSC_DEADLINE",
		MSR_SAVE | MSR_OUTER_R | MSR_OUTER_W, NULL),
	LAPIC(MSR_X2APIC, MSR_X2APIC_END, "X2APIC", MSR_OUTER_R | MSR_OUTER_W, NULL),
	/* no supervisor component is offered */
	OFFERED(0xda0, "XSS", LACKS_XSAVES, MSR_AT(xss), MSR_SAVE, 0, NULL),
#include "engine/pv/hyperv/msrs.def"
	PV_PAGE(MSR_KVM_WALL_CLOCK_NEW, "KVM_WALL_CLOCK_NEW", PV_CLOCK2, MSR_AT(kvm_wall_clock), 0),
	PV_PAGE(MSR_KVM_SYSTEM_TIME_NEW, "KVM_SYSTEM_TIME_NEW", PV_CLOCK2, MSR_AT(kvm_system_time),
		MSR_INIT),
	PV_PAGE(MSR_KVM_ASYNC_PF_EN, "KVM_ASYNC_PF_EN", PV_ASYNC_PF, MSR_AT(kvm_async_pf),
		MSR_INIT),
	PV(MSR_KVM_STEAL_TIME, "KVM_STEAL_TIME", PV_STEAL_TIME, MSR_AT(kvm_steal_time),
		MSR_SAVE | MSR_INIT, 0, msr_set_steal_time),
	PV_PAGE(MSR_KVM_PV_EOI_EN, "KVM_PV_EOI_EN", PV_EOI, MSR_AT(kvm_eoi), MSR_INIT),
	ROW(MSR_KVM_POLL_CONTROL, MSR_KVM_POLL_CONTROL, "KVM_POLL_CONTROL", .reset = 1,
		.pv = PV_POLL_CONTROL, .offset = MSR_AT(kvm_poll_control), .flags = MSR_SAVE,
		.valid = 1),
	PV_PAGE(MSR_KVM_ASYNC_PF_INT, "KVM_ASYNC_PF_INT", PV_ASYNC_PF_INT, MSR_AT(kvm_async_pf_int),
		MSR_INIT),
	PV(MSR_KVM_ASYNC_PF_ACK, "KVM_ASYNC_PF_ACK", PV_ASYNC_PF_INT, 0, MSR_SAVE | MSR_ZERO, 0,
		NULL),
	RULED(0xc0000080, "EFER", AT(efer), MSR_SAVE, ANY, NULL, msr_set_efer),
	FIELD(0xc0000081, "STAR", MSR_AT(star), MSR_SAVE, ANY),
	RULED(0xc0000082, "LSTAR", MSR_AT(lstar), MSR_SAVE, ANY, NULL, msr_set_canonical),
	RULED(0xc0000083, "CSTAR", MSR_AT(cstar), MSR_SAVE, ANY, NULL, msr_set_canonical),
	FIELD(0xc0000084, "SFMASK", MSR_AT(sfmask), MSR_SAVE, 0xffffffff),
	RULED(0xc0000100, "FS_BASE", AT(seg[SEG_FS].base), 0, ANY, NULL, msr_set_canonical),
	RULED(0xc0000101, "GS_BASE", AT(seg[SEG_GS].base), 0, ANY, NULL, msr_set_canonical),
	RULED(0xc0000102, "KERNEL_GS_BASE", MSR_AT(kernel_gs_base), MSR_SAVE, ANY, NULL,
		msr_set_canonical),
	OFFERED(0xc0000103, "TSC_AUX", LACKS_TSC_AUX, MSR_AT(tsc_aux), MSR_SAVE, 0xffffffff, NULL),
	CONST(0xc0010000, 0xc0010007, "K7_EVNTSEL, K7_PERFCTR", 0),
	CONST(0xc0010010, 0xc0010010, "SYSCFG", 0),
	RULED(0xc0010015, "HWCR", MSR_AT(hwcr), MSR_SAVE, HWCR_BITS, NULL, msr_set_hwcr),
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

const struct msr_desc *msr_find(u32 index)
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

/* ---- values ---- */

void msr_reset(struct cpu *cpu)
{
	for (unsigned i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].reset)
			*msr_field(cpu, &table[i], table[i].first) = table[i].reset;
}

/* INIT keeps registers, but what Linux's KVM would write to guest memory by itself, or was told to send, ends. */
void msr_reset_pv(struct cpu *cpu)
{
	for (unsigned i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].flags & MSR_INIT)
			*msr_field(cpu, &table[i], table[i].first) = 0;
}

int engine_feature_msr(u32 index, u64 *ret)
{
	const struct msr_desc *d = msr_find(index);

	if (!d || !(d->flags & MSR_FEATURE))
		return -ENOENT;
	*ret = d->reset;
	return 0;
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
