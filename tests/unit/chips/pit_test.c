/* SPDX-License-Identifier: MIT */
/* 8254 at register level; time is what the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "chips/pit.h"

#define T0 1000000000ll

static struct pit pit;

/* Time at which the counter input has ticked n times since T0, with a little to spare. */
static s64 tick(u64 n)
{
	return T0 + (s64)((n * 1000000000ull + PIT_HZ - 1) / PIT_HZ) + 10;
}

static int setup(void **state)
{
	memset(&pit, 0, sizeof(pit));
	pit_reset(&pit, T0);
	return 0;
}

static void program(unsigned ch, u8 mode, u16 count)
{
	pit_write(&pit, 0x43, (u8)(ch << 6 | 0x30 | mode << 1), T0);
	pit_write(&pit, 0x40 + ch, (u8)count, T0);
	pit_write(&pit, 0x40 + ch, count >> 8, T0);
}

static u16 read16(unsigned ch, s64 now)
{
	u16 low = pit_read(&pit, 0x40 + ch, now);

	return low | pit_read(&pit, 0x40 + ch, now) << 8;
}

static void test_quiet_after_reset(void **state)
{
	assert_int_equal(pit_irq0_next(&pit, T0), -1);
	assert_int_equal(pit_irq0_edges(&pit, tick(1000000)), 0);
}

static const struct {
	u8 mode;
	u16 count;
	u64 at;
	u16 value;
	bool out;
} waves[] = {
	{0, 100, 0, 100, false},
	{0, 100, 40, 60, false},
	{0, 100, 99, 1, false},
	{0, 100, 100, 0, true},
	{0, 100, 101, 65535, true},
	{2, 100, 0, 100, true},
	{2, 100, 98, 2, true},
	{2, 100, 99, 1, false},
	{2, 100, 100, 100, true},
	{2, 100, 250, 50, true},
	{3, 100, 0, 100, true},
	{3, 100, 10, 80, true},
	{3, 100, 49, 2, true},
	{3, 100, 50, 100, false},
	{3, 100, 99, 2, false},
	{3, 100, 100, 100, true},
	{4, 100, 99, 1, true},
	{4, 100, 100, 0, false},
	{4, 100, 101, 65535, true},
	{2, 0, 65535, 1, false},
	{2, 0, 1, 65535, true},
};

static void test_waves(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(waves); i++) {
		s64 now = tick(waves[i].at);

		program(0, waves[i].mode, waves[i].count);
		assert_int_equal(pit_out(&pit, 0, now), waves[i].out);
		assert_int_equal(read16(0, now), waves[i].value);
	}
}

static void test_edges(void **state)
{
	program(0, 2, 1000);
	assert_int_equal(pit_irq0_edges(&pit, tick(999)), 0);
	assert_int_equal(pit_irq0_edges(&pit, tick(1000)), 1);
	assert_int_equal(pit_irq0_edges(&pit, tick(5500)), 5);
	assert_true(pit_irq0_next(&pit, tick(5500)) <= tick(6000));
	assert_true(pit_irq0_next(&pit, tick(5500)) > tick(5999));
	/* Asking at the announced time must find the edge, or a timer would spin. */
	assert_int_equal(pit_irq0_edges(&pit, pit_irq0_next(&pit, tick(5500))), 6);
	program(0, 0, 1000);
	assert_int_equal(pit_irq0_edges(&pit, tick(5500)), 1);
	assert_int_equal(pit_irq0_next(&pit, tick(5500)), -1);
	pit.s.flags |= PIT_FLAG_HPET_LEGACY;
	assert_int_equal(pit_irq0_edges(&pit, tick(5500)), 0);
}

/* A control word without its count stops the channel. */
static void test_waits_for_count(void **state)
{
	program(0, 2, 1000);
	assert_true(pit_write(&pit, 0x43, 0x30, T0));
	assert_int_equal(pit_irq0_next(&pit, tick(5)), -1);
	assert_int_equal(pit_irq0_edges(&pit, tick(1000000)), 0);
	assert_false(pit_out(&pit, 0, tick(1000000)));
	assert_false(pit_write(&pit, 0x40, 100, tick(10)));
	assert_true(pit_write(&pit, 0x40, 0, tick(10)));
	assert_int_equal(pit_irq0_edges(&pit, tick(111)), 1);
}

static void test_latch(void **state)
{
	program(0, 2, 1000);
	pit_write(&pit, 0x43, 0x00, tick(100));
	pit_write(&pit, 0x43, 0x00, tick(200)); /* ignored: not read yet */
	assert_int_equal(read16(0, tick(300)), 900);
	assert_int_equal(read16(0, tick(300)), 700);
}

static void test_read_back(void **state)
{
	program(0, 2, 1000);
	program(2, 3, 500);
	pit_write(&pit, 0x43, 0xc0 | 2 | 8, tick(100)); /* count and status of 0 and 2 */
	assert_int_equal(pit_read(&pit, 0x40, tick(100)), 0x80 | 0x30 | 4);
	assert_int_equal(read16(0, tick(200)), 900);
	assert_int_equal(pit_read(&pit, 0x42, tick(100)) & 0x3f, 0x30 | 6);
	pit_write(&pit, 0x43, 0xe2, tick(999)); /* status only */
	assert_int_equal(pit_read(&pit, 0x40, tick(999)), 0x34);
}

static void test_byte_modes(void **state)
{
	pit_write(&pit, 0x43, 0x14, T0); /* LSB only */
	assert_true(pit_write(&pit, 0x40, 200, T0));
	assert_int_equal(pit_read(&pit, 0x40, tick(50)), 150);
	assert_int_equal(pit_read(&pit, 0x40, tick(60)), 140);
	pit_write(&pit, 0x43, 0x24, T0); /* MSB only */
	assert_true(pit_write(&pit, 0x40, 2, T0));
	assert_int_equal(pit_read(&pit, 0x40, tick(100)), 1); /* 412 */
}

static void test_bcd(void **state)
{
	pit_write(&pit, 0x43, 0x35, T0);
	pit_write(&pit, 0x40, 0x00, T0);
	pit_write(&pit, 0x40, 0x10, T0); /* 1000 */
	assert_int_equal(pit_irq0_edges(&pit, tick(1000)), 1);
	assert_int_equal(read16(0, tick(1)), 0x0999);
}

/* What Linux does to calibrate its TSC. */
static void test_port_61(void **state)
{
	pit_write_61(&pit, 1, T0);
	program(2, 0, 1000);
	assert_int_equal(pit_read_61(&pit, tick(999)) & 0x23, 0x01);
	assert_int_equal(pit_read_61(&pit, tick(1000)) & 0x23, 0x21);
	pit_write_61(&pit, 3, T0);
	assert_int_equal(pit_read_61(&pit, T0) & 3, 3);
	assert_int_not_equal(pit_read_61(&pit, 0) & 0x10, pit_read_61(&pit, 1 << 14) & 0x10);
}

static void test_gate(void **state)
{
	pit_write_61(&pit, 1, T0);
	program(2, 0, 1000);
	pit_write_61(&pit, 0, tick(300)); /* stops */
	assert_int_equal(read16(2, tick(500)), 700);
	pit_write_61(&pit, 1, tick(600)); /* goes on */
	assert_in_range(read16(2, tick(700)), 599, 601);

	program(2, 1, 100); /* one-shot, waits for the gate */
	assert_true(pit_out(&pit, 2, tick(5)));
	pit_write_61(&pit, 0, tick(10));
	pit_write_61(&pit, 1, tick(20));
	assert_false(pit_out(&pit, 2, tick(50)));
	assert_true(pit_out(&pit, 2, tick(121)));

	program(2, 2, 100);
	pit_write_61(&pit, 0, tick(99));
	assert_true(pit_out(&pit, 2, tick(99)));
}

static void test_state(void **state)
{
	struct pit_state s;

	program(0, 2, 1000);
	s = pit.s;
	pit_reset(&pit, tick(5000));
	pit_set_state(&pit, &s, tick(5000));
	assert_int_equal(pit.s.channels[0].count, 1000);
	assert_int_equal(pit_irq0_edges(&pit, tick(5999)), 0);
	assert_int_equal(pit_irq0_edges(&pit, tick(6001)), 1);
	memset(&s, 0xff, sizeof(s)); /* nonsense must not crash */
	pit_set_state(&pit, &s, T0);
	pit_read(&pit, 0x40, tick(10));
	assert_int_equal(pit_irq0_next(&pit, tick(10)), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_quiet_after_reset, setup),
		cmocka_unit_test_setup(test_waves, setup),
		cmocka_unit_test_setup(test_edges, setup),
		cmocka_unit_test_setup(test_waits_for_count, setup),
		cmocka_unit_test_setup(test_latch, setup),
		cmocka_unit_test_setup(test_read_back, setup),
		cmocka_unit_test_setup(test_byte_modes, setup),
		cmocka_unit_test_setup(test_bcd, setup),
		cmocka_unit_test_setup(test_port_61, setup),
		cmocka_unit_test_setup(test_gate, setup),
		cmocka_unit_test_setup(test_state, setup),
	};

	return cmocka_run_group_tests_name("pit", tests, NULL, NULL);
}
