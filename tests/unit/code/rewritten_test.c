/* SPDX-License-Identifier: MIT */
/* Programs that write their own code: a few instructions that run once are not translated each time, and are what was written. */
#include "engine/core/stat.h"
#include "engine/core/vcpu.h"
#include "tests/unit/world/world.h"

#define COUNT 1000u
#define THERE 0x3000u /* the page of the code that is written */

static struct world w;

static u64 translated(void)
{
	return w.v->own_stats[STAT_BLOCKS_TRANSLATED];
}

/* COUNT times: mov %cx into the MOV's immediate there, call it, and add up what it loads. */
static void rewrite_and_call(void)
{
	WORLD_CODE(&w, 0x31, 0xd2,                                          /* xor %dx, %dx */
		0xb9, COUNT & 0xff, COUNT >> 8,                             /* mov $COUNT, %cx */
		0x89, 0x0e, 0x01, 0x30,                                     /* mov %cx, THERE + 1 */
		0xe8, (THERE - CODE - 12) & 0xff, (THERE - CODE - 12) >> 8, /* call THERE */
		0x01, 0xda,                                                 /* add %bx, %dx */
		0xe2, 0xf5,                                                 /* loop to mov */
		0xf4);
	run_to(w.v, EXIT_HLT);
	assert_int_equal((u16)gpr_of(w.v, RDX), (u16)(COUNT * (COUNT + 1) / 2));
}

static void test_few_instructions(void **state)
{
	world_open(&w, IRQCHIP_NONE);
	WORLD_PUT(&w, THERE, 0xbb, 0x00, 0x00, 0xc3); /* mov $0, %bx; ret */
	rewrite_and_call();
	assert_in_range(translated(), 1, COUNT / 8);
	world_close(&w);
}

/* What runs on is translated each time, but for some instructions. */
static void test_many_instructions(void **state)
{
	u8 code[3 + 200 + 1] = {0xbb};

	world_open(&w, IRQCHIP_NONE);
	memset(code + 3, 0x90, 200);
	code[203] = 0xc3;
	world_put(&w, THERE, code, sizeof(code));
	rewrite_and_call();
	assert_in_range(translated(), COUNT, 8 * COUNT);
	assert_in_range(w.v->own_stats[STAT_INSNS_STEPPED], 1, 16 * COUNT);
	world_close(&w);
}

/* A loop there is translated although it was rewritten often. */
static void test_loop(void **state)
{
	u64 before;

	world_open(&w, IRQCHIP_NONE);
	WORLD_PUT(&w, THERE, 0xbb, 0x00, 0x00, 0xc3);
	rewrite_and_call();
	before = w.v->own_stats[STAT_INSNS_STEPPED];
	WORLD_PUT(&w, THERE, 0xb9, 0xff, 0xff, 0xe2, 0xfe,
		0xf4); /* mov $-1, %cx; loop to itself; hlt */
	WORLD_CODE(&w, 0xe9, (THERE - CODE - 3) & 0xff, (THERE - CODE - 3) >> 8);
	run_to(w.v, EXIT_HLT);
	assert_int_equal((u16)gpr_of(w.v, RCX), 0);
	assert_in_range(w.v->own_stats[STAT_INSNS_STEPPED] - before, 0, 200);
	world_close(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few_instructions),
		cmocka_unit_test(test_many_instructions),
		cmocka_unit_test(test_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
