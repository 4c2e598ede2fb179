/* SPDX-License-Identifier: MIT */
/* See features.h. */
#include "abi/mshv/features.h"

#include <string.h>

#include "abi/mshv/property.h"

#define CPUID_MAX 256

/* ---- the processor's ---- */

enum { EAX, EBX, ECX, EDX };
#define XSAVE MSHV_NUM_CPU_FEATURES_BANKS /* its number among the banks */

static const struct feature {
	u8 bank, bit;
	u32 leaf;
	u8 subleaf, reg, cpuid_bit;
} features[] = {
#define FEATURE(bank, bit, leaf, subleaf, reg, cpuid_bit)                                          \
	{bank, bit, leaf, subleaf, reg, cpuid_bit},
#include "abi/mshv/features.def"
};

static u32 *cpuid_reg(struct cpuid_entry *e, unsigned reg)
{
	return reg == EAX ? &e->eax : reg == EBX ? &e->ebx : reg == ECX ? &e->ecx : &e->edx;
}

static struct cpuid_entry *entry_find(struct cpuid_entry *e, unsigned n, u32 leaf, u32 subleaf)
{
	for (unsigned i = 0; i < n; i++)
		if (e[i].function == leaf &&
			(!(e[i].flags & CPUID_INDEXED) || e[i].index == subleaf))
			return &e[i];
	return NULL;
}

static bool disabled(const struct mshv_partition *p, const struct feature *f)
{
	u64 bits = f->bank == XSAVE ? p->disabled.xsave : p->disabled.bank[f->bank];

	return bits >> f->bit & 1;
}

static void clear_entry(struct cpuid_entry *e)
{
	e->eax = e->ebx = e->ecx = e->edx = 0;
}

#define XSTATE_AVX 4u /* bit of XCR0 */

/* What a processor without AVX, or without XSAVE at all, says of its state components. */
static void filter_xsave(struct cpuid_entry *e, unsigned n)
{
	const struct cpuid_entry *one = entry_find(e, n, 1, 0);
	bool xsave = one && (one->ecx & BIT(26)), avx = one && (one->ecx & BIT(28));

	for (unsigned i = 0; i < n; i++) {
		if (e[i].function != 0xd)
			continue;
		if (!xsave || (!avx && e[i].index == 2))
			clear_entry(&e[i]);
		else if (!avx && !e[i].index)
			e[i].eax &= ~XSTATE_AVX;
	}
}

void features_filter(const struct mshv_partition *p, struct cpuid_entry *e, unsigned n)
{
	for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];
		struct cpuid_entry *at = entry_find(e, n, f->leaf, f->subleaf);

		if (at && disabled(p, f))
			*cpuid_reg(at, f->reg) &= ~BIT(f->cpuid_bit);
	}
	filter_xsave(e, n);
}

/* The leaves as the partition's processors have them. */
static unsigned leaves(const struct mshv_partition *p, struct cpuid_entry *e)
{
	unsigned n = MIN(engine_supported_cpuid(e, CPUID_MAX), (unsigned)CPUID_MAX);

	if (p)
		features_filter(p, e, n);
	return n;
}

static u64 bank_of(const struct mshv_partition *p, unsigned bank)
{
	struct cpuid_entry e[CPUID_MAX];
	unsigned n = leaves(p, e);
	u64 bits = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];
		struct cpuid_entry *at = entry_find(e, n, f->leaf, f->subleaf);

		if (f->bank == bank && at && (*cpuid_reg(at, f->reg) >> f->cpuid_bit & 1))
			bits |= BIT64(f->bit);
	}
	return bits;
}

u64 features_bank(const struct mshv_partition *p, unsigned bank)
{
	return bank_of(p, bank);
}

u64 features_xsave(const struct mshv_partition *p)
{
	return bank_of(p, XSAVE);
}

u64 features_xsave_states(const struct mshv_partition *p)
{
	struct cpuid_entry e[CPUID_MAX];
	const struct cpuid_entry *d = entry_find(e, leaves(p, e), 0xd, 0);

	return d ? d->eax | (u64)d->edx << 32 : 0;
}

#define LEGACY_BYTES 576 /* x87, SSE and the header, SDM 1:13.4 */
#define AVX_BYTES    256

u64 features_xsave_size(const struct mshv_partition *p)
{
	return LEGACY_BYTES + (features_xsave_states(p) & XSTATE_AVX ? AVX_BYTES : 0);
}

u64 features_vendor(void)
{
	struct cpuid_entry e[CPUID_MAX];
	const struct cpuid_entry *zero = entry_find(e, leaves(NULL, e), 0, 0);

	switch (zero ? zero->ebx : 0) {
	case 0x68747541: return HV_VENDOR_AMD;   /* Auth */
	case 0x6f677948: return HV_VENDOR_HYGON; /* Hygo */
	default: return HV_VENDOR_INTEL;
	}
}

u64 features_address_width(void)
{
	struct cpuid_entry e[CPUID_MAX];
	const struct cpuid_entry *at = entry_find(e, leaves(NULL, e), 0x80000008, 0);

	return at ? at->eax & 0xff : 36;
}

/* ---- the hypervisor's ---- */

static const struct synthetic {
	u8 feature;
	u32 eax, ebx, edx, hints;
} synthetics[] = {
#define SYNTHETIC(feature, eax, ebx, edx, hints) {feature, eax, ebx, edx, hints},
#include "abi/mshv/synthetic.def"
};

u64 features_synthetic_all(void)
{
	u64 all = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(synthetics); i++)
		all |= BIT64(synthetics[i].feature);
	return all;
}

/* Everything that the partition's features stand for. */
static struct synthetic announced(struct mshv_partition *p)
{
	u64 has = property_value(p, HV_PROPERTY_SYNTHETIC_PROC_FEATURES);
	u64 allowed = property_value(p, HV_PROPERTY_PRIVILEGE_FLAGS);
	struct synthetic all = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(synthetics); i++) {
		const struct synthetic *s = &synthetics[i];

		if (!(has >> s->feature & 1))
			continue;
		all.eax |= s->eax;
		all.ebx |= s->ebx;
		all.edx |= s->edx;
		all.hints |= s->hints;
	}
	all.eax &= (u32)allowed;
	all.ebx &= allowed >> 32;
	return all;
}

u64 features_privileges(struct mshv_partition *p)
{
	struct synthetic all = announced(p);

	return all.eax | (u64)all.ebx << 32;
}

#define SPIN_TRIES   0xfff
#define SPIN_NEVER   0xffffffffu
#define HARDWARE_NPT BIT(3)
#define MAX_LOGICAL  64
#define BUILD        20348 /* Windows Server 2022 */
#define VERSION      (10 << 16)

unsigned features_hv_leaves(struct mshv_partition *p, struct cpuid_entry *ret)
{
	u64 has = property_value(p, HV_PROPERTY_SYNTHETIC_PROC_FEATURES);
	struct synthetic all = announced(p);
	struct cpuid_entry e[HV_LEAVES] = {
		{.function = 0x40000000, .eax = 0x4000000a},
		{.function = 0x40000001, .eax = HV_SIGNATURE},
		{.function = 0x40000002, .eax = BUILD, .ebx = VERSION},
		{.function = 0x40000003, .eax = all.eax, .ebx = all.ebx, .edx = all.edx},
		{.function = 0x40000004,
			.eax = all.hints,
			.ebx = has >> HV_SYN_LONG_SPIN_WAIT & 1 ? SPIN_TRIES : SPIN_NEVER},
		{.function = 0x40000005, .eax = MSHV_VPS_MAX, .ebx = MAX_LOGICAL},
		{.function = 0x40000006, .eax = HARDWARE_NPT},
		{.function = 0x4000000a,
			.eax = has >> HV_SYN_FLUSH_GPA_SPACE & 1 ? HVN_FLUSH_MAPPINGS : 0},
	};

	if (!(has >> HV_SYN_HYPERVISOR_PRESENT & 1) || !(has >> HV_SYN_HV1 & 1))
		return 0;
	memcpy(&e[0].ebx, "Micr", 4);
	memcpy(&e[0].ecx, "osof", 4);
	memcpy(&e[0].edx, "t Hv", 4);
	memcpy(ret, e, sizeof(e));
	return HV_LEAVES;
}
