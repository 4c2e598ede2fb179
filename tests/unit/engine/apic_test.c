/* SPDX-License-Identifier: MIT */
/*
 * TPR and IA32_APIC_BASE: each is one register, whoever writes it and whoever reads it, with a local APIC in the engine
 * and without. Every way in is followed by every way out.
 */
#include "tests/unit/world/world.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "engine/irqchip.h"
#include "x86/regs.h"

#define APIC_PAGE     0xfee00000u
#define TPR           0x80
#define MSR_APIC_BASE 0x1b

/* ---- a guest in 64-bit mode that sees the first 2 MiB and the APIC's page ---- */

static void put64(struct world *w, u32 addr, u64 value)
{
	world_put(w, addr, &value, sizeof(value));
}

static void start_long(struct world *w, enum irqchip_mode mode)
{
	struct vcpu_state s;

	world_open(w, mode);
	world_give_cpuid(w->v);
	put64(w, 0x5000, 0x2003);
	put64(w, 0x2000, 0x3003);
	put64(w, 0x2000 + 3 * 8, 0x4003);
	put64(w, 0x3000, 0x83);
	put64(w, 0x4000 + (APIC_PAGE >> 21 & 511) * 8, (APIC_PAGE & ~0x1fffff) | 0x83);
	vcpu_get(w->v, ST_SREGS, &s);
	for (unsigned i = 0; i <= SEG_GS; i++)
		s.seg[i] = (struct segment){
			.limit = 0xffffffff, .attr = i == SEG_CS ? 0xa09b : 0xc093, .selector = 8};
	s.cr0 = CR0_PE | CR0_PG | CR0_ET;
	s.cr3 = 0x5000;
	s.cr4 = CR4_PAE;
	s.efer = EFER_LME | EFER_LMA;
	assert_int_equal(vcpu_set(w->v, ST_SREGS, &s), 0);
}

/* Code that ends with OUT 10h; what it leaves in RAX. */
static u64 guest_does(struct world *w, const u8 *code, size_t len, const u64 gpr[4])
{
	static const u8 end[] = {0xe6, 0x10};
	struct vcpu_state s;

	world_put(w, CODE, code, len);
	world_put(w, CODE + (u32)len, end, sizeof(end));
	vcpu_get(w->v, ST_REGS, &s);
	memcpy(s.gpr, gpr, 4 * sizeof(u64));
	s.rip = CODE;
	assert_int_equal(vcpu_set(w->v, ST_REGS, &s), 0);
	do
		assert_int_equal(vcpu_run(w->v, 0), 0);
	while (vcpu_exit(w->v)->reason == EXIT_SET_TPR);
	assert_int_equal(vcpu_exit(w->v)->reason, EXIT_IO_OUT);
	return gpr_of(w->v, RAX);
}
#define GUEST(w, rax, rcx, rdx, rbx, ...)                                                          \
	({                                                                                         \
		static const u8 code_[] = {__VA_ARGS__};                                           \
		guest_does(w, code_, sizeof(code_), (const u64[4]){rax, rcx, rdx, rbx});           \
	})

/* ---- TPR ---- */

static void by_mov_cr8(struct world *w, u8 class)
{
	GUEST(w, class, 0, 0, 0, 0x44, 0x0f, 0x22, 0xc0);
}

static void by_store(struct world *w, u8 class)
{
	GUEST(w, (u64) class << 4, 0, 0, APIC_PAGE + TPR, 0x89, 0x03); /* mov [rbx], eax */
}

static void by_sregs(struct world *w, u8 class)
{
	struct vcpu_state s;

	vcpu_get(w->v, ST_SREGS, &s);
	s.cr8 = class;
	assert_int_equal(vcpu_set(w->v, ST_SREGS, &s), 0);
}

static void by_run(struct world *w, u8 class)
{
	assert_int_equal(vcpu_set_cr8(w->v, class), 0);
}

static void by_lapic_page(struct world *w, u8 class)
{
	u8 page[1024];

	assert_int_equal(vcpu_get_lapic(w->v, page), 0);
	page[TPR] = (u8)(class << 4);
	assert_int_equal(vcpu_set_lapic(w->v, page), 0);
}

static void expect_cr8(struct world *w, u8 class)
{
	struct vcpu_brief b;
	struct vcpu_state s;

	vcpu_get_brief(w->v, &b);
	vcpu_get(w->v, ST_SREGS, &s);
	assert_int_equal(b.cr8, class);
	assert_int_equal(s.cr8, class);
	assert_int_equal(GUEST(w, 0xff, 0, 0, 0, 0x44, 0x0f, 0x20, 0xc0), class);
}

static void expect_tpr(struct world *w, u8 class)
{
	u8 page[1024];

	expect_cr8(w, class);
	assert_int_equal(vcpu_get_lapic(w->v, page), 0);
	assert_int_equal(page[TPR], class << 4);
	assert_int_equal(page[0xa0], class << 4); /* PPR: nothing is served */
	assert_int_equal(GUEST(w, 0xff, 0, 0, APIC_PAGE + TPR, 0x8b, 0x03), class << 4);
}

static void test_tpr(void **state)
{
	static void (*const ways[])(struct world *, u8) = {
		by_mov_cr8, by_store, by_sregs, by_run, by_lapic_page};
	struct world w;

	start_long(&w, IRQCHIP_FULL);
	for (u8 i = 0; i < 3 * ARRAY_SIZE(ways); i++) {
		ways[i % ARRAY_SIZE(ways)](&w, (u8)(15 - i));
		expect_tpr(&w, (u8)(15 - i));
	}
	world_close(&w);
}

static void test_callers_tpr(void **state)
{
	static void (*const ways[])(struct world *, u8) = {by_mov_cr8, by_sregs, by_run};
	struct world w;

	start_long(&w, IRQCHIP_NONE);
	for (u8 i = 0; i < 12; i++) {
		ways[i % ARRAY_SIZE(ways)](&w, (u8)(i * 7 & 15));
		expect_cr8(&w, (u8)(i * 7 & 15));
	}
	world_close(&w);
}

/* INIT clears it, wherever it is. */
static void test_init(void **state)
{
	const struct msi init = {.address = APIC_PAGE, .data = 5 << 8};
	struct vcpu_brief b;
	struct world w;

	start_long(&w, IRQCHIP_FULL);
	by_mov_cr8(&w, 7);
	assert_int_equal(irq_msi(w.m, &init), 1);
	vcpu_kick(w.v);
	assert_int_equal(vcpu_run(w.v, 0), 0);
	if (vcpu_exit(w.v)->reason == EXIT_INTR)
		assert_int_equal(vcpu_run(w.v, 0), 0);
	vcpu_get_brief(w.v, &b);
	assert_int_equal(b.cr8, 0);
	assert_int_equal(b.apic_base, 0xfee00900);
	world_close(&w);
}

/* ---- IA32_APIC_BASE ---- */

static void base_by_guest(struct world *w, u64 base)
{
	GUEST(w, (u32)base, MSR_APIC_BASE, base >> 32, 0, 0x0f, 0x30);
}

static void base_by_msr(struct world *w, u64 base)
{
	assert_int_equal(vcpu_set_msr(w->v, MSR_APIC_BASE, base, true), 0);
}

static void base_by_sregs(struct world *w, u64 base)
{
	struct vcpu_state s;

	vcpu_get(w->v, ST_SREGS, &s);
	s.apic_base = base;
	assert_int_equal(vcpu_set(w->v, ST_SREGS, &s), 0);
}

static u32 leaf1_edx(struct vcpu *v)
{
	struct cpuid_entry e[256];
	unsigned n = vcpu_get_cpuid(v, e, 256);

	for (unsigned i = 0; i < n; i++)
		if (e[i].function == 1)
			return e[i].edx;
	return 0;
}

static void expect_base(struct world *w, u64 base)
{
	const u32 apic = base & APIC_BASE_ENABLE ? BIT(9) : 0;
	struct vcpu_brief b;
	struct vcpu_state s;
	u64 value;

	vcpu_get_brief(w->v, &b);
	vcpu_get(w->v, ST_SREGS, &s);
	assert_int_equal(b.apic_base, base);
	assert_int_equal(s.apic_base, base);
	assert_int_equal(vcpu_get_msr(w->v, MSR_APIC_BASE, &value, true), 0);
	assert_int_equal(value, base);
	assert_int_equal(leaf1_edx(w->v) & BIT(9), apic);
	assert_int_equal(GUEST(w, 0, MSR_APIC_BASE, 0, 0, 0x0f, 0x32), (u32)base);     /* rdmsr */
	assert_int_equal(GUEST(w, 1, 0, 0, 0, 0x0f, 0xa2, 0x89, 0xd0) & BIT(9), apic); /* cpuid */
}

static void base_ways(enum irqchip_mode mode)
{
	static void (*const ways[])(struct world *, u64) = {
		base_by_guest, base_by_msr, base_by_sregs};
	static const u64 values[] = {0xfee00100, 0xfee00900, 0xfed00900, 0x1fee00900, 0xfee00d00};
	struct world w;

	start_long(&w, mode);
	expect_base(&w, 0xfee00900);
	for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
		base_by_sregs(&w, 0xfee00900); /* from x2APIC no guest comes back */
		for (unsigned k = 0; k < ARRAY_SIZE(values); k++) {
			ways[i](&w, values[k]);
			expect_base(&w, values[k]);
		}
	}
	world_close(&w);
}

static void test_base(void **state)
{
	base_ways(IRQCHIP_FULL);
	base_ways(IRQCHIP_NONE);
}

/* Which processor boots is the VMM's choice, also where it has the local APICs. */
static void test_boot_cpu(void **state)
{
	static const enum irqchip_mode modes[] = {IRQCHIP_FULL, IRQCHIP_NONE};
	struct machine *m;
	struct vcpu *v[2];
	struct vcpu_brief b;

	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		assert_int_equal(machine_create(&m), 0);
		assert_int_equal(machine_set_boot_cpu(m, 1), 0);
		if (modes[i] != IRQCHIP_NONE)
			assert_int_equal(machine_create_irqchip(m, modes[i]), 0);
		for (u32 id = 0; id < 2; id++) {
			assert_int_equal(vcpu_create(m, id, &v[id]), 0);
			vcpu_get_brief(v[id], &b);
			assert_int_equal(b.apic_base, id == 1 ? 0xfee00900 : 0xfee00800);
		}
		vcpu_destroy(v[0]);
		vcpu_destroy(v[1]);
		machine_destroy(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tpr),
		cmocka_unit_test(test_callers_tpr),
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_base),
		cmocka_unit_test(test_boot_cpu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
