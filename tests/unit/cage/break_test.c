/* SPDX-License-Identifier: MIT */
/* Guest code that stops in front of instructions that its parent has named. */
#include <errno.h>
#include <stdio.h>

#include "base/types.h"
#include "box.h"

#define LOOP (CODE + 2) /* of guest_sum: add %rcx, %rax */

static void begin(struct box *b, u64 rcx)
{
	BOX_LOAD(b, sum);
	b->regs.gpr[1] = rcx;
}

static void assert_sum(struct box *b, u64 sum)
{
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(b->event.vector, CAGE_SYSCALL);
	assert_int_equal(b->regs.gpr[0], sum);
}

/* As often as code comes there, with the instruction not executed; and no longer when it is not wanted any more. */
static void stops_before(void **state)
{
	struct box *b = *state;

	begin(b, 3);
	assert_int_equal(cage_break(b->cage, 0, LOOP), 0);
	for (u64 left = 3; left; left--) {
		assert_int_equal(box_run(b), CAGE_BREAK);
		assert_int_equal(b->regs.rip, LOOP);
		assert_int_equal(b->regs.gpr[1], left);
		b->regs.gpr[0] += left;
		b->regs.rip += 3;
	}
	assert_sum(b, 6);
	begin(b, 3);
	assert_int_equal(cage_break(b->cage, 0, 0), 0);
	assert_sum(b, 6);
}

static void goes_on_without(void **state)
{
	struct box *b = *state;

	begin(b, 3);
	assert_int_equal(cage_break(b->cage, 1, LOOP), 0);
	assert_int_equal(box_run(b), CAGE_BREAK);
	assert_int_equal(box_run(b), CAGE_BREAK); /* it is still in front of it */
	assert_int_equal(b->regs.gpr[1], 3);
	assert_int_equal(cage_break(b->cage, 1, 0), 0);
	assert_sum(b, 6);
}

static void moved(void **state)
{
	struct box *b = *state;

	begin(b, 3);
	assert_int_equal(cage_break(b->cage, 0, LOOP), 0);
	assert_int_equal(cage_break(b->cage, 0, LOOP + 3), 0);
	assert_int_equal(box_run(b), CAGE_BREAK);
	assert_int_equal(b->regs.rip, LOOP + 3);
	assert_int_equal(b->regs.gpr[0], 3);
}

static void all_at_once(void **state)
{
	struct box *b = *state;
	const u64 at[CAGE_BREAKS] = {CODE, LOOP, LOOP + 3, LOOP + 6};

	begin(b, 1);
	for (unsigned i = 0; i < CAGE_BREAKS; i++)
		assert_int_equal(cage_break(b->cage, i, at[i]), 0);
	for (unsigned i = 0; i < CAGE_BREAKS; i++) {
		assert_int_equal(box_run(b), CAGE_BREAK);
		assert_int_equal(b->regs.rip, at[i]);
		b->regs.rip = i + 1 < CAGE_BREAKS ? at[i + 1] : b->regs.rip + 2;
	}
	assert_sum(b, 0);
	assert_int_equal(cage_break(b->cage, CAGE_BREAKS, CODE), -EINVAL);
	assert_int_equal(cage_break(b->cage, 0, 1ull << 47), -EINVAL);
}

/* Those of the guest before are nothing to the next. */
static void cleared(void **state)
{
	struct box *b = *state;

	assert_int_equal(cage_break(b->cage, 0, LOOP), 0);
	assert_int_equal(cage_clear(b->cage), 0);
	assert_int_equal(box_map(b, CODE, 0, CAGE_READ | CAGE_EXEC), 0);
	begin(b, 3);
	assert_sum(b, 6);
	assert_int_equal(cage_break(b->cage, 0, LOOP), 0);
	begin(b, 3);
	assert_int_equal(box_run(b), CAGE_BREAK);
}

/* INT3 and a breakpoint in front of it are two things. */
static void before_int3(void **state)
{
	struct box *b = *state;

	box_code(b, "\x90\xcc", 2);
	assert_int_equal(cage_break(b->cage, 0, CODE + 1), 0);
	assert_int_equal(box_run(b), CAGE_BREAK);
	assert_int_equal(b->regs.rip, CODE + 1);
	assert_int_equal(cage_break(b->cage, 0, 0), 0);
	assert_trap(b, 3, CODE + 1);
}

/* The frame of a hit tells of an earlier trap, and in front of this page there is none. */
static void after_int3(void **state)
{
	struct box *b = *state;

	box_code(b, "\xcc", 1);
	assert_trap(b, 3, CODE);
	box_code(b, "\x90", 1);
	assert_int_equal(cage_break(b->cage, 0, CODE), 0);
	assert_int_equal(box_run(b), CAGE_BREAK);
	assert_int_equal(b->regs.rip, CODE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)

static bool host_has_them(void)
{
	struct box b;
	int r;

	box_open(&b);
	r = cage_break(b.cage, 0, CODE);
	box_close(&b);
	return !r;
}

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(stops_before), TEST(goes_on_without), TEST(moved),
		TEST(all_at_once), TEST(cleared), TEST(before_int3), TEST(after_int3)};

	if (!cage_try() && !host_has_them()) {
		puts("no breakpoints of the processor: perf_event_open(2) is refused");
		return 77;
	}
	return box_main(tests, ARRAY_SIZE(tests));
}
