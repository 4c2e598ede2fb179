/* SPDX-License-Identifier: MIT */
/* A code cache of small chunks that are used again and again. */
#include "tests/small_cache.h"
#include "tests/unit/world/world.h"

#include "engine/core/machine.h"
#include "engine/core/vcpu.h"
#include "engine/exit.h"

/*
 * One by one, every form with a stub of its own: chunks are filled that have no blocks at all, and while they are, one stub
 * is used all the time.
 */
#define PAIRS 12000u

static void test_stubs(void **state)
{
	struct world w;
	u16 sum = 0;

	world_open(&w, IRQCHIP_NONE);
	small_cache(w.m->code, 0);
	w.v->cpu.step_only = true;
	for (unsigned i = 0; i < PAIRS; i++) {
		u16 value = (u16)(i * 40503u);
		u8 pair[] = {
			0x05, (u8)value, (u8)(value >> 8), 0x41}; /* add $value, %ax; inc %cx */

		sum += value;
		world_put(&w, CODE + i * 4, pair, sizeof(pair));
	}
	WORLD_PUT(&w, CODE + PAIRS * 4, 0xf4);
	for (unsigned i = 0; i < 4; i++) {
		world_start(w.v, CODE);
		run_to(w.v, EXIT_HLT);
		assert_int_equal(gpr_of(w.v, RAX), sum);
		assert_int_equal(gpr_of(w.v, RCX), PAIRS);
	}
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stubs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
