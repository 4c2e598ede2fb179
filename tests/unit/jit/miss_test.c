/* SPDX-License-Identifier: MIT */
/* What the TLB does not have is filled, and generated code does the instruction: step() is for what is more than that. */
#include "engine/core/stat.h"
#include "engine/core/vcpu.h"
#include "tests/unit/world/world.h"

#define FIRST 0x9000u
#define PAGES 5u

static struct world w;

static void open(void)
{
	world_open(&w, IRQCHIP_NONE);
	world_give_cpuid(w.v);
}

struct counts {
	u64 missed, stepped, fills;
};

static struct counts counts(void)
{
	const u64 *s = w.v->own_stats;

	return (struct counts){s[STAT_MISSED_NATIVE], s[STAT_INSNS_STEPPED], s[STAT_TLB_FILLS]};
}

/* What one run from CODE to HLT counts. */
static struct counts run(void)
{
	struct counts before = counts(), after;

	run_to(w.v, EXIT_HLT);
	after = counts();
	return (struct counts){after.missed - before.missed, after.stepped - before.stepped,
		after.fills - before.fills};
}

/* mov $FIRST, %bx; mov $PAGES, %cx; again: incb (%bx); add $0x1000, %bx; loop again; hlt */
static void test_pages(void **state)
{
	struct counts c;

	open();
	WORLD_CODE(&w, 0xbb, 0x00, 0x90, 0xb9, PAGES, 0x00, 0xfe, 0x07, 0x81, 0xc3, 0x00, 0x10,
		0xe2, 0xf8, 0xf4);
	c = run();
	assert_int_equal(c.missed, 0);
	assert_true(c.fills >= PAGES);
	for (u32 i = 0; i < PAGES; i++)
		assert_int_equal(w.ram[FIRST + i * PAGE_SIZE], 1);
	world_close(&w);
}

/* mov $FIRST + 0xfff, %bx; incw (%bx); hlt */
static void test_crossing(void **state)
{
	open();
	WORLD_PUT(&w, FIRST + 0xfff, 0xff, 0x00);
	WORLD_CODE(&w, 0xbb, 0xff, 0x9f, 0xff, 0x07, 0xf4);
	assert_int_equal(run().missed, 1);
	assert_int_equal(w.ram[FIRST + 0xfff], 0);
	assert_int_equal(w.ram[FIRST + 0x1000], 1);
	world_close(&w);
}

/* mov $0x4000, %bx; mov %bx, %ds; incb (0x1234); hlt: nothing is at 0x41234 */
static void test_device(void **state)
{
	open();
	WORLD_CODE(&w, 0xbb, 0x00, 0x40, 0x8e, 0xdb, 0xfe, 0x06, 0x34, 0x12, 0xf4);
	run_to(w.v, EXIT_MMIO_READ);
	assert_int_equal(counts().missed, 1);
	world_close(&w);
}

/* xor %ax, %ax; mov %ax, %ss; incb (%bx); hlt: no interrupt may come in front of the third, so step() does it. */
static void test_shadow(void **state)
{
	struct vcpu_state v;

	open();
	WORLD_CODE(&w, 0x31, 0xc0, 0x8e, 0xd0, 0xfe, 0x07, 0xf4);
	vcpu_get(w.v, ST_REGS, &v);
	v.gpr[RBX] = FIRST;
	assert_int_equal(vcpu_set(w.v, ST_REGS, &v), 0);
	assert_int_equal(run().missed, 1);
	assert_int_equal(w.ram[FIRST], 1);
	world_close(&w);
}

static void run_within(u32 limit)
{
	struct vcpu_state v;

	vcpu_get(w.v, ST_REGS | ST_SREGS, &v);
	v.rip = CODE;
	v.gpr[RBX] = FIRST;
	v.gpr[RAX] = 0;
	v.seg[SEG_CS].limit = limit;
	assert_int_equal(vcpu_set(w.v, ST_REGS | ST_SREGS, &v), 0);
	run_to(w.v, EXIT_HLT);
}

/*
 * incb (%bx); inc %ax; hlt: a block, which looks at the limit of cs where it begins. Then only the first is within the limit,
 * whose memory the TLB does not have.
 */
static void test_code_limit(void **state)
{
	open();
	world_vector(&w, X86_GP, 0x800);
	WORLD_PUT(&w, 0x800, 0xf4);
	WORLD_CODE(&w, 0xfe, 0x07, 0x40, 0xf4);
	run_within(CODE + 0x800);
	assert_int_equal(gpr_of(w.v, RAX), 1);
	run_within(CODE + 1);
	assert_int_equal(gpr_of(w.v, RAX), 0);
	assert_int_equal(w.ram[FIRST], 2);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_crossing),
		cmocka_unit_test(test_device),
		cmocka_unit_test(test_shadow),
		cmocka_unit_test(test_code_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
