/* SPDX-License-Identifier: MIT */
/*
 * fuzz-addresses: wherever guest or VMM hand over a guest address, one of SMRAM with high bits set that should not be.
 *
 * The engine tells the two address spaces apart by bit 52, so no address from outside may carry it there: SMRAM's secret must
 * be neither changed nor seen. Anything may be refused, fault or exit; nothing may crash. Each round is one address in one
 * place, then a load and a store.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/box.h"

enum { MSRS, CALLS, TABLES, REQUESTS };
static const char *const ingredients[] = {"msrs", "calls", "tables", "requests", NULL};

#define WINDOW 0x100000 /* the page whose entry tables() changes */

static u64 address(struct random *r)
{
	static const unsigned high[] = {36, 39, 40, 46, 47, 48, 51, 52, 53, 54, 58, 59, 62, 63};
	u64 a = SMRAM_GPA + (rnd_below(r, SMRAM_BYTES) & ~0xfffull);

	if (rnd_chance(r, 40))
		a += rnd_below(r, 512) * 8;
	a |= rnd_below(r, 4); /* enable bits of MSRs */
	if (rnd_chance(r, 45))
		return a | 1ull << 52;
	for (u64 n = rnd_below(r, 3); n; n--)
		a |= 1ull << RND_OF(r, high);
	if (rnd_chance(r, 10))
		a |= -1ull << rnd_below(r, 64);
	return rnd_chance(r, 5) ? rnd_edge(r) : a;
}

/* ---- what the guest does ---- */

static u32 any_msr(struct box *b, struct random *r)
{
	/* KVM's, Hyper-V's, and what KVM_GET_MSR_INDEX_LIST lists. */
	static const u32 more[] = {0x11, 0x12, 0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d03,
		0x4b564d04, 0x4b564d05, 0x40000000, 0x40000001, 0x40000021, 0x40000073, 0x40000082,
		0x40000083, 0x40000106, 0x1b, 0x9e, 0xc0000100, 0xc0000101, 0x175, 0x176, 0x600};
	struct {
		struct kvm_msr_list h;
		u32 index[512];
	} list = {.h.nmsrs = 512};

	if (rnd_chance(r, 75) || box_do(b, b->sys, KVM_GET_MSR_INDEX_LIST, &list) || !list.h.nmsrs)
		return RND_OF(r, more);
	return list.index[rnd_below(r, list.h.nmsrs)];
}

static void put_wrmsr(struct code *c, u32 msr, u64 value)
{
	put_mov(c, 1, msr);
	put_mov(c, 0, value & 0xffffffff);
	put_mov(c, 2, value >> 32);
	PUT(c, 0x0f, 0x30);
}

static void msrs(struct box *b, struct random *r, struct code *c)
{
	struct {
		struct kvm_msrs h;
		struct kvm_msr_entry e;
	} m = {.h.nmsrs = 1, .e = {.index = any_msr(b, r), .data = address(r)}};

	tell("msr %#x = %#llx", m.e.index, (unsigned long long)m.e.data);
	if (rnd_chance(r, 30))
		box_do(b, b->vcpu[0], KVM_SET_MSRS, &m);
	else
		put_wrmsr(c, m.e.index, m.e.data);
}

/* KVM's take RAX, RBX, RCX, RDX, RSI; Hyper-V's RCX, RDX, R8; Xen's RAX, RDI, RSI, RDX. */
static void calls(struct box *b, struct random *r, struct code *c)
{
	static const u8 hv[] = {0x02, 0x03, 0x08, 0x0b, 0x13, 0x14, 0x15, 0x50, 0x5c, 0x5d};
	static const u8 registers[] = {2, 3, 6, 7, 8};

	if (rnd_chance(r, 30)) {
		put_wrmsr(c, 0x40000000, 1);
		put_wrmsr(c, 0x40000001, 0x90001);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
		put_mov(c, registers[i], rnd_chance(r, 70) ? address(r) : rnd_below(r, 3));
	put_mov(c, 0, rnd_below(r, 14));
	put_mov(c, 1, rnd_chance(r, 60) ? rnd_below(r, 2) : RND_OF(r, hv));
	if (rnd_chance(r, 50))
		PUT(c, 0x0f, 0x01, 0xc1);
	else
		PUT(c, 0x0f, 0x01, 0xd9);
}

/* Entries of each level, CR3, and the bases of descriptor tables. */
static void tables(struct box *b, struct random *r, struct code *c)
{
	static const u32 entries[] = {0x4000 + WINDOW / 4096 * 8, 0x4000 + WINDOW / 4096 * 8,
		0xc000, 0x3000 + 8, 0x2000 + 8, AT_PML4 + 8};
	const u64 a = address(r);
	const u64 entry = (a & ~0xfffull) | (rnd_chance(r, 50) ? 7 : 0x87);
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) table = {0xffff, a};

	switch (rnd_below(r, 4)) {
	case 0:
		put_mov(c, 0, a);
		PUT(c, 0x0f, 0x22, 0xd8); /* mov cr3, rax */
		break;
	case 1:
		memcpy(b->ram + AT_SHARED, &table, sizeof(table));
		PUT(c, 0x0f, 0x01, rnd_chance(r, 50) ? 0x16 : 0x1e); /* lgdt, lidt [rsi] */
		PUT(c, 0xcc);
		break;
	default: memcpy(b->ram + RND_OF(r, entries), &entry, 8);
	}
}

/* ---- what the VMM does ---- */

static void one_request(struct box *b, struct random *r)
{
	const u64 a = address(r);
	struct kvm_translation t = {.linear_address = a};
	struct kvm_msi msi = {
		.address_lo = (u32)a, .address_hi = (u32)(a >> 32), .data = (u32)rnd_edge(r)};
	struct kvm_ioeventfd io = {.addr = a, .len = 4, .fd = 0};
	struct kvm_coalesced_mmio_zone zone = {.addr = a, .size = 4096};
	struct kvm_vapic_addr vapic = {a};
	struct kvm_sregs s;

	switch (rnd_below(r, 8)) {
	case 0: box_do(b, b->vcpu[0], KVM_TRANSLATE, &t); break;
	case 1: box_do(b, b->vm, KVM_SIGNAL_MSI, &msi); break;
	case 2: box_do(b, b->vm, KVM_IOEVENTFD, &io); break;
	case 3: box_do(b, b->vm, KVM_REGISTER_COALESCED_MMIO, &zone); break;
	case 4: box_do(b, b->vcpu[0], KVM_SET_VAPIC_ADDR, &vapic); break;
	case 5: box_do(b, b->vm, KVM_SET_IDENTITY_MAP_ADDR, &a); break;
	case 6: /* the second MiB of RAM again, at a page of its own */
		box_slot(b, 1, 0, a & ~0xfffull, 0x1000, b->ram + WINDOW);
		box_slot(b, 1, 0, a & ~0xfffull, 0, b->ram + WINDOW);
		break;
	default:
		box_do(b, b->vcpu[0], KVM_GET_SREGS, &s);
		if (rnd_chance(r, 50))
			s.cr3 = a;
		else
			s.apic_base = a;
		box_do(b, b->vcpu[0], KVM_SET_SREGS, &s);
	}
}

/* ---- rounds ---- */

static void check_exit(struct box *b)
{
	struct kvm_regs regs = {0};
	const struct kvm_run *run = b->run[0];

	box_do(b, b->vcpu[0], KVM_GET_REGS, &regs);
	for (unsigned i = 0; i < 16; i++)
		if ((&regs.rax)[i] == SECRET)
			finding("SMRAM's secret is in general register %u", i);
	if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.phys_addr >> 52)
		finding("KVM_EXIT_MMIO at %#llx", (unsigned long long)run->mmio.phys_addr);
}

static void run(struct box *b)
{
	for (unsigned i = 0; i < 4; i++) {
		/* A guest that sleeps or loops has a right to it. */
		ualarm(3000, 1000);
		if (box_do(b, b->vcpu[0], KVM_RUN, NULL))
			i = 4;
		ualarm(0, 0);
		check_exit(b);
	}
}

static void one_round(struct box *b, struct random *r)
{
	struct code c = {b->ram + AT_CODE, AT_CODE, 0};

	box_tables(b);
	switch (rnd_below(r, 4)) {
	case 0: with(MSRS) ? msrs(b, r, &c) : (void)0; break;
	case 1: with(CALLS) ? calls(b, r, &c) : (void)0; break;
	case 2: with(TABLES) ? tables(b, r, &c) : (void)0; break;
	}
	PUT(&c, 0xe6, 0x10); /* out: what was asked for is done by now */
	PUT(&c, 0x48, 0xa1); /* mov rax, [window] */
	put64(&c, WINDOW);
	PUT(&c, 0xe6, 0x12);
	PUT(&c, 0x48, 0xa3);
	put64(&c, WINDOW + 8);
	PUT(&c, 0xf4);
	box_start(b, 0, true);
	if (with(REQUESTS) && rnd_chance(r, 20))
		one_request(b, r);
	run(b);
	box_check_secret(b);
	count_step();
}

static void one_case(struct random *r)
{
	struct box b = {0};

	box_open(&b, 1, rnd_chance(r, 60), 0);
	if (rnd_chance(r, 40))
		box_hyperv(&b, 0);
	for (unsigned i = 0; i < 12; i++) {
		progress("an address is used");
		one_round(&b, r);
	}
	box_close(&b);
}

int main(int argc, char **argv)
{
	static const struct fuzzer f = {.name = "addresses",
		.ingredients = ingredients,
		.pass_seconds = 4,
		.hang_seconds = 60,
		.interrupts = SIGALRM,
		.one_case = one_case};

	return fuzz_main(&f, argc, argv);
}
