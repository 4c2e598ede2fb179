/* SPDX-License-Identifier: MIT */
/* Memory slots: the error rules measured on a real kernel, look-up, the dirty log, access by the caller. */
#include <errno.h>
#include <sys/mman.h>

#include "tests/unit/world/memory.h"
#include "engine/core/cpu.h"
#include "engine/engine.h"
#include "engine/mem/mem.h"
#include "engine/mem/memory.h"

#define SLOT_BYTES 0x10000

static void test_error_rules(void **state)
{
	struct fixture f;
	u8 *mem = aligned_alloc(PAGE_SIZE, 4 * SLOT_BYTES);

	fixture_open(&f, 1, 0);
	assert_int_equal(fixture_slot(&f, 1, 0, 0x100000, SLOT_BYTES, mem), 0);
	/* overlap, from either side and inside */
	assert_int_equal(fixture_slot(&f, 2, 0, 0x10f000, SLOT_BYTES, mem), -EEXIST);
	assert_int_equal(fixture_slot(&f, 2, 0, 0xf1000, SLOT_BYTES, mem), -EEXIST);
	assert_int_equal(fixture_slot(&f, 2, 0, 0x101000, 0x1000, mem), -EEXIST);
	assert_int_equal(fixture_slot(&f, 2, 0, 0x0, 0x200000, mem), -EEXIST);
	/* the same host memory twice */
	assert_int_equal(fixture_slot(&f, 2, 0, 0x110000, SLOT_BYTES, mem), 0);
	assert_int_equal(fixture_slot(&f, 3, 0, 0xf0000, SLOT_BYTES, mem), 0);
	/* resize, other host address, read-only toggled */
	assert_int_equal(fixture_slot(&f, 1, 0, 0x100000, 2 * SLOT_BYTES, mem), -EINVAL);
	assert_int_equal(fixture_slot(&f, 1, 0, 0x100000, SLOT_BYTES, mem + PAGE_SIZE), -EINVAL);
	assert_int_equal(fixture_slot(&f, 1, SLOT_READONLY, 0x100000, SLOT_BYTES, mem), -EINVAL);
	assert_int_equal(fixture_slot(&f, 1, SLOT_NOEXEC, 0x100000, SLOT_BYTES, mem), -EINVAL);
	/* move, onto another and away */
	assert_int_equal(fixture_slot(&f, 1, 0, 0x118000, SLOT_BYTES, mem), -EEXIST);
	assert_int_equal(fixture_slot(&f, 1, 0, 0x200000, SLOT_BYTES, mem), 0);
	/* half onto its own old place */
	assert_int_equal(fixture_slot(&f, 1, 0, 0x208000, SLOT_BYTES, mem), 0);
	/* delete twice; the other arguments do not matter then */
	assert_int_equal(fixture_slot(&f, 1, 0, 0, 0, NULL), 0);
	assert_int_equal(fixture_slot(&f, 1, 0, 0, 0, NULL), -EINVAL);
	fixture_close(&f);
	free(mem);
}

static void test_bad_arguments(void **state)
{
	struct fixture f;
	u8 *mem = aligned_alloc(PAGE_SIZE, SLOT_BYTES);

	fixture_open(&f, 1, 0);
	assert_int_equal(fixture_slot(&f, 1, 0, 0x100, SLOT_BYTES, mem), -EINVAL);
	assert_int_equal(fixture_slot(&f, 1, 0, 0, 0x100, mem), -EINVAL);
	assert_int_equal(fixture_slot(&f, 1, 0, 0, SLOT_BYTES, mem + 1), -EINVAL);
	assert_int_equal(fixture_slot(&f, 1, 4, 0, SLOT_BYTES, mem), -EINVAL);
	assert_int_equal(fixture_slot(&f, MACHINE_MAX_SLOTS, 0, 0, SLOT_BYTES, mem), -EINVAL);
	assert_int_equal(fixture_slot(&f, MACHINE_MAX_SLOTS - 1, 0, 0, SLOT_BYTES, mem), 0);
	assert_int_equal(fixture_slot(&f, 1, 0, -(u64)PAGE_SIZE, 2 * PAGE_SIZE, mem), -EINVAL);
	assert_int_equal(machine_slot_pages(f.m, MACHINE_MAX_SLOTS - 1), 16);
	assert_int_equal(machine_slot_pages(f.m, MACHINE_MAX_SLOTS), 0);
	assert_int_equal(machine_slot_pages(f.m, 5), 0);
	fixture_close(&f);
	free(mem);
}

static void test_change_is_announced(void **state)
{
	struct fixture f;
	u64 pauses;
	u32 before;

	fixture_open(&f, 2, SLOT_BYTES);
	fixture_serve(f.cpu);
	before = f.m->slot_generation;
	pauses = fixture_pauses(&f);
	assert_int_equal(fixture_slot(&f, 0, 0, SLOT_BYTES, SLOT_BYTES, f.ram), 0);
	assert_int_not_equal(f.m->slot_generation, before);
	for (unsigned i = 0; i < 2; i++)
		assert_true(f.m->vcpus[i]->cpu.exit_request & REQ_FLUSH);
	assert_true(fixture_pauses(&f) > pauses);
	assert_false(f.m->pausing); /* resumed as often */
	fixture_close(&f);
}

/* Thousands, created in an order that is not sorted; gaps between them. */
static void test_many(void **state)
{
	const unsigned n = 8192;
	struct fixture f;
	u8 *mem = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	u32 flags;

	fixture_open(&f, 1, 0);
	for (unsigned i = 0; i < n; i++) {
		u64 place = i * 5u % n;

		assert_int_equal(fixture_slot(&f, i, i % 2 ? SLOT_READONLY : 0,
					 place * 2 * PAGE_SIZE, PAGE_SIZE, mem),
			0);
	}
	for (unsigned i = 0; i < n; i++) {
		u64 gpa = (i * 5u % n) * 2 * PAGE_SIZE;

		assert_ptr_equal(slot_page(f.m, gpa, &flags), mem);
		assert_int_equal(flags, i % 2 ? PG_READONLY : 0);
		assert_null(slot_page(f.m, gpa + PAGE_SIZE, &flags));
	}
	for (unsigned i = 0; i < n; i += 2)
		assert_int_equal(fixture_slot(&f, i, 0, 0, 0, NULL), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(!!slot_page(f.m, (i * 5u % n) * 2 * PAGE_SIZE, &flags), i % 2);
	fixture_close(&f);
	free(mem);
}

static void expect_ram(struct fixture *f, u64 at, u64 gpa, u64 size, void *hva, bool readonly)
{
	struct ram_region r;

	assert_int_equal(machine_ram_at(f->m, at, &r), 0);
	assert_int_equal(r.gpa, gpa);
	assert_int_equal(r.size, size);
	assert_ptr_equal(r.hva, hva);
	assert_int_equal(r.readonly, readonly);
}

static void test_ram_at(void **state)
{
	u8 *mem = aligned_alloc(PAGE_SIZE, 4 * PAGE_SIZE);
	struct ram_region none = {.gpa = 1};
	struct fixture f;

	fixture_open(&f, 1, 0);
	assert_int_equal(machine_ram_at(f.m, 0, &none), -ENOENT);
	/* Of system management mode: not among them. */
	assert_int_equal(fixture_slot(&f, SLOT_ID(1, 0), 0, 0, PAGE_SIZE, mem), 0);
	assert_int_equal(machine_ram_at(f.m, 0, &none), -ENOENT);
	assert_int_equal(fixture_slot(&f, 0, 0, 0x3000, 2 * PAGE_SIZE, mem), 0);
	assert_int_equal(fixture_slot(&f, 1, SLOT_READONLY, 0x5000, PAGE_SIZE, mem), 0);
	assert_int_equal(fixture_slot(&f, 2, 0, GPA_SMM - PAGE_SIZE, PAGE_SIZE, mem), 0);
	expect_ram(&f, 0, 0x3000, 2 * PAGE_SIZE, mem, false);
	expect_ram(&f, 0x3000, 0x3000, 2 * PAGE_SIZE, mem, false);
	expect_ram(&f, 0x4fff, 0x3000, 2 * PAGE_SIZE, mem, false);
	expect_ram(&f, 0x5000, 0x5000, PAGE_SIZE, mem, true);
	expect_ram(&f, 0x6000, GPA_SMM - PAGE_SIZE, PAGE_SIZE, mem, false);
	expect_ram(&f, GPA_SMM - 1, GPA_SMM - PAGE_SIZE, PAGE_SIZE, mem, false);
	assert_int_equal(machine_ram_at(f.m, GPA_SMM, &none), -ENOENT);
	assert_int_equal(machine_ram_at(f.m, ~0ull, &none), -ENOENT);
	assert_int_equal(none.gpa, 1);
	fixture_close(&f);
	free(mem);
}

static void store(struct fixture *f, u64 gpa)
{
	fixture_serve(f->cpu);
	assert_int_equal(mem_write(f->cpu, gpa, "x", 1, 0), 0);
}

static void test_dirty_log(void **state)
{
	struct fixture f;
	u64 log = ~0ull;

	fixture_open(&f, 1, SLOT_BYTES);
	assert_int_equal(machine_get_dirty_log(f.m, 0, &log), -ENOENT);
	assert_int_equal(machine_get_dirty_log(f.m, 1, &log), -ENOENT);
	assert_true(log == ~0ull);
	/* entries made before the log begins must not hide a store */
	store(&f, 0x8000);
	assert_int_equal(fixture_slot(&f, 0, SLOT_LOG_DIRTY, 0, SLOT_BYTES, f.ram), 0);
	store(&f, 0x8000);
	store(&f, 0x9fff);
	assert_int_equal(machine_get_dirty_log(f.m, 0, &log), 0);
	assert_int_equal(log, 0x300);
	assert_int_equal(machine_get_dirty_log(f.m, 0, &log), 0);
	assert_int_equal(log, 0);
	/* a second round */
	store(&f, 0x9000);
	assert_int_equal(machine_get_dirty_log(f.m, 0, &log), 0);
	assert_int_equal(log, 0x200);
	/* off, and on again: empty */
	store(&f, 0x9000);
	assert_int_equal(fixture_slot(&f, 0, 0, 0, SLOT_BYTES, f.ram), 0);
	assert_int_equal(machine_get_dirty_log(f.m, 0, &log), -ENOENT);
	assert_int_equal(fixture_slot(&f, 0, SLOT_LOG_DIRTY, 0, SLOT_BYTES, f.ram), 0);
	assert_int_equal(machine_get_dirty_log(f.m, 0, &log), 0);
	assert_int_equal(log, 0);
	fixture_close(&f);
}

static void test_caller_access(void **state)
{
	struct fixture f;
	u8 *mem = aligned_alloc(PAGE_SIZE, 2 * PAGE_SIZE), buf[16];
	u64 log;

	fixture_open(&f, 1, SLOT_BYTES);
	assert_int_equal(fixture_slot(&f, 1, SLOT_LOG_DIRTY, SLOT_BYTES, 2 * PAGE_SIZE, mem), 0);
	assert_int_equal(fixture_slot(&f, 2, SLOT_READONLY, 0x80000, PAGE_SIZE, f.ram), 0);
	/* across two slots with different host memory */
	assert_int_equal(machine_write(f.m, SLOT_BYTES - 3, "abcdefgh", 8), 0);
	assert_memory_equal(f.ram + SLOT_BYTES - 3, "abc", 3);
	assert_memory_equal(mem, "defgh", 5);
	assert_int_equal(machine_read(f.m, SLOT_BYTES - 3, buf, 8), 0);
	assert_memory_equal(buf, "abcdefgh", 8);
	assert_int_equal(machine_write(f.m, SLOT_BYTES + PAGE_SIZE, "z", 1), 0);
	assert_int_equal(machine_get_dirty_log(f.m, 1, &log), 0);
	assert_int_equal(log, 3);
	/* not one byte if the end is missing */
	memset(mem, 0, 2 * PAGE_SIZE);
	assert_int_equal(
		machine_write(f.m, SLOT_BYTES + 2 * PAGE_SIZE - 3, "abcdefgh", 8), -EFAULT);
	assert_int_equal(mem[2 * PAGE_SIZE - 3], 0);
	assert_int_equal(machine_read(f.m, 0x70000, buf, 1), -EFAULT);
	assert_int_equal(machine_write(f.m, 0x80000, "a", 1), -EFAULT);
	assert_int_equal(machine_read(f.m, 0x80000, buf, 1), 0);
	assert_int_equal(machine_read(f.m, 0x70000, buf, 0), 0);
	fixture_close(&f);
	free(mem);
}

static void test_caller_writes_code(void **state)
{
	struct fixture f;

	fixture_open(&f, 1, SLOT_BYTES);
	page_watch(f.cpu, 0x2000);
	assert_int_equal(machine_write(f.m, 0x1ffe, "abcdef", 6), 0);
	assert_int_equal(told.written_external, 1);
	assert_int_equal(told.written_gpa, 0x2000);
	assert_int_equal(told.written_len, 4);
	page_unwatch(f.m, 0x2000);
	assert_int_equal(machine_write(f.m, 0x1ffe, "abcdef", 6), 0);
	assert_int_equal(told.written_external, 1);
	fixture_close(&f);
}

/* Translations of a slot's pages end with the slot, or when it moves; those of other slots stay. */
static void test_watch_ends_with_slot(void **state)
{
	const u64 size = 1000 * PAGE_SIZE;
	struct fixture f;
	u8 *mem = aligned_alloc(PAGE_SIZE, size);

	fixture_open(&f, 1, SLOT_BYTES);
	assert_int_equal(fixture_slot(&f, 1, 0, 0x10000000, size, mem), 0);
	page_watch(f.cpu, 0x2000);
	page_watch(f.cpu, 0x10000000 + size - PAGE_SIZE);
	assert_int_equal(fixture_slot(&f, 1, 0, 0x20000000, size, mem), 0);
	assert_int_equal(told.written_external, 1);
	assert_int_equal(told.written_gpa, 0x10000000 + size - PAGE_SIZE);
	assert_int_equal(told.written_len, PAGE_SIZE);
	assert_false(page_watched(f.m, 0x20000000 + size - PAGE_SIZE));
	assert_true(page_watched(f.m, 0x2000));
	page_watch(f.cpu, 0x20000000);
	page_watch(f.cpu, 0x20000000 + 500 * PAGE_SIZE);
	assert_int_equal(fixture_slot(&f, 1, 0, 0, 0, NULL), 0);
	assert_int_equal(told.written_external, 3);
	assert_true(page_watched(f.m, 0x2000));
	fixture_close(&f);
	free(mem);
}

/* Page arrays larger than what comes from the heap; a slot at the top of the address space. */
static void test_large_and_high(void **state)
{
	const u64 size = 0x40000000, top = BIT64(46) - size;
	struct fixture f;
	u8 *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(mem, MAP_FAILED);
	fixture_open(&f, 1, 0);
	assert_int_equal(fixture_slot(&f, 7, SLOT_LOG_DIRTY, top, size, mem), 0);
	assert_int_equal(machine_write(f.m, BIT64(46) - 3, "abc", 3), 0);
	assert_int_equal(mem[size - 3], 'a');
	assert_int_equal(machine_slot_pages(f.m, 7), size / PAGE_SIZE);
	assert_int_equal(fixture_slot(&f, 7, SLOT_LOG_DIRTY, 0, size, mem), 0);
	assert_int_equal(machine_write(f.m, BIT64(46) - 3, "abc", 3), -EFAULT);
	assert_int_equal(machine_write(f.m, 0x5000, "abc", 3), 0);
	assert_int_equal(mem[0x5000], 'a');
	fixture_close(&f);
	munmap(mem, size);
}

/* Address bits above 51 name no memory, least of all that of system management mode, whoever brings the address. */
static void test_high_bits(void **state)
{
	static const u64 high[] = {GPA_SMM, GPA_SMM | BIT64(53), BIT64(60), BIT64(63)};
	struct fixture f;
	u8 *smram = aligned_alloc(PAGE_SIZE, SLOT_BYTES),
	   *top = aligned_alloc(PAGE_SIZE, SLOT_BYTES);
	u64 word = 0, done;

	memset(smram, 0xcc, SLOT_BYTES);
	memset(top, 0xcc, SLOT_BYTES);
	fixture_open(&f, 1, SLOT_BYTES);
	assert_int_equal(fixture_slot(&f, SLOT_ID(1, 1), 0, 0, SLOT_BYTES, smram), 0);
	/* Where one address space ends the other begins, for us. */
	assert_int_equal(fixture_slot(&f, 2, 0, GPA_SMM - SLOT_BYTES, SLOT_BYTES, top), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(high); i++) {
		assert_int_equal(machine_write(f.m, high[i] | 0x1000, &word, 8), -EFAULT);
		assert_int_equal(machine_read(f.m, high[i] | 0x1000, &word, 8), -EFAULT);
		assert_false(machine_has_ram(f.m, high[i] | 0x1000, 8));
		assert_int_equal(vcpu_populate(f.cpu->vcpu, high[i], PAGE_SIZE, &done), -ENOENT);
	}
	assert_int_equal(machine_write(f.m, GPA_SMM - 4, &word, 8), -EFAULT);
	assert_int_equal(machine_write(f.m, ~0ull - 3, &word, 8), -EFAULT);
	assert_int_equal(machine_write(f.m, GPA_SMM - 4, &word, 4), 0);
	assert_int_equal(
		vcpu_populate(f.cpu->vcpu, GPA_SMM - PAGE_SIZE, 2 * PAGE_SIZE, &done), -ENOENT);
	assert_int_equal(done, PAGE_SIZE);
	for (unsigned i = 0; i < SLOT_BYTES; i++)
		assert_int_equal(smram[i], 0xcc);
	fixture_close(&f);
	free(smram);
	free(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_rules),
		cmocka_unit_test(test_bad_arguments),
		cmocka_unit_test(test_change_is_announced),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_ram_at),
		cmocka_unit_test(test_dirty_log),
		cmocka_unit_test(test_caller_access),
		cmocka_unit_test(test_caller_writes_code),
		cmocka_unit_test(test_watch_ends_with_slot),
		cmocka_unit_test(test_large_and_high),
		cmocka_unit_test(test_high_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
