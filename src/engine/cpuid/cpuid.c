/* SPDX-License-Identifier: MIT */
/*
 * CPUID as the guest sees it: the VMM's table, plus the few bits that follow processor state
 * (SDM 2: CPUID). The numbers of this processor are not among them: they are in the table, as the
 * VMM wants them. What the table permits (CR4 bits, XCR0, address width) is derived once, when it
 * changes. The cpuid instruction itself is never executed here: on a virtual host it traps.
 */
#include "engine/cpuid/cpuid.h"
#include "engine/core/machine.h"
#include "x86/hyperv.h"
#include "engine/core/machine.h"
#include "engine/core/xsave.h"

#define CPUID_KVM_BASE 0x40000000u
#define CPUID_EXTENDED 0x80000000u

bool cpuid_entry_is(const struct cpuid_entry *e, u32 leaf, u32 subleaf)
{
	return e->function == leaf && (!(e->flags & CPUID_INDEXED) || e->index == subleaf);
}

static const struct cpuid_entry *cpuid_find(const struct cpu *cpu, u32 leaf, u32 subleaf)
{
	for (unsigned i = 0; i < cpu->cpuid_count; i++)
		if (cpuid_entry_is(&cpu->cpuid[i], leaf, subleaf))
			return &cpu->cpuid[i];
	return NULL;
}

static u32 max_leaf(const struct cpu *cpu, u32 base)
{
	const struct cpuid_entry *e = cpuid_find(cpu, base, 0);

	return e ? e->eax : 0;
}

static bool vendor_is_amd(const struct cpu *cpu)
{
	const struct cpuid_entry *e = cpuid_find(cpu, 0, 0);

	return e && (e->ebx == 0x68747541 /* Auth */ || e->ebx == 0x6f677948 /* Hygo */);
}

/* A leaf beyond its range shows the highest basic leaf; AMD's processors show zeroes. */
static const struct cpuid_entry *out_of_range(const struct cpu *cpu, u32 leaf, u32 subleaf)
{
	u32 base = leaf & 0xc0000000u;

	if (base == CPUID_KVM_BASE) /* hypervisor ranges are 256 leaves each */
		base = leaf & 0xffffff00u;
	if (leaf <= max_leaf(cpu, base) || vendor_is_amd(cpu))
		return NULL;
	return cpuid_find(cpu, max_leaf(cpu, 0), subleaf);
}

#define CPUID1_ECX_MWAIT   BIT(3)
#define CPUID1_ECX_OSXSAVE BIT(27)
#define MISC_ENABLE_MWAIT  BIT64(18)

/* Without KVM's quirk MONITOR comes and goes with IA32_MISC_ENABLE (SDM 4: 1A0H). */
static bool mwait_follows_msr(const struct cpu *cpu)
{
	return !machine_quirk(cpu->machine, QUIRK_MISC_ENABLE_NO_MWAIT);
}
#define CPUID1_EDX_APIC BIT(9)

#define EXT7_EDX_INVARIANT_TSC BIT(8)

/* Hyper-V guests that can ask for it see it when they have asked (TLFS 12.6). The table still says it. */
static bool invariant_tsc_hidden(const struct cpu *cpu)
{
	return (cpu->hv.word[HV_EAX] & HVF_INVARIANT_TSC) &&
	       !atomic_load(&cpu->machine->hv_invariant_tsc);
}

static u32 with_bit(u32 reg, u32 bit, bool on)
{
	return on ? reg | bit : reg & ~bit;
}

/* Bits and sizes that follow cr4, xcr0 and the APIC's enable bit. */
void cpuid_apply_state(const struct cpu *cpu, struct cpuid_entry *e)
{
	switch (e->function) {
	case 1:
		e->ecx = with_bit(e->ecx, CPUID1_ECX_OSXSAVE, cpu->cr4 & CR4_OSXSAVE);
		if (e->edx & CPUID1_EDX_APIC)
			e->edx = with_bit(
				e->edx, CPUID1_EDX_APIC, cpu_apic_base(cpu) & APIC_BASE_ENABLE);
		if (mwait_follows_msr(cpu))
			e->ecx = with_bit(
				e->ecx, CPUID1_ECX_MWAIT, cpu->msr.misc_enable & MISC_ENABLE_MWAIT);
		break;
	case 0xd: /* bytes needed for what is enabled now, in the two formats */
		if (e->index == 0 && e->eax)
			e->ebx = xsave_size(&cpu->xstate, cpu->xcr0);
		if (e->index == 1 && e->eax)
			e->ebx = xsave_compact_offset(cpu->xcr0, XS_COUNT);
		break;
	default: break;
	}
}

void cpuid_read(const struct cpu *cpu, u32 leaf, u32 subleaf, u32 out[4])
{
	const struct cpuid_entry *found = cpuid_find(cpu, leaf, subleaf);
	struct cpuid_entry e = {0};

	if (!found)
		found = out_of_range(cpu, leaf, subleaf);
	if (found) {
		e = *found;
		cpuid_apply_state(cpu, &e);
		if (unlikely(e.function == 0x80000007 && invariant_tsc_hidden(cpu)))
			e.edx &= ~EXT7_EDX_INVARIANT_TSC;
	} else if ((leaf == 0xb || leaf == 0x1f) && (found = cpuid_find(cpu, leaf, 1))) {
		e.ecx = subleaf & 0xff; /* invalid level: its number and the x2APIC id */
		e.edx = found->edx;
	}
	out[0] = e.eax;
	out[1] = e.ebx;
	out[2] = e.ecx;
	out[3] = e.edx;
}

/* ---- what the table permits ---- */

enum { OUT_EAX, OUT_EBX, OUT_ECX, OUT_EDX };

static bool has_bit_at(const struct cpu *cpu, u32 leaf, u32 subleaf, unsigned reg, unsigned bit)
{
	const struct cpuid_entry *e = cpuid_find(cpu, leaf, subleaf);

	if (!e)
		return false;
	const u32 out[4] = {e->eax, e->ebx, e->ecx, e->edx};
	return out[reg] >> bit & 1;
}

static bool has_bit(const struct cpu *cpu, u32 leaf, unsigned reg, unsigned bit)
{
	return has_bit_at(cpu, leaf, 0, reg, bit);
}

/* Any one of the rows of a thing offers it. */
static const struct {
	u32 lack, leaf;
	u8 subleaf, reg, bit;
} offers[] = {
	{LACKS_INVPCID, 7, 0, OUT_EBX, 10},
	{LACKS_RDTSCP, CPUID_EXTENDED | 1, 0, OUT_EDX, 27},
	{LACKS_RDPID, 7, 0, OUT_ECX, 22},
	{LACKS_TSC_AUX, CPUID_EXTENDED | 1, 0, OUT_EDX, 27},
	{LACKS_TSC_AUX, 7, 0, OUT_ECX, 22},
	{LACKS_XSAVEOPT, 0xd, 1, OUT_EAX, 0},
	{LACKS_XSAVEC, 0xd, 1, OUT_EAX, 1},
	{LACKS_XGETBV1, 0xd, 1, OUT_EAX, 2},
	{LACKS_XSAVES, 0xd, 1, OUT_EAX, 3},
	{LACKS_SPEC_CTRL, 7, 0, OUT_EDX, 26},
	{LACKS_SPEC_CTRL, CPUID_EXTENDED | 8, 0, OUT_EBX, 14}, /* AMD's IBRS */
	{LACKS_SPEC_CTRL, CPUID_EXTENDED | 8, 0, OUT_EBX, 15}, /* STIBP */
	{LACKS_SPEC_CTRL, CPUID_EXTENDED | 8, 0, OUT_EBX, 24}, /* SSBD */
	{LACKS_PRED_CMD, 7, 0, OUT_EDX, 26},
	{LACKS_PRED_CMD, CPUID_EXTENDED | 8, 0, OUT_EBX, 12}, /* IBPB */
	{LACKS_PRED_CMD, CPUID_EXTENDED | 0x21, 0, OUT_EAX, 27},
	{LACKS_SBPB, CPUID_EXTENDED | 0x21, 0, OUT_EAX, 27},
	{LACKS_FLUSH_CMD, 7, 0, OUT_EDX, 28},
	{LACKS_ARCH_CAPABILITIES, 7, 0, OUT_EDX, 29},
	{LACKS_PERF_CAPABILITIES, 1, 0, OUT_ECX, 15},
	{LACKS_TSC_DEADLINE, 1, 0, OUT_ECX, 24},
	{LACKS_NX, CPUID_EXTENDED | 1, 0, OUT_EDX, 20},
	{LACKS_LONG_MODE, CPUID_EXTENDED | 1, 0, OUT_EDX, 29},
	{LACKS_VBMI2, 7, 0, OUT_ECX, 6},
	{LACKS_AUTO_IBRS, CPUID_EXTENDED | 0x21, 0, OUT_EAX, 8},
};

/* Before a table is set, everything is there. */
static u32 not_offered(const struct cpu *cpu)
{
	u32 lacks = 0, has = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(offers) && cpu->cpuid_count; i++) {
		lacks |= offers[i].lack;
		if (has_bit_at(
			    cpu, offers[i].leaf, offers[i].subleaf, offers[i].reg, offers[i].bit))
			has |= offers[i].lack;
	}
	return lacks & ~has;
}

/* CR4 bits that exist only with a feature; the rest of what the engine knows is always there. */
static const struct {
	u64 cr4;
	u32 leaf;
	u8 reg, bit;
} cr4_features[] = {
	{CR4_UMIP, 7, OUT_ECX, 2},
	{CR4_FSGSBASE, 7, OUT_EBX, 0},
	{CR4_PCIDE, 1, OUT_ECX, 17},
	{CR4_OSXSAVE, 1, OUT_ECX, 26},
	{CR4_SMEP, 7, OUT_EBX, 7},
	{CR4_SMAP, 7, OUT_EBX, 20},
};
#define CR4_ALWAYS                                                                                 \
	(CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE |  \
		CR4_OSFXSR | CR4_OSXMMEXCPT)

static u64 cr4_permitted(const struct cpu *cpu)
{
	u64 bits = CR4_ALWAYS;

	for (unsigned i = 0; i < ARRAY_SIZE(cr4_features); i++) {
		if (has_bit(cpu, cr4_features[i].leaf, cr4_features[i].reg, cr4_features[i].bit))
			bits |= cr4_features[i].cr4;
	}
	return bits;
}

/* Before a table is set, a VMM may set what any table could permit. */
static u64 cr4_possible(const struct cpu *cpu)
{
	u64 bits = CR4_ALWAYS;

	for (unsigned i = 0; i < ARRAY_SIZE(cr4_features); i++)
		bits |= cr4_features[i].cr4;
	return cpu->host_xsave ? bits : bits & ~CR4_OSXSAVE;
}

static u64 xcr0_permitted(const struct cpu *cpu)
{
	const struct cpuid_entry *e = cpuid_find(cpu, 0xd, 0);

	return e ? (e->eax & cpu->xstate.features) | XSTATE_X87 : 0;
}

static u8 physical_bits(const struct cpu *cpu)
{
	const struct cpuid_entry *e = cpuid_find(cpu, CPUID_EXTENDED | 8, 0);
	u8 bits = e ? e->eax & 0xff : PHYS_BITS_DEFAULT;

	return MIN(MAX(bits, 32), 52);
}

bool cpuid_has_mwait(const struct cpu *cpu)
{
	u32 out[4];

	cpuid_read(cpu, 1, 0, out);
	return out[OUT_ECX] & CPUID1_ECX_MWAIT;
}

/* ---- KVM's paravirtual features: a hypervisor range with its signature, and the leaf after it ---- */

static bool is_kvm_signature(const struct cpuid_entry *e)
{
	return e->function >= CPUID_KVM_BASE && e->function < CPUID_KVM_BASE + 0x10000 &&
	       !(e->function & 0xff) && e->ebx == 0x4b4d564b && e->ecx == 0x564b4d56 &&
	       e->edx == 0x4d;
}

struct cpuid_entry *cpuid_pv_features(struct cpu *cpu)
{
	for (unsigned i = 0; i < cpu->cpuid_count; i++)
		if (is_kvm_signature(&cpu->cpuid[i]))
			return (struct cpuid_entry *)cpuid_find(cpu, cpu->cpuid[i].function + 1, 0);
	return NULL;
}

static u32 pv_permitted(struct cpu *cpu)
{
	const struct cpuid_entry *e = cpuid_pv_features(cpu);

	if (!cpu->pv_enforce)
		return ~0u;
	return e ? e->eax : 0;
}

/* ---- Hyper-V's: what counts of its leaves, if 40000001 says "Hv#1" ---- */

static void hv_announced(struct cpu *cpu)
{
	static const struct {
		u32 leaf;
		u8 reg;
	} where[HV_WORDS] = {
		[HV_EAX] = {0x40000003, OUT_EAX},
		[HV_EBX] = {0x40000003, OUT_EBX},
		[HV_EDX] = {0x40000003, OUT_EDX},
		[HV_HINTS] = {0x40000004, OUT_EAX},
		[HV_SPIN] = {0x40000004, OUT_EBX},
		[HV_SYNDBG] = {0x40000082, OUT_EAX},
		[HV_NESTED] = {0x4000000a, OUT_EAX},
	};
	const struct cpuid_entry *e = cpuid_find(cpu, 0x40000001, 0);

	_Static_assert(ARRAY_SIZE(cpu->hv.word) == HV_WORDS, "struct cpu");
	cpu->hv.enabled = e && e->eax == HV_SIGNATURE;
	for (unsigned i = 0; i < HV_WORDS; i++) {
		e = cpuid_find(cpu, where[i].leaf, 0);
		const u32 out[4] = {e ? e->eax : 0, e ? e->ebx : 0, 0, e ? e->edx : 0};
		cpu->hv.word[i] = cpu->hv.enabled ? out[where[i].reg] : 0;
	}
}

void cpuid_changed(struct cpu *cpu)
{
	cpu->cr4_allowed = cpu->cpuid_count ? cr4_permitted(cpu) : cr4_possible(cpu);
	cpu->lacks = not_offered(cpu);
	cpu->xcr0_allowed = xcr0_permitted(cpu);
	cpu->phys_bits = physical_bits(cpu);
	cpu->has_long_mode = has_bit(cpu, CPUID_EXTENDED | 1, OUT_EDX, 29);
	cpu->pv_allowed = pv_permitted(cpu);
	hv_announced(cpu);
}
