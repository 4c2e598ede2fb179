/* SPDX-License-Identifier: MIT */
/* See features.h. */
#include "abi/mshv/features.h"

#include <string.h>

#include "abi/mshv/property.h"

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

const struct cpuid_entry *leaf_find(const struct leaves *l, u32 leaf, u32 subleaf)
{
	for (unsigned i = 0; i < l->n; i++)
		if (cpuid_entry_is(&l->e[i], leaf, subleaf))
			return &l->e[i];
	return NULL;
}

static bool is_hypervisor_leaf(u32 leaf)
{
	return leaf >> 28 == 4;
}

/* The engine's own hypervisor leaves are KVM's. */
static void drop_hypervisor_leaves(struct leaves *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->n; i++)
		if (!is_hypervisor_leaf(l->e[i].function))
			l->e[n++] = l->e[i];
	l->n = n;
}

static void host_leaves(struct leaves *l)
{
	l->n = MIN(engine_supported_cpuid(l->e, LEAVES_MAX - HV_LEAVES),
		(unsigned)LEAVES_MAX - HV_LEAVES);
	drop_hypervisor_leaves(l);
}

static bool disabled(const struct mshv_create_partition_v2 *a, const struct feature *f)
{
	u64 bits = f->bank == XSAVE ? a->pt_disabled_xsave : a->pt_cpu_fbanks[f->bank];

	return bits >> f->bit & 1;
}

static void clear_disabled(const struct mshv_create_partition_v2 *a, struct cpuid_entry *e)
{
	for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];

		if (cpuid_entry_is(e, f->leaf, f->subleaf) && disabled(a, f))
			*cpuid_reg(e, f->reg) &= ~BIT(f->cpuid_bit);
	}
}

#define XSTATE_AVX    0x04u /* bits of XCR0 */
#define XSTATE_AVX512 0xe0u

/* Bits of XCR0 that a processor without XSAVE, AVX or AVX-512 does not have. */
static u32 absent_states(const struct leaves *l)
{
	const struct cpuid_entry *one = leaf_find(l, 1, 0), *seven = leaf_find(l, 7, 0);

	if (!one || !(one->ecx & BIT(26)))
		return ~0u;
	if (!(one->ecx & BIT(28)))
		return XSTATE_AVX | XSTATE_AVX512;
	return seven && seven->ebx & BIT(16) ? 0 : XSTATE_AVX512;
}

/* What it says of its state components. */
static void clear_xsave(struct leaves *l)
{
	u32 absent = absent_states(l);

	for (unsigned i = 0; i < l->n; i++) {
		struct cpuid_entry *e = &l->e[i];

		if (e->function != 0xd)
			continue;
		if (absent == ~0u || (e->index > 1 && absent >> (e->index & 31) & 1))
			e->eax = e->ebx = e->ecx = e->edx = 0;
		else if (!e->index)
			e->eax &= ~absent;
	}
}

void features_init(struct mshv_partition *p, const struct mshv_create_partition_v2 *a)
{
	struct leaves *l = &p->processor;

	host_leaves(l);
	for (unsigned i = 0; i < l->n; i++)
		clear_disabled(a, &l->e[i]);
	clear_xsave(l);
}

/* The partition's leaves, or the host's, which are put into host. */
static const struct leaves *leaves_of(const struct mshv_partition *p, struct leaves *host)
{
	if (p)
		return &p->processor;
	host_leaves(host);
	return host;
}

static bool has(const struct leaves *l, const struct feature *f)
{
	const struct cpuid_entry *at = leaf_find(l, f->leaf, f->subleaf);
	struct cpuid_entry e;

	if (!at)
		return false;
	e = *at;
	return *cpuid_reg(&e, f->reg) >> f->cpuid_bit & 1;
}

u64 features_bank(const struct mshv_partition *p, unsigned bank)
{
	struct leaves host;
	const struct leaves *l = leaves_of(p, &host);
	u64 bits = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(features); i++)
		if (features[i].bank == bank && has(l, &features[i]))
			bits |= BIT64(features[i].bit);
	return bits;
}

u64 features_xsave(const struct mshv_partition *p)
{
	return features_bank(p, XSAVE);
}

u64 features_xsave_states(const struct mshv_partition *p)
{
	struct leaves host;
	const struct cpuid_entry *d = leaf_find(leaves_of(p, &host), 0xd, 0);

	return d ? d->eax | (u64)d->edx << 32 : 0;
}

bool features_xsave_component(
	const struct mshv_partition *p, unsigned component, struct xsave_component *ret)
{
	struct leaves host;
	const struct cpuid_entry *e = leaf_find(leaves_of(p, &host), 0xd, component);

	if (!e || !(features_xsave_states(p) >> component & 1))
		return false;
	*ret = (struct xsave_component){.size = e->eax, .offset = e->ebx};
	return true;
}

#define LEGACY_BYTES 576 /* x87, SSE and the header, SDM 1:13.4 */

u64 features_xsave_size(const struct mshv_partition *p)
{
	struct xsave_component c;
	u64 size = LEGACY_BYTES;

	for (unsigned i = XSAVE_FIRST; i < XSAVE_COMPONENTS; i++)
		if (features_xsave_component(p, i, &c))
			size += c.size;
	return size;
}

u64 features_vendor(const struct mshv_partition *p)
{
	struct leaves host;
	const struct cpuid_entry *zero = leaf_find(leaves_of(p, &host), 0, 0);

	switch (zero ? zero->ebx : 0) {
	case 0x68747541: return HV_VENDOR_AMD;   /* Auth */
	case 0x6f677948: return HV_VENDOR_HYGON; /* Hygo */
	default: return HV_VENDOR_INTEL;
	}
}

u64 features_address_width(const struct mshv_partition *p)
{
	struct leaves host;
	const struct cpuid_entry *at = leaf_find(leaves_of(p, &host), 0x80000008, 0);

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
