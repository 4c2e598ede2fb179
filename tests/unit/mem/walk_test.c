/* SPDX-License-Identifier: MIT */
/* The page walk against walk_model.c, and the cases that have a story of their own. */
#include <errno.h>

#include "walk_model.h"
#include "engine/core/cpu.h"
#include "engine/engine.h"
#include "engine/mem/mem.h"
#include "x86/regs.h"

static void test_random(void **state)
{
	struct random r = {0x5eed};
	struct fixture f;

	fixture_open(&f, 1, MODEL_BYTES);
	assert_true(model_compare(&f, &r, 150000));
	fixture_close(&f);
}

/* One 4 KiB page at 0x400000, tables in pages 1 to 4. */
static void map_one(struct fixture *f, u64 leaf)
{
	put64(f, 0x1000, 0x2007);
	put64(f, 0x2000, 0x3007);
	put64(f, 0x3000 + 2 * 8, 0x4007);
	put64(f, 0x4000, leaf);
	fixture_long_mode(f->cpu, 0x1000, 0);
}

static void test_fault_leaves_no_trace(void **state)
{
	struct fixture f;
	struct walk w;

	fixture_open(&f, 1, 0x10000);
	map_one(&f, 0x5005);
	assert_int_equal(mmu_walk(f.cpu, 0x400123, ACC_WRITE, &w), CPU_FAULT);
	assert_int_equal(f.cpu->exc.error, PF_P | PF_W);
	assert_int_equal(f.cpu->exc.cr2, 0x400123);
	assert_int_equal(get64(&f, 0x1000), 0x2007);
	assert_int_equal(get64(&f, 0x4000), 0x5005);
	assert_int_equal(mmu_walk(f.cpu, 0x400123, ACC_READ, &w), 0);
	assert_int_equal(w.gpa, 0x5123);
	assert_false(w.dirty);
	assert_int_equal(get64(&f, 0x4000), 0x5025);
	fixture_close(&f);
}

static void test_pcid_is_not_an_address(void **state)
{
	struct fixture f;
	struct walk w;

	fixture_open(&f, 1, 0x10000);
	map_one(&f, 0x5007);
	f.cpu->cr3 |= 0xabc;
	assert_int_equal(mmu_walk(f.cpu, 0x400000, ACC_READ, &w), 0);
	assert_int_equal(w.gpa, 0x5000);
	fixture_close(&f);
}

static void test_tables_in_rom(void **state)
{
	struct fixture f;
	struct walk w;

	fixture_open(&f, 1, 0x10000);
	map_one(&f, 0x5007);
	assert_int_equal(fixture_slot(&f, 0, 0, 0, 0, NULL), 0);
	assert_int_equal(fixture_slot(&f, 0, SLOT_READONLY, 0, 0x10000, f.ram), 0);
	assert_int_equal(mmu_walk(f.cpu, 0x400000, ACC_WRITE, &w), 0);
	assert_int_equal(get64(&f, 0x4000), 0x5007);
	fixture_close(&f);
}

static void test_tables_are_logged_and_watched(void **state)
{
	struct fixture f;
	struct walk w;
	u64 log = 0;

	fixture_open(&f, 1, 0x10000);
	map_one(&f, 0x5007);
	assert_int_equal(fixture_slot(&f, 0, SLOT_LOG_DIRTY, 0, 0x10000, f.ram), 0);
	page_watch(f.cpu, 0x4000);
	assert_int_equal(mmu_walk(f.cpu, 0x400000, ACC_WRITE, &w), 0);
	assert_int_equal(told.written, 1);
	assert_int_equal(told.written_gpa, 0x4000);
	assert_int_equal(machine_get_dirty_log(f.m, 0, &log), 0);
	assert_int_equal(log, 0x1e);
	fixture_close(&f);
}

static void test_peek(void **state)
{
	struct fixture f;
	struct translation to;

	fixture_open(&f, 1, 0x10000);
	map_one(&f, 0x5005);
	assert_int_equal(vcpu_translate(f.cpu->vcpu, 0x400010, &to), 0);
	assert_int_equal(to.gpa, 0x5010);
	assert_false(to.writable);
	assert_true(to.user);
	assert_int_equal(get64(&f, 0x4000), 0x5005);
	assert_int_equal(vcpu_translate(f.cpu->vcpu, 0x500000, &to), -EFAULT);
	assert_int_equal(vcpu_translate(f.cpu->vcpu, 1ull << 50, &to), -EFAULT);
	map_one(&f, 0x5005 | 1ull << 51);
	assert_int_equal(vcpu_translate(f.cpu->vcpu, 0x400010, &to), -EBADMSG);
	put64(&f, 0x3000 + 2 * 8, 0x800007); /* a table where nothing is */
	assert_int_equal(vcpu_translate(f.cpu->vcpu, 0x400010, &to), -ENOENT);
	fixture_close(&f);
}

static void expect_gpa(struct fixture *f, u64 lin, u64 gpa)
{
	struct walk w;

	assert_int_equal(mmu_walk(f->cpu, lin, ACC_READ, &w), 0);
	assert_int_equal(w.gpa, gpa);
}

/* A last table is remembered up to the next flush of any kind, whichever page that is for (SDM 3:4.10.4.1). */
static void test_tables_passed(void **state)
{
	struct fixture f;

	fixture_open(&f, 1, 0x10000);
	map_one(&f, 0x5007);
	put64(&f, 0x4000 + 8, 0x8007);
	put64(&f, 0x6000, 0x7007);
	expect_gpa(&f, 0x400123, 0x5123);
	put64(&f, 0x4000, 0x9007); /* the last entry is read each time */
	expect_gpa(&f, 0x400123, 0x9123);
	put64(&f, 0x3000 + 2 * 8, 0x6007);
	tlb_flush_page(f.cpu, 0x401000);
	expect_gpa(&f, 0x400123, 0x7123);
	put64(&f, 0x3000 + 2 * 8, 0x4007);
	tlb_flush_nonglobal(f.cpu);
	expect_gpa(&f, 0x400123, 0x9123);
	put64(&f, 0x3000 + 2 * 8, 0x6007);
	tlb_flush_all(f.cpu);
	expect_gpa(&f, 0x400123, 0x7123);
	fixture_close(&f);
}

/* What the entries above take away stays taken away for the second page of a table. */
static void test_rights_of_passed_tables(void **state)
{
	struct fixture f;
	struct walk w;

	fixture_open(&f, 1, 0x10000);
	map_one(&f, 0x5007);
	put64(&f, 0x4000 + 8, 0x8007);
	put64(&f, 0x2000, 0x3005); /* not writable */
	put64(&f, 0x1000, 0x2003); /* not the user's */
	expect_gpa(&f, 0x400123, 0x5123);
	assert_int_equal(mmu_walk(f.cpu, 0x401000, ACC_READ, &w), 0);
	assert_false(w.writable);
	assert_false(w.user);
	assert_int_equal(get64(&f, 0x4000 + 8), 0x8027);
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_fault_leaves_no_trace),
		cmocka_unit_test(test_pcid_is_not_an_address),
		cmocka_unit_test(test_tables_in_rom),
		cmocka_unit_test(test_tables_are_logged_and_watched),
		cmocka_unit_test(test_peek),
		cmocka_unit_test(test_tables_passed),
		cmocka_unit_test(test_rights_of_passed_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
