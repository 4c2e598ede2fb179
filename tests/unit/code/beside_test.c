/* SPDX-License-Identifier: MIT */
/*
 * Stores to pages that blocks were made from, but beside them: data next to code, and memory that held code once. They
 * are slow only for a while, and the code that runs there stays what the memory says.
 */
#include "engine/code/cache.h"
#include "engine/core/stat.h"
#include "engine/core/vcpu.h"
#include "tests/unit/world/world.h"

#define COUNT    5000u
#define OLD      0x3000u /* a page with code of its own */
#define MAY_MISS 200u

static struct world w;

static u64 missed(void)
{
	return w.v->own_stats[STAT_MISSED_NATIVE];
}

/* From the start, with ax = 0: COUNT times inc %ax; mov %ax, at. */
static void count_to(u16 at)
{
	const u8 code[] = {0xb9, COUNT & 0xff, COUNT >> 8, /* mov $COUNT, %cx */
		0x31, 0xc0,                                /* xor %ax, %ax */
		0x40,                                      /* inc %ax */
		0xa3, (u8)at, (u8)(at >> 8),               /* mov %ax, at */
		0x89, 0x06, (u8)at, (u8)(at >> 8),         /* the same, not by moffs */
		0xe2, 0xf6,                                /* loop to inc */
		0xf4};                                     /* hlt */
	u16 got;

	world_code(&w, code, sizeof(code));
	run_to(w.v, EXIT_HLT);
	memcpy(&got, w.ram + at, 2);
	assert_int_equal(got, COUNT);
}

/* The loop is in the page and runs all the time: what it is translated again for must become rare. */
static void test_data_in_page_of_loop(void **state)
{
	world_open(&w, IRQCHIP_NONE);
	count_to(CODE + 0x800);
	assert_in_range(w.v->own_stats[STAT_BLOCKS_TRANSLATED], 3, 40);
	world_close(&w);
}

/* A page whose code does not run any more. */
static void test_page_of_old_code(void **state)
{
	world_open(&w, IRQCHIP_NONE);
	WORLD_PUT(&w, OLD, 0xf4);
	WORLD_CODE(&w, 0xe9, (OLD - CODE - 3) & 0xff, (OLD - CODE - 3) >> 8); /* jmp OLD */
	run_to(w.v, EXIT_HLT);
	count_to(OLD + 0x800);
	assert_in_range(missed(), 1, MAY_MISS);
	world_close(&w);
}

/* All blocks are gone, but the pages were watched. */
static void test_after_reset_of_cache(void **state)
{
	u64 before;

	world_open(&w, IRQCHIP_NONE);
	WORLD_PUT(&w, OLD, 0xf4);
	WORLD_CODE(&w, 0xe9, (OLD - CODE - 3) & 0xff, (OLD - CODE - 3) >> 8);
	run_to(w.v, EXIT_HLT);
	cache_reset(w.m->code);
	before = missed();
	count_to(OLD + 0x800);
	assert_in_range(missed() - before, 0, 2);
	world_close(&w);
}

/* Code that is executed in turns with many stores beside it, and then changed. */
static void test_code_stays_true(void **state)
{
	world_open(&w, IRQCHIP_NONE);
	WORLD_PUT(&w, OLD, 0xbb, 0x01, 0x00, 0xc3); /* mov $1, %bx; ret */
	WORLD_CODE(&w, 0xb9, 0x00, 0x10,            /* mov $0x1000, %cx */
		0x89, 0xd6,                         /* mov %dx, %si */
		0x89, 0x0e, 0x00, 0x38,             /* mov %cx, OLD + 0x800 */
		0xe8, 0xf4, 0x1f,                   /* call OLD */
		0x01, 0xda,                         /* add %bx, %dx */
		0xe2, 0xf5,                         /* loop to mov */
		0xc6, 0x06, 0x01, 0x30, 0x07,       /* movb $7, OLD + 1 */
		0xe8, 0xe8, 0x1f,                   /* call OLD */
		0xf4);
	run_to(w.v, EXIT_HLT);
	assert_int_equal(gpr_of(w.v, RBX), 7);
	assert_int_equal((u16)(gpr_of(w.v, RDX) - gpr_of(w.v, RSI)), 0x1000);
	world_close(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data_in_page_of_loop),
		cmocka_unit_test(test_page_of_old_code),
		cmocka_unit_test(test_after_reset_of_cache),
		cmocka_unit_test(test_code_stays_true),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
