/* SPDX-License-Identifier: MIT */
/* Pages of code that the caller may have written to are compared at once, and the ways to them stay if nothing has changed. */
#include "engine/core/vcpu.h"
#include "tests/unit/world/world.h"

#define FIRST 0x9000u
#define PAGES 6u

#define INC_AX 0x40
#define INC_BX 0x43

static struct world w;

/* Calls all pages, each of which counts in ax or bx; out; from the start again. */
static void open(void)
{
	u8 code[64], *p = code;

	world_open(&w, IRQCHIP_NONE);
	for (u32 i = 0; i < PAGES; i++) {
		u32 page = FIRST + i * PAGE_SIZE, next = CODE + (u32)(p - code) + 3;

		w.ram[page] = INC_AX;
		w.ram[page + 1] = 0xc3;
		*p++ = 0xe8;
		*p++ = (u8)(page - next);
		*p++ = (u8)((page - next) >> 8);
	}
	memcpy(p, (u8[]){0xe6, 0x10, 0xeb, (u8) - (3 * PAGES + 4)}, 4);
	world_code(&w, code, (size_t)(p + 4 - code));
}

static u32 pages_with(u8 opcode)
{
	u32 n = 0;

	for (u32 i = 0; i < PAGES; i++)
		n += w.ram[FIRST + i * PAGE_SIZE] == opcode;
	return n;
}

/* The caller has done something, whatever it was, so a run compares. True: all ways have stayed. */
static bool run(void)
{
	u16 ax = (u16)w.v->cpu.gpr[0], bx = (u16)w.v->cpu.gpr[3];
	u64 before = w.v->cpu.fetch_epoch;

	run_to(w.v, EXIT_IO_OUT);
	assert_int_equal((u16)(w.v->cpu.gpr[0] - ax), pages_with(INC_AX));
	assert_int_equal((u16)(w.v->cpu.gpr[3] - bx), pages_with(INC_BX));
	return w.v->cpu.fetch_epoch == before;
}

static void test_ways_stay(void **state)
{
	u32 stayed = 0;

	open();
	run();
	for (u32 i = 0; i < 100; i++)
		stayed += run();
	assert_in_range(stayed, 80, 99); /* now and then it is learnt anew which pages are used */
	world_close(&w);
}

static void test_changes(void **state)
{
	u32 stayed = 0;

	open();
	for (u32 i = 0; i < 200; i++) {
		stayed += run();
		w.ram[FIRST + i % PAGES * PAGE_SIZE] ^= INC_AX ^ INC_BX;
	}
	assert_true(stayed > 100);
	world_close(&w);
}

/* One page more than there was room to note: all ways go. */
static void test_too_many(void **state)
{
	open();
	for (u32 i = 0; i < 20; i++) {
		run();
		w.v->cpu.checks.count = CHECKS_MAX + 1;
		w.ram[FIRST + i % PAGES * PAGE_SIZE] ^= INC_AX ^ INC_BX;
		assert_false(run());
	}
	world_close(&w);
}

/* A page that is held back may not be looked at before the guest reaches it. For good: the last test. */
static void test_userfaultfd(void **state)
{
	open();
	run();
	assert_true(run());
	host_track_writes(false);
	for (u32 i = 0; i < 20; i++) {
		assert_false(run());
		w.ram[FIRST + i % PAGES * PAGE_SIZE] ^= INC_AX ^ INC_BX;
	}
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ways_stay),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_userfaultfd),
	};

	return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
