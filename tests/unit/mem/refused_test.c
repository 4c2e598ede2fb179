/* SPDX-License-Identifier: MIT */
/*
 * A change of slots that is refused, or fails for want of memory at any point, leaves all as it was: what is mapped and
 * logged, and above all that no store to a watched page is missed.
 */
#include "tests/unit/world/memory.h"

#include <errno.h>
#include <sys/mman.h>

#include "engine/mem/mem_priv.h"
#include "tests/abi/fault_points.h"
#include "engine/mem/mem.h"
#include "engine/mem/memory.h"

#define BYTES (16 * PAGE_SIZE)
#define LOW   0x100000
#define HIGH  0x200000
#define NEW   0x300000

/* Allocations are the sanitizer's then, and cannot be made to fail. */
static bool sanitized(void)
{
	if (UV_SANITIZED)
		print_message("skipped: allocations are the sanitizer's and do not fail\n");
	return UV_SANITIZED;
}

static u8 *map(u64 size)
{
	u8 *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

/* Two slots with memory of their own between which there is room; the first has a watched page and one that is written. */
static void open_two(struct fixture *f, u8 *mem)
{
	void *hva;
	u64 gpa;

	fixture_open(f, 1, 0);
	assert_int_equal(fixture_slot(f, 1, 0, LOW, 4 * PAGE_SIZE, mem), 0);
	assert_int_equal(fixture_slot(f, 2, 0, HIGH, 4 * PAGE_SIZE, mem + 8 * PAGE_SIZE), 0);
	fixture_serve(f->cpu);
	page_watch(f->cpu, LOW);
	assert_int_equal(tlb_fill(f->cpu, LOW + PAGE_SIZE, ACC_WRITE, &hva, &gpa), 0);
	memset(&told, 0, sizeof(told));
}

/* Who goes in now: is every page either watched still or known to have been written, and every writer known? */
static void expect_watches(struct fixture *f)
{
	fixture_serve(f->cpu);
	assert_true(page_watched(f->m, LOW) || told.written_external);
	page_watch(f->cpu, LOW);
	page_watch(f->cpu, LOW + PAGE_SIZE);
	assert_null(tlb_lookup(f->cpu, TLB_KERNEL, TLB_WRITE, LOW, 8));
	assert_null(tlb_lookup(f->cpu, TLB_KERNEL, TLB_WRITE, LOW + PAGE_SIZE, 8));
}

static struct memslot_config bridge(u8 *mem, u8 *hidden)
{
	return (struct memslot_config){.id = 3,
		.flags = SLOT_LOG_DIRTY | (hidden ? SLOT_PRIVATE : 0),
		.gpa = NEW,
		.size = 8 * PAGE_SIZE,
		.hva = (u64)mem + 2 * PAGE_SIZE,
		.private_hva = (u64)hidden};
}

/* The private memory is taken, and the rest would have joined two others. */
static void test_private_memory_taken(void **state)
{
	struct fixture f;
	u8 *mem = map(BYTES), *hidden = map(BYTES);
	struct memslot_config c = bridge(mem, hidden), first = c;

	open_two(&f, mem);
	first.id = 4;
	first.gpa = 0x400000;
	first.hva = (u64)map(BYTES);
	assert_int_equal(machine_set_memslot(f.m, &first), 0);
	fixture_serve(f.cpu);
	assert_int_equal(machine_set_memslot(f.m, &c), -EEXIST);
	assert_int_equal(told.written_external, 0);
	assert_int_equal(f.m->mem->backings.count, 4);
	expect_watches(&f);
	fixture_close(&f);
	munmap(mem, BYTES);
	munmap(hidden, BYTES);
	munmap((void *)first.hva, BYTES);
}

/* With the nth allocation failing. False: there is none such. */
static bool create_failing(u8 *mem, u8 *hidden, unsigned nth)
{
	struct memslot_config c = bridge(mem, hidden);
	struct fixture f;
	bool failed;
	int r;

	open_two(&f, mem);
	f.m->mem->pool.used = BIT64(40); /* the next array needs a mapping */
	fail_from(nth);
	r = machine_set_memslot(f.m, &c);
	failed = fail_stop();
	assert_int_equal(r, failed ? -ENOMEM : 0);
	assert_int_equal(machine_slot_pages(f.m, 3), failed ? 0 : 8);
	assert_int_equal(machine_has_ram(f.m, NEW, 1), !failed);
	expect_watches(&f);
	if (failed)
		assert_int_equal(machine_set_memslot(f.m, &c), 0);
	for (u32 id = 1; id <= 3; id++)
		assert_int_equal(fixture_slot(&f, id, 0, 0, 0, NULL), 0);
	assert_int_equal(f.m->mem->backings.count, 0);
	fixture_close(&f);
	return failed;
}

static void test_create_fails(void **state)
{
	u8 *mem = map(BYTES), *hidden = map(BYTES);
	unsigned n;

	if (sanitized())
		skip();
	for (n = 0; create_failing(mem, NULL, n); n++)
		;
	assert_true(n >= 3);
	for (n = 0; create_failing(mem, hidden, n); n++)
		;
	assert_true(n >= 5);
	munmap(mem, BYTES);
	munmap(hidden, BYTES);
}

/* Moved and logged at once: neither happens. */
static bool move_failing(u8 *mem, unsigned nth)
{
	struct fixture f;
	bool failed;

	open_two(&f, mem);
	f.m->mem->pool.used = BIT64(40);
	fail_from(nth);
	(void)fixture_slot(&f, 1, SLOT_LOG_DIRTY, NEW, 4 * PAGE_SIZE, mem);
	failed = fail_stop();
	assert_int_equal(machine_has_ram(f.m, LOW, 1), failed);
	assert_int_equal(machine_has_ram(f.m, NEW, 1), !failed);
	assert_int_equal(machine_slot_logged(f.m, 1), !failed);
	if (failed) {
		assert_int_equal(told.written_external, 0);
		expect_watches(&f);
	}
	fixture_close(&f);
	return failed;
}

static void test_move_fails(void **state)
{
	u8 *mem = map(BYTES);
	unsigned n;

	if (sanitized())
		skip();
	for (n = 0; move_failing(mem, n); n++)
		;
	assert_true(n >= 1);
	munmap(mem, BYTES);
}

static void test_private_fails(void **state)
{
	if (sanitized())
		skip();
	struct fixture f;
	u8 *mem = map(BYTES);

	open_two(&f, mem);
	fail_from(0);
	assert_int_equal(machine_set_private(f.m, LOW, PAGE_SIZE, true), -ENOMEM);
	assert_true(fail_stop());
	assert_int_equal(told.written_external, 0);
	assert_false(page_private(f.m->mem, LOW));
	expect_watches(&f);
	fixture_close(&f);
	munmap(mem, BYTES);
}

/* Slots so large that each of their arrays is a mapping. */
#define LARGE BIT64(33)

static u8 *map_large(void)
{
	u8 *p = mmap(
		NULL, 2 * LARGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static bool track_failing(u8 *mem, unsigned nth)
{
	struct fixture f;
	bool failed;
	u8 states;
	int r;

	fixture_open(&f, 1, 0);
	assert_int_equal(fixture_slot(&f, 1, 0, 0, LARGE, mem), 0);
	assert_int_equal(fixture_slot(&f, 2, SLOT_LOG_DIRTY, LARGE, LARGE, mem + LARGE), 0);
	fail_from(nth);
	r = machine_track_access(f.m, true);
	failed = fail_stop();
	assert_int_equal(r, failed ? -ENOMEM : 0);
	assert_int_equal(machine_access_states(f.m, 0, 1, 0, &states), failed ? -ENOENT : 0);
	assert_true(machine_slot_logged(f.m, 2));
	assert_int_equal(machine_track_access(f.m, true), 0);
	fixture_close(&f);
	return failed;
}

static bool create_tracked_failing(u8 *mem, unsigned nth)
{
	struct fixture f;
	bool failed;

	fixture_open(&f, 1, 0);
	assert_int_equal(machine_track_access(f.m, true), 0);
	fail_from(nth);
	(void)fixture_slot(&f, 1, 0, 0, LARGE, mem);
	failed = fail_stop();
	assert_int_equal(machine_has_ram(f.m, 0, 1), !failed);
	if (failed)
		assert_int_equal(fixture_slot(&f, 1, 0, 0, LARGE, mem), 0);
	fixture_close(&f);
	return failed;
}

static void test_tracking_fails(void **state)
{
	u8 *mem = map_large();
	unsigned n;

	if (sanitized())
		skip();
	for (n = 0; track_failing(mem, n); n++)
		;
	assert_true(n >= 3);
	for (n = 0; create_tracked_failing(mem, n); n++)
		;
	assert_true(n >= 4);
	munmap(mem, 2 * LARGE);
}

/*
 * A page with two sides is translated through another address of its shared memory, while the guest sees its private one:
 * the slot that goes must take that along.
 */
static void test_other_side_is_watched(void **state)
{
	const u64 size = 128 * PAGE_SIZE; /* watches are remembered for two pages together */
	struct fixture f;
	u8 *mem = map(size), *hidden = map(size);
	struct memslot_config c = {.id = 3,
		.flags = SLOT_PRIVATE,
		.gpa = NEW,
		.size = size,
		.hva = (u64)mem,
		.private_hva = (u64)hidden};

	fixture_open(&f, 1, 0);
	assert_int_equal(machine_set_memslot(f.m, &c), 0);
	assert_int_equal(fixture_slot(&f, 1, 0, LOW, size, mem), 0);
	page_watch(f.cpu, NEW);
	assert_int_equal(machine_set_private(f.m, NEW + PAGE_SIZE, PAGE_SIZE, true), 0);
	page_watch(f.cpu, LOW + PAGE_SIZE);
	page_unwatch(f.m, NEW);
	memset(&told, 0, sizeof(told));
	assert_int_equal(fixture_slot(&f, 3, 0, 0, 0, NULL), 0);
	assert_true(page_watched(f.m, LOW + PAGE_SIZE) || told.written_gpa == LOW + PAGE_SIZE ||
		    told.written_external == 2);
	fixture_close(&f);
	munmap(mem, size);
	munmap(hidden, size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_private_memory_taken),
		cmocka_unit_test(test_create_fails),
		cmocka_unit_test(test_move_fails),
		cmocka_unit_test(test_private_fails),
		cmocka_unit_test(test_tracking_fails),
		cmocka_unit_test(test_other_side_is_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
