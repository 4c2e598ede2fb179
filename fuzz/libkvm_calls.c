/* SPDX-License-Identifier: MIT */
/* fuzz-libkvm: every function of the interface, and its arguments. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/libkvm_fuzz.h"

/* Mostly pages of the first MiB. */
static u64 gpa(void)
{
	return chance(85) ? below(256) * PAGE_SIZE : edge();
}

static u64 length(void)
{
	return chance(85) ? below(64) * PAGE_SIZE : edge();
}

static int vcpu(void)
{
	if (chance(70))
		return 0;
	return chance(80) ? (int)below(3) : (int)edge();
}

/* Room for anything, or NULL. */
static void *place(void)
{
	return chance(95) ? fz.scratch : NULL;
}

/* The same with something in it. */
static void *filled(size_t n)
{
	memset(fz.scratch, 0, n);
	if (chance(20))
		for (size_t i = 0; i < n; i++)
			fz.scratch[i] = (u8)next();
	for (u64 i = below(6); i; i--) {
		const u64 value = edge();
		const size_t at = below(n) & ~7ul;

		memcpy(fz.scratch + at, &value, MIN(n - at, sizeof(value)));
	}
	return place();
}

static void check_bool(long r)
{
	if (r != 0 && r != 1)
		finding("neither 0 nor 1", r);
}

static void check_at_most(long r, long most)
{
	if (r > most || (r < 0 && errno != -r))
		finding("neither a number nor -errno", r);
}

#define KVM (fz.c->kvm)

void make_context(void)
{
	struct context *c = fz.c;

	some_callbacks(&c->callbacks);
	c->kvm = uv_kvm_init(&c->callbacks, c, fz.engine, hear, NULL);
	c->mem = NULL;
	if (!c->kvm)
		finding("uv_kvm_init", 0);
}

static void call_init(void)
{
	static const char *const bad[] = {"steam", "SOFT", "soft ", "kernel0"};

	if (uv_kvm_init(&fz.c->callbacks, NULL, bad[below(ARRAY_SIZE(bad))], hear, NULL) ||
		errno != EINVAL)
		finding("an engine of no such name", 0);
}

static void call_create(void)
{
	void *mem = NULL;
	u64 bytes = chance(70) ? below(1024) * PAGE_SIZE : edge();

	if (bytes > MOST_MEMORY && bytes < 1ull << 50)
		bytes = MOST_MEMORY;
	check(kvm_create(KVM, bytes, chance(90) ? &mem : NULL));
	if (!mem || bytes < 0x2000)
		return;
	fz.c->mem = mem;
	write_code(fz.c->mem + 0x1000);
}

static void call_vcpu(void)
{
	check(kvm_create_vcpu(KVM, vcpu()));
}

/* Most of the calls are about a VM with vCPUs. */
static void call_finalize(void)
{
	kvm_finalize(KVM);
	make_context();
	if (chance(70))
		call_create();
	if (chance(70))
		call_vcpu();
}

static void call_settings(void)
{
	switch (below(6)) {
	case 0: kvm_disable_irqchip_creation(KVM); break;
	case 1: kvm_disable_pit_creation(KVM); break;
	case 2: check(kvm_create_vm(KVM)); break;
	case 3: kvm_create_irqchip(KVM); break;
	case 4: check(kvm_init_coalesced_mmio(KVM)); break;
	default: uv_kvm_set_log(KVM, hear, NULL); break;
	}
}

static void call_questions(void)
{
	check_bool(kvm_check_extension(KVM, (int)edge()));
	check_bool(kvm_check_extension(KVM, (int)below(250)));
	check_bool(kvm_irqchip_in_kernel(KVM));
	check_bool(kvm_pit_in_kernel(KVM));
	check_bool(kvm_has_sync_mmu(KVM));
	check_bool(kvm_destroy_memory_region_works(KVM));
	check_bool(kvm_is_containing_region(KVM, gpa(), length()));
	check_bool(kvm_get_interrupt_flag(KVM, vcpu()));
	check_bool(kvm_is_ready_for_interrupt_injection(KVM, vcpu()));
	(void)kvm_get_apic_base(KVM, vcpu());
	(void)kvm_get_cr8(KVM, vcpu());
	kvm_set_cr8(KVM, vcpu(), below(20));
}

/* Real mode at the code, mostly. */
static void start(int number)
{
	struct kvm_regs regs = {.rip = 0x1000,
		.rsp = 0x8000,
		.rflags = 2,
		.rax = edge(),
		.rcx = below(64),
		.rdx = below(99)};
	struct kvm_sregs sregs;

	if (kvm_get_sregs(KVM, number, &sregs) < 0)
		return;
	sregs.cs.selector = 0;
	sregs.cs.base = 0;
	sregs.ds.base = gpa() & 0xfffff;
	check(kvm_set_sregs(KVM, number, &sregs));
	check(kvm_set_regs(KVM, number, &regs));
}

static void call_run(void)
{
	const int number = vcpu();
	int r;

	if (chance(30) && fz.c->mem && kvm_is_containing_region(KVM, 0x1000, PAGE_SIZE))
		write_code(fz.c->mem + 0x1000);
	if (chance(70))
		start(number);
	fz.c->left = BUDGET;
	r = kvm_run(KVM, number, fz.c);
	if (!r || (r < 0 && errno != -r))
		finding("kvm_run gives no value of a callback and no -errno", r);
}

static void call_signal_mask(void)
{
	sigset_t set;

	sigemptyset(&set);
	if (chance(50))
		sigfillset(&set);
	sigdelset(&set, SIGUSR1); /* or a sleeping vCPU sleeps on */
	check(kvm_set_signal_mask(KVM, vcpu(), chance(80) ? &set : NULL));
}

static void call_registers(void)
{
	switch (below(10)) {
	case 0: check(kvm_get_regs(KVM, vcpu(), place())); break;
	case 1: check(kvm_set_regs(KVM, vcpu(), filled(sizeof(struct kvm_regs)))); break;
	case 2: check(kvm_get_sregs(KVM, vcpu(), place())); break;
	case 3: check(kvm_set_sregs(KVM, vcpu(), filled(sizeof(struct kvm_sregs)))); break;
	case 4: check(kvm_get_fpu(KVM, vcpu(), place())); break;
	case 5: check(kvm_set_fpu(KVM, vcpu(), filled(sizeof(struct kvm_fpu)))); break;
	case 6: check(kvm_get_mpstate(KVM, vcpu(), place())); break;
	case 7: check(kvm_set_mpstate(KVM, vcpu(), filled(sizeof(struct kvm_mp_state)))); break;
	case 8: check(kvm_reset_mpstate(KVM, vcpu())); break;
	default:
		check(kvm_set_guest_debug(KVM, vcpu(), filled(sizeof(struct kvm_guest_debug))));
		break;
	}
}

/* Read, changed a little, written. */
static void call_change_sregs(void)
{
	const int number = vcpu();
	const u64 value = edge();

	if (kvm_get_sregs(KVM, number, (void *)fz.scratch) < 0)
		return;
	memcpy(fz.scratch + (below(sizeof(struct kvm_sregs)) & ~7ul), &value, 8);
	check(kvm_set_sregs(KVM, number, (void *)fz.scratch));
}

static int list_size(void)
{
	return chance(90) ? (int)below(40) : chance(50) ? (int)below(3000) : -(int)below(1u << 31);
}

static void call_lists(void)
{
	const int n = list_size();
	const size_t bytes = (size_t)MAX(n, 1) * sizeof(struct kvm_cpuid_entry2);
	struct kvm_msr_list *msrs;
	struct kvm_cpuid2 *leaves;

	switch (below(6)) {
	case 0: check_at_most(kvm_get_msrs(KVM, vcpu(), filled(bytes), n), MAX(n, 0)); break;
	case 1: check_at_most(kvm_set_msrs(KVM, vcpu(), filled(bytes), n), MAX(n, 0)); break;
	case 2: check(kvm_setup_cpuid(KVM, vcpu(), n, filled(bytes))); break;
	case 3: check(uv_kvm_setup_cpuid2(KVM, vcpu(), n, filled(bytes))); break;
	case 4:
		msrs = kvm_get_msr_list(KVM);
		if (!msrs || !msrs->nmsrs)
			finding("kvm_get_msr_list", 0);
		free(msrs);
		break;
	default:
		leaves = uv_kvm_supported_cpuid(KVM);
		if (!leaves || !leaves->nent)
			finding("uv_kvm_supported_cpuid", 0);
		if (chance(50))
			check(uv_kvm_setup_cpuid2(KVM, vcpu(), (int)leaves->nent, leaves->entries));
		free(leaves);
	}
}

static void call_text(void)
{
	if (chance(50))
		kvm_show_regs(KVM, vcpu());
	else
		check(kvm_dump_vcpu(KVM, vcpu()));
}

static void call_interrupts(void)
{
	switch (below(6)) {
	case 0: check_bool(kvm_set_irq_level(KVM, (int)edge(), (int)edge())); break;
	case 1: check_bool(kvm_set_irq_level(KVM, (int)below(24), (int)below(2))); break;
	case 2: check(kvm_inject_irq(KVM, vcpu(), (unsigned)below(300))); break;
	case 3: check(kvm_inject_nmi(KVM, vcpu())); break;
	case 4: check(kvm_enable_vapic(KVM, vcpu(), gpa() + below(2) * below(PAGE_SIZE))); break;
	default:
		check(chance(60) ? kvm_enable_tpr_access_reporting(KVM, vcpu())
				 : kvm_disable_tpr_access_reporting(KVM, vcpu()));
	}
}

static void call_chips(void)
{
	struct kvm_irqchip *chip = filled(sizeof(*chip));

	if (chip)
		chip->chip_id = (u32)below(4);
	switch (below(7)) {
	case 0: check(kvm_get_irqchip(KVM, chip)); break;
	case 1: check(kvm_set_irqchip(KVM, chip)); break;
	case 2: check(kvm_get_lapic(KVM, vcpu(), place())); break;
	case 3: check(kvm_set_lapic(KVM, vcpu(), filled(sizeof(struct kvm_lapic_state)))); break;
	case 4: check(kvm_get_pit(KVM, place())); break;
	case 5: check(kvm_set_pit(KVM, filled(sizeof(struct kvm_pit_state)))); break;
	default:
		if (chip && kvm_get_irqchip(KVM, chip) == 0)
			check(kvm_set_irqchip(KVM, chip));
	}
}

static void call_memory(void)
{
	const u64 len = length();
	u8 *mem;

	switch (below(6)) {
	case 0:
	case 1:
		mem = kvm_create_phys_mem(
			KVM, gpa(), MIN(len, MOST_MEMORY), (int)below(2), (int)below(2));
		if (mem && chance(50))
			mem[0] = (u8)next();
		break;
	case 2:
		check(kvm_register_phys_mem(KVM, gpa(),
			fz.arena + below(ARENA / PAGE_SIZE) * PAGE_SIZE +
				(chance(5) ? below(PAGE_SIZE) : 0),
			MIN(len, ARENA_BEHIND), (int)below(2)));
		break;
	case 3: kvm_destroy_phys_mem(KVM, gpa(), len); break;
	case 4: kvm_unregister_memory_area(KVM, gpa(), len); break;
	default: check(kvm_register_phys_mem(KVM, gpa(), NULL, 0, 1)); break;
	}
}

static void call_alias(void)
{
	if (chance(70))
		check(kvm_create_memory_alias(KVM, gpa(), length(), gpa()));
	else
		check(kvm_destroy_memory_alias(KVM, gpa()));
}

/* May call the library, and end the range. */
static int on_region(unsigned long first, unsigned long len, void *bitmap, void *opaque)
{
	if (opaque != &fz || bitmap != fz.scratch || len / PAGE_SIZE / 8 > SCRATCH)
		finding("a region of a range", (long)len);
	check_bool(kvm_is_containing_region(KVM, first, len));
	return chance(90) ? 0 : 55;
}

static void check_range(long r)
{
	if (r != 55)
		check(r);
}

static void call_bitmaps(void)
{
	switch (below(8)) {
	case 0: check(kvm_get_dirty_pages(KVM, gpa(), place())); break;
	case 1:
		check_range(kvm_get_dirty_pages_range(KVM, gpa(), edge(), place(), &fz, on_region));
		break;
	case 2: check(kvm_get_mem_map(KVM, gpa(), place())); break;
	case 3:
		check_range(kvm_get_mem_map_range(KVM, gpa(), edge(), place(), &fz, on_region));
		break;
	case 4: check(kvm_dirty_pages_log_enable_slot(KVM, gpa(), length())); break;
	case 5: check(kvm_dirty_pages_log_disable_slot(KVM, gpa(), length())); break;
	case 6: check(kvm_dirty_pages_log_enable_all(KVM)); break;
	default: check(kvm_dirty_pages_log_reset(KVM)); break;
	}
}

static void call_coalesced(void)
{
	if (chance(60))
		check(kvm_register_coalesced_mmio(KVM, gpa(), (u32)length()));
	else
		check(kvm_unregister_coalesced_mmio(KVM, gpa(), (u32)length()));
}

static void call_old(void)
{
	switch (below(4)) {
	case 0: check(kvm_set_shadow_pages(KVM, (unsigned)edge())); break;
	case 1: check(kvm_get_shadow_pages(KVM, place())); break;
	case 2: check(kvm_assign_pci_device(KVM, place())); break;
	default: check(kvm_assign_irq(KVM, place())); break;
	}
}

static void call_callbacks(void)
{
	some_callbacks(&fz.c->callbacks);
}

#define CALL(name, weight)                                                                         \
	{                                                                                          \
#name, call_##name, weight                                                         \
	}
static const struct {
	const char *name;
	void (*fn)(void);
	unsigned weight;
} calls[] = {
	CALL(finalize, 2),
	CALL(init, 1),
	CALL(create, 3),
	CALL(settings, 3),
	CALL(questions, 3),
	CALL(vcpu, 4),
	CALL(run, 20),
	CALL(signal_mask, 2),
	CALL(registers, 10),
	CALL(change_sregs, 3),
	CALL(lists, 5),
	CALL(text, 2),
	CALL(interrupts, 8),
	CALL(chips, 6),
	CALL(memory, 10),
	CALL(alias, 6),
	CALL(bitmaps, 10),
	CALL(coalesced, 4),
	CALL(old, 2),
	CALL(callbacks, 1),
};

void one_call(void)
{
	unsigned total = 0, at;
	size_t i = 0;

	for (size_t j = 0; j < ARRAY_SIZE(calls); j++)
		total += calls[j].weight;
	for (at = (unsigned)below(total); at >= calls[i].weight; i++)
		at -= calls[i].weight;
	fz.c = &fz.contexts[below(CONTEXTS)];
	fz.call = calls[i].name;
	if (fz.trace)
		fprintf(stderr, "%lu: %s of %d\n", fz.done, fz.call, (int)(fz.c - fz.contexts));
	calls[i].fn();
}
