/* SPDX-License-Identifier: MIT */
/*
 * Control and segment registers, which are set one by one: in whatever order, what no processor can have together is kept
 * and shown until it fits; a run meanwhile says so, and changes nothing.
 */
#include "tests/abi/mshv_port.h"

#include <string.h>

/* out 10h, al */
static const u8 code[] = {0xe6, 0x10};

/* What a VP in 64-bit mode has. */
static const struct {
	u32 name, intermediate;
	u64 value;
} parts[] = {
	{HV_X64_REGISTER_CR0, HV_X64_REGISTER_INTERMEDIATE_CR0, 0x80000031},
	{HV_X64_REGISTER_CR3, HV_X64_REGISTER_INTERMEDIATE_CR3, TABLES_GPA},
	{HV_X64_REGISTER_CR4, HV_X64_REGISTER_INTERMEDIATE_CR4, 0x620},
	{HV_X64_REGISTER_EFER, HV_X64_REGISTER_EFER, 0x500},
};

static void expect_invalid(struct partition *p)
{
	const struct hv_invalid_register_message *m = RUN_UNTIL(
		p, 0, HVMSG_INVALID_VP_REGISTER_VALUE, struct hv_invalid_register_message);

	assert_int_equal(m->vp_index, 0);
	assert_int_equal(m->reserved, 0);
}

/* From real mode, whose control registers are as after reset. */
static void back_to_reset(struct partition *p)
{
	const struct hv_register r[] = {{.name = HV_X64_REGISTER_CR0, .value = {.low = 0x10}},
		{.name = HV_X64_REGISTER_EFER}, {.name = HV_X64_REGISTER_CR4},
		{.name = HV_X64_REGISTER_CR3}};

	assert_hv(hv_regs_set(p->fd, 0, r, ARRAY_SIZE(r)), 0, ARRAY_SIZE(r));
}

static void in_order(struct partition *p, const unsigned order[4], bool intermediate)
{
	back_to_reset(p);
	for (unsigned i = 0; i < 4; i++) {
		const u32 name = intermediate ? parts[order[i]].intermediate : parts[order[i]].name;

		assert_hv(try_reg(p, 0, name, parts[order[i]].value), 0, 1);
		for (unsigned n = 0; n <= i; n++) /* all that was set stands */
			assert_int_equal(reg(p, 0, parts[order[n]].name), parts[order[n]].value);
	}
	set_reg(p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	run_to_out(p, 0, 0x10);
}

static void test_every_order(void **state)
{
	struct partition p = {0};
	unsigned o[4], done = 0;

	partition_start(&p, LAPIC);
	code_long(&p, 0, code, sizeof(code));
	for (o[0] = 0; o[0] < 4; o[0]++)
		for (o[1] = 0; o[1] < 4; o[1]++)
			for (o[2] = 0; o[2] < 4; o[2]++) {
				o[3] = 6 - o[0] - o[1] - o[2];
				if (o[0] == o[1] || o[0] == o[2] || o[1] == o[2])
					continue;
				in_order(&p, o, done & 1);
				done++;
			}
	assert_int_equal(done, 24);
	partition_close(&p);
}

/* In one call, and in the order in which a VMM that starts a PVH kernel sets them. */
static void test_protected_mode(void **state)
{
	const struct hv_segment cs = {.limit = ~0u, .selector = 8, .attr = 0xc09b};
	const struct hv_segment ds = {.limit = ~0u, .selector = 16, .attr = 0xc093};
	const struct hv_segment tr = {.limit = 0x67, .selector = 0x18, .attr = 0x8b};
	struct partition p = {0};
	u64 apic_base;

	partition_start(&p, LAPIC);
	memcpy(p.ram + CODE_GPA, code, sizeof(code));
	/* The segments first, by the page. */
	for (unsigned i = 0; i < 6; i++)
		p.page[0]->segment[i] = i == 1 ? cs : ds;
	p.page[0]->rip = CODE_GPA;
	p.page[0]->rflags = 2;
	p.page[0]->dirty = HV_PAGE_DIRTY_SEGMENTS | HV_PAGE_DIRTY_RIP | HV_PAGE_DIRTY_RFLAGS;
	set_reg128(&p, 0, HV_X64_REGISTER_TR, &tr);
	apic_base = reg(&p, 0, HV_X64_REGISTER_APIC_BASE);
	set_reg(&p, 0, HV_X64_REGISTER_INTERMEDIATE_CR0, 1);
	set_reg(&p, 0, HV_X64_REGISTER_CR2, 0);
	set_reg(&p, 0, HV_X64_REGISTER_INTERMEDIATE_CR3, 0);
	set_reg(&p, 0, HV_X64_REGISTER_INTERMEDIATE_CR4, 0);
	set_reg(&p, 0, HV_X64_REGISTER_CR8, 0);
	set_reg(&p, 0, HV_X64_REGISTER_EFER, 0);
	set_reg(&p, 0, HV_X64_REGISTER_APIC_BASE, apic_base);
	assert_int_equal(p.page[0]->cr0, 0x11);
	assert_int_equal(p.page[0]->segment[1].attr, cs.attr);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
}

/* What cannot be: each is kept, refused by a run, and can be taken back. */
static void test_impossible(void **state)
{
	static const struct {
		u32 name;
		u64 value;
	} bad[] = {
		{HV_X64_REGISTER_CR0, 0x80000010}, /* paging without protection */
		{HV_X64_REGISTER_CR0, 0xa0000031}, /* NW without CD */
		{HV_X64_REGISTER_CR4, 0x600},      /* long mode without PAE */
		{HV_X64_REGISTER_EFER, 0x400},     /* LMA without LME */
		{HV_X64_REGISTER_CR3, 1ull << 60}, /* beyond the width of addresses */
		{HV_X64_REGISTER_APIC_BASE,
			0xfee00401}, /* a reserved bit; x2APIC without the APIC */
		{HV_X64_REGISTER_APIC_BASE, 1ull << 60},
	};
	struct partition p = {0};

	partition_start(&p, LAPIC | X2APIC);
	code_long(&p, 0, code, sizeof(code));
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		const u64 good = reg(&p, 0, bad[i].name);

		set_reg(&p, 0, bad[i].name, bad[i].value);
		assert_int_equal(reg(&p, 0, bad[i].name), bad[i].value);
		expect_invalid(&p);
		assert_int_equal(reg(&p, 0, bad[i].name), bad[i].value);
		assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RIP), CODE_GPA);
		assert_int_equal(reg(&p, 0, HV_REGISTER_INTERCEPT_SUSPEND), 1);
		expect_invalid(&p);
		/* Other registers do not mind. */
		set_reg(&p, 0, HV_X64_REGISTER_RAX, i);
		assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RAX), i);
		set_reg(&p, 0, bad[i].name, good);
		run_to_out(&p, 0, 0x10);
		set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	}
	partition_close(&p);
}

/* Segments, tables and CR2 that are set meanwhile are there when it fits. */
static void test_set_meanwhile(void **state)
{
	const struct hv_table idt = {.limit = 0x123, .base = 0x4000};
	const struct hv_segment fs = {
		.base = 0x12345, .limit = ~0u, .selector = 16, .attr = 0xc093};
	struct hv_value128 v;
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0, code, sizeof(code));
	set_reg(&p, 0, HV_X64_REGISTER_CR4, 0x600);
	set_reg(&p, 0, HV_X64_REGISTER_CR2, 0x777);
	set_reg(&p, 0, HV_X64_REGISTER_CR8, 9);
	set_reg128(&p, 0, HV_X64_REGISTER_IDTR, &idt);
	set_reg128(&p, 0, HV_X64_REGISTER_FS, &fs);
	p.page[0]->segment[5] = fs; /* GS, by the page */
	p.page[0]->dirty = HV_PAGE_DIRTY_SEGMENTS;
	v = reg128(&p, 0, HV_X64_REGISTER_GS);
	assert_memory_equal(&v, &fs, sizeof(fs));
	set_reg(&p, 0, HV_X64_REGISTER_CR4, 0x620);
	run_to_out(&p, 0, 0x10);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_CR2), 0x777);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_CR8), 9);
	v = reg128(&p, 0, HV_X64_REGISTER_IDTR);
	assert_memory_equal(&v, &idt, sizeof(idt));
	v = reg128(&p, 0, HV_X64_REGISTER_FS);
	assert_memory_equal(&v, &fs, sizeof(fs));
	partition_close(&p);
}

/* A TLB does not outlive a change of the tables' address. */
static void test_new_tables(void **state)
{
	const u64 there = (FREE_GPA + 0x1000) | 7;
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0,
		BYTES(0x8b, 0x03, 0xe6, 0x10, 0xeb,
			0xfa)); /* mov eax, [rbx]; out 10h, al; jmp back */
	memcpy(p.ram + FREE_GPA, p.ram + TABLES_GPA,
		0x1000); /* tables in which the first GiB is the second, too */
	memcpy(p.ram + FREE_GPA + 0x1000, p.ram + TABLES_GPA + 0x1000, 0x1000);
	memcpy(p.ram + FREE_GPA, &there, 8);
	memcpy(p.ram + FREE_GPA + 0x1008, p.ram + TABLES_GPA + 0x1000, 8);
	p.ram[0x5000] = 0x55;
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, 0x40005000);
	long_gate(&p, X86_PF, 0x3000);
	memcpy(p.ram + 0x3000, (const u8[]){0xe6, 0xe}, 2);
	run_to_out(&p, 0, 0xe); /* not there */
	set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	set_reg(&p, 0, HV_X64_REGISTER_CR3, FREE_GPA);
	assert_int_equal(run_to_out(&p, 0, 0x10), 0x55);
	set_reg(&p, 0, HV_X64_REGISTER_CR3, TABLES_GPA);
	run_to_out(&p, 0, 0xe);
	partition_close(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_every_order),
	cmocka_unit_test(test_protected_mode),
	cmocka_unit_test(test_impossible),
	cmocka_unit_test(test_set_meanwhile),
	cmocka_unit_test(test_new_tables),
};
MSHV_MAIN(tests)
