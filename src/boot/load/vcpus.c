/* SPDX-License-Identifier: MIT */
/* Creating the vCPUs and giving the first one the state that its kernel's protocol asks for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "boot/load/cpuid.h"
#include "boot/load/vcpus.h"

#define CR0_PE BIT(0)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_PG BIT(31)

#define CR4_PAE  BIT(5)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)

#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18

#define MSR_MISC_ENABLE   0x1a0
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_HWCR          0xc0010015
#define HWCR_TSC_AT_P0    BIT(24)

static int engine_failed(struct failure *f, const char *what, unsigned cpu, int error)
{
	return failure_set(f, "%s of CPU %u failed (%s): try the other --engine, or fewer --cpus",
		what, cpu, strerror(-error));
}

/* SDM 3:11.5.1: the local vector table entries that firmware programs: ExtINT on LINT0, NMI on LINT1. */
static int set_lapic_lines(kvm_context_t kvm, unsigned cpu)
{
	const u32 extint = 7 << 8, nmi = 4 << 8;
	struct kvm_lapic_state s;
	int r = kvm_get_lapic(kvm, (int)cpu, &s);

	if (r < 0)
		return r;
	memcpy(s.regs + 0x350, &extint, 4);
	memcpy(s.regs + 0x360, &nmi, 4);
	return kvm_set_lapic(kvm, (int)cpu, &s);
}

/* As firmware leaves them: memory is write-back, string operations are fast. Not every engine has them: no harm. */
static void set_msrs(kvm_context_t kvm, unsigned cpu)
{
	struct kvm_msr_entry mtrr = {.index = MSR_MTRR_DEF_TYPE, .data = BIT(11) | 6};
	struct kvm_msr_entry misc = {.index = MSR_MISC_ENABLE, .data = BIT(0)};
	struct kvm_msr_entry hwcr = {.index = MSR_HWCR, .data = HWCR_TSC_AT_P0};

	kvm_set_msrs(kvm, (int)cpu, &mtrr, 1);
	kvm_set_msrs(kvm, (int)cpu, &misc, 1);
	/* As AMD's firmware does; other vendors' kernels never look. */
	kvm_set_msrs(kvm, (int)cpu, &hwcr, 1);
}

static int cpu_create(kvm_context_t kvm, unsigned cpu, struct kvm_cpuid2 *cpuid, struct failure *f)
{
	int r = kvm_create_vcpu(kvm, (int)cpu);

	if (r < 0)
		return engine_failed(f, "creation", cpu, r);
	r = uv_kvm_setup_cpuid2(kvm, (int)cpu, (int)cpuid->nent, cpuid->entries);
	if (r < 0)
		return engine_failed(f, "setting the CPUID", cpu, r);
	r = set_lapic_lines(kvm, cpu);
	if (r < 0)
		return engine_failed(f, "setting the local APIC", cpu, r);
	set_msrs(kvm, cpu);
	return 0;
}

static size_t cpuid_size(unsigned entries)
{
	return sizeof(struct kvm_cpuid2) + entries * sizeof(struct kvm_cpuid_entry2);
}

int cpus_create(kvm_context_t kvm, unsigned cpus, struct failure *f)
{
	struct kvm_cpuid2 *offered = uv_kvm_supported_cpuid(kvm), *own = NULL;
	const unsigned room = offered ? offered->nent + 3 : 0;
	int r = 0;

	if (offered)
		own = malloc(cpuid_size(room));
	if (!own)
		r = failure_set(f, "the engine's CPUID cannot be read (%s): try the other --engine",
			strerror(errno));
	if (r == 0 && kvm_check_extension(kvm, KVM_CAP_TSC_DEADLINE_TIMER))
		cpuid_add_tsc_deadline(offered);
	for (unsigned cpu = 0; r == 0 && cpu < cpus; cpu++) {
		memcpy(own, offered, cpuid_size(offered->nent));
		cpuid_personalise(own, room, cpu, cpus);
		r = cpu_create(kvm, cpu, own, f);
	}
	free(own);
	free(offered);
	return r;
}

static struct kvm_segment flat_segment(u16 selector, u8 type, bool long_mode)
{
	return (struct kvm_segment){
		.selector = selector,
		.limit = 0xffffffff,
		.type = type,
		.present = 1,
		.s = 1,
		.db = !long_mode,
		.l = long_mode,
		.g = 1,
	};
}

static void set_segments(struct kvm_sregs *s, bool long_mode)
{
	s->cs = flat_segment(SELECTOR_CODE, 11, long_mode);
	s->ds = flat_segment(SELECTOR_DATA, 3, false);
	s->es = s->fs = s->gs = s->ss = s->ds;
	/* PVH asks for a 32-bit TSS of minimal size; long mode has the same descriptor type for a 64-bit one. */
	s->tr = (struct kvm_segment){.limit = 0x67, .type = 11, .present = 1};
	s->gdt.base = GPA_GDT;
	s->gdt.limit = SELECTOR_DATA + 7;
	s->idt.base = 0;
	s->idt.limit = 0;
}

static void set_mode(struct kvm_sregs *s, enum start_mode mode)
{
	s->cr0 = CR0_PE | CR0_ET;
	s->cr4 = 0;
	s->efer = 0;
	if (mode == START_LINUX64) {
		s->cr0 |= CR0_PG | CR0_NE | CR0_WP;
		s->cr3 = GPA_PAGE_TABLES;
		s->cr4 = CR4_PAE;
		s->efer = EFER_LME | EFER_LMA;
	}
	set_segments(s, mode == START_LINUX64);
}

int cpu_set_start(kvm_context_t kvm, const struct start_state *start, struct failure *f)
{
	struct kvm_regs regs = {.rip = start->entry, .rflags = 2};
	struct kvm_sregs sregs;
	int r = kvm_get_sregs(kvm, 0, &sregs);

	if (r < 0)
		return engine_failed(f, "reading the registers", 0, r);
	set_mode(&sregs, start->mode);
	r = kvm_set_sregs(kvm, 0, &sregs);
	if (r < 0)
		return engine_failed(f, "setting the system registers", 0, r);
	if (start->mode == START_LINUX64)
		regs.rsi = start->info;
	else
		regs.rbx = start->info;
	r = kvm_set_regs(kvm, 0, &regs);
	return r < 0 ? engine_failed(f, "setting the registers", 0, r) : 0;
}
