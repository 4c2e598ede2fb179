/* SPDX-License-Identifier: MIT */
/*
 * What differs from processor to processor in CPUID: the APIC id and the topology, here one package of one-thread
 * cores. SDM 2, CPUID; APM 3, appendix E. Everything else is what the engine offers.
 */
#include "base/types.h"
#include "boot/load/cpuid.h"

#define LEAF_TOPOLOGY 0xb

/* How many bits of the APIC id count the cores. */
static u32 core_bits(unsigned cpus)
{
	u32 bits = 0;

	while ((1u << bits) < cpus)
		bits++;
	return bits;
}

static void identity(struct kvm_cpuid_entry2 *e, unsigned cpu, unsigned cpus)
{
	/* EBX: initial APIC id and how many ids the package has; EDX bit 28 says that the latter counts. */
	e->ebx = (e->ebx & 0xffff) | cpu << 24 | (1u << core_bits(cpus)) << 16;
	e->edx = cpus > 1 ? e->edx | BIT(28) : e->edx & ~BIT(28);
	/* ECX bit 31: there is a hypervisor. KVM leaves saying so to us; without it Linux does not look for kvmclock. */
	e->ecx |= BIT(31);
}

/* Intel: EAX[31:26] cores in the package, EAX[25:14] threads that share the cache, each minus one. */
static void intel_caches(struct kvm_cpuid_entry2 *e, unsigned cpus)
{
	const u32 level = e->eax >> 5 & 7, all = (1u << core_bits(cpus)) - 1;

	if (!(e->eax & 0x1f))
		return;
	e->eax = (e->eax & 0x3fff) | MIN(all, 63u) << 26 | (level >= 3 ? all : 0) << 14;
}

static void amd_caches(struct kvm_cpuid_entry2 *e, unsigned cpus)
{
	const u32 level = e->eax >> 5 & 7;

	if (e->eax & 0x1f)
		e->eax = (e->eax & 0x3fff) | (level >= 3 ? cpus - 1 : 0) << 14;
}

/* What Intel's processors reserve. */
static void personalise_amd(struct kvm_cpuid_entry2 *e, unsigned cpu, unsigned cpus)
{
	switch (e->function) {
	case 0x80000001:
		/* ECX bit 1: the ids count cores, not threads. */
		e->ecx = cpus > 1 ? e->ecx | BIT(1) : e->ecx & ~BIT(1);
		break;
	case 0x80000008:
		/* ECX[7:0] cores minus one, [15:12] bits of the id that count them. */
		e->ecx = (e->ecx & ~0xf0ffu) | (cpus - 1) | core_bits(cpus) << 12;
		break;
	case 0x8000001d: amd_caches(e, cpus); break;
	case 0x8000001e:
		e->eax = cpu;
		e->ebx = cpu & 0xff; /* core id, one thread */
		e->ecx = 0;          /* one node */
		break;
	default: break;
	}
}

static void personalise(struct kvm_cpuid_entry2 *e, bool intel, unsigned cpu, unsigned cpus)
{
	if (e->function == 1)
		identity(e, cpu, cpus);
	else if (e->function == 4)
		intel_caches(e, cpus);
	else if (!intel)
		personalise_amd(e, cpu, cpus);
}

static bool is_intel(const struct kvm_cpuid2 *list)
{
	for (u32 i = 0; i < list->nent; i++)
		if (list->entries[i].function == 0)
			return list->entries[i].ebx == 0x756e6547; /* Genu */
	return false;
}

static bool is_topology(u32 function)
{
	return function == LEAF_TOPOLOGY || function == 0x1f || function == 0x80000026;
}

static void add_topology_level(struct kvm_cpuid2 *list, u32 index, u32 shift, u32 count, u32 cpu)
{
	list->entries[list->nent++] = (struct kvm_cpuid_entry2){
		.function = LEAF_TOPOLOGY,
		.index = index,
		.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.eax = shift,
		.ebx = count,
		.ecx = (count ? index + 1 : 0) << 8 | index, /* 1: thread, 2: core, 0: no more */
		.edx = cpu,
	};
}

/* KVM leaves it to us as well, because the timer is there only with the interrupt controllers in the engine. */
void cpuid_add_tsc_deadline(struct kvm_cpuid2 *list)
{
	for (u32 i = 0; i < list->nent; i++)
		if (list->entries[i].function == 1)
			list->entries[i].ecx |= BIT(24);
}

void cpuid_personalise(struct kvm_cpuid2 *list, unsigned room, unsigned cpu, unsigned cpus)
{
	u32 kept = 0;
	bool topology = false, intel = is_intel(list);

	for (u32 i = 0; i < list->nent; i++) {
		struct kvm_cpuid_entry2 e = list->entries[i];

		topology |= e.function == LEAF_TOPOLOGY;
		if (is_topology(e.function))
			continue;
		personalise(&e, intel, cpu, cpus);
		list->entries[kept++] = e;
	}
	list->nent = kept;
	if (!topology || kept + 3 > room)
		return;
	add_topology_level(list, 0, 0, 1, cpu);
	add_topology_level(list, 1, core_bits(cpus), cpus, cpu);
	add_topology_level(list, 2, 0, 0, cpu);
}
