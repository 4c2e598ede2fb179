/* SPDX-License-Identifier: MIT */
/* 8259A pair at register level, after the data sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "chips/pic.h"

static struct pic pic;
static u32 acks;

static void on_ack(void *opaque, unsigned irq)
{
	acks |= BIT(irq);
}

static void out(u16 port, u8 value)
{
	assert_true(pic_write(&pic, port, value));
}

static u8 in(u16 port)
{
	u8 v = 0;

	assert_true(pic_read(&pic, port, &v));
	return v;
}

/* As a BIOS or Linux does: bases 20h and 28h, cascade on 2. */
static void init(u8 icw4)
{
	memset(&pic, 0, sizeof(pic));
	pic.ack = on_ack;
	pic_reset(&pic);
	acks = 0;
	for (u16 port = 0x20; port <= 0xa0; port += 0x80) {
		out(port, 0x11);
		out(port + 1, port == 0x20 ? 0x20 : 0x28);
		out(port + 1, port == 0x20 ? 4 : 2);
		out(port + 1, icw4);
		out(port + 1, 0);
	}
}

static int setup(void **state)
{
	init(1);
	return 0;
}

static void pulse(unsigned irq)
{
	pic_set_irq(&pic, irq, true);
	pic_set_irq(&pic, irq, false);
}

static void test_edge_and_eoi(void **state)
{
	assert_false(pic.output);
	assert_int_equal(pic_set_irq(&pic, 4, true), 1);
	assert_true(pic.output);
	assert_int_equal(pic_set_irq(&pic, 4, true), 0);
	assert_int_equal(in(0x20), 0x10); /* IRR */
	assert_int_equal(pic_intack(&pic), 0x24);
	assert_false(pic.output);
	out(0x20, 0x0b);
	assert_int_equal(in(0x20), 0x10); /* ISR */
	out(0x20, 0x20);
	assert_int_equal(in(0x20), 0);
	assert_int_equal(acks, BIT(4));
	pic_set_irq(&pic, 4, true); /* still up: no edge */
	assert_false(pic.output);
}

static void test_priority(void **state)
{
	pulse(5);
	assert_int_equal(pic_intack(&pic), 0x25);
	pulse(6);
	assert_false(pic.output);
	pulse(1);
	assert_true(pic.output);
	assert_int_equal(pic_intack(&pic), 0x21);
	out(0x20, 0x20); /* ends 1, 5 still in service */
	assert_false(pic.output);
	out(0x20, 0x65); /* specific, 5 */
	assert_true(pic.output);
	assert_int_equal(pic_intack(&pic), 0x26);
}

static void test_mask(void **state)
{
	out(0x21, 0x08);
	assert_int_equal(in(0x21), 0x08);
	assert_int_equal(pic_set_irq(&pic, 3, true), -1);
	assert_false(pic.output);
	out(0x21, 0); /* the edge has been latched */
	assert_true(pic.output);
	assert_int_equal(pic_intack(&pic), 0x23);
}

static void test_slave(void **state)
{
	pulse(12);
	assert_true(pic.output);
	assert_int_equal(pic_intack(&pic), 0x2c);
	out(0x20, 0x0b);
	out(0xa0, 0x0b);
	assert_int_equal(in(0x20), 4);
	assert_int_equal(in(0xa0), 0x10);
	pulse(9); /* higher in the slave, but the master's input 2 is in service */
	assert_false(pic.output);
	out(0xa0, 0x20);
	assert_false(pic.output);
	out(0x20, 0x20);
	assert_true(pic.output);
	assert_int_equal(pic_intack(&pic), 0x29);
}

static void test_special_fully_nested(void **state)
{
	init(0x11);
	pulse(12);
	assert_int_equal(pic_intack(&pic), 0x2c);
	pulse(9);
	assert_true(pic.output);
	assert_int_equal(pic_intack(&pic), 0x29);
}

static void test_spurious(void **state)
{
	out(0x20, 0x0b);
	assert_int_equal(pic_intack(&pic), 0x27);
	assert_int_equal(in(0x20), 0);
	pulse(14);
	out(0xa1, 0xff); /* goes away between INT and INTA */
	assert_int_equal(pic_intack(&pic), 0x2f);
	assert_int_equal(in(0x20), 4); /* the master needs its EOI */
	out(0xa0, 0x0b);
	assert_int_equal(in(0xa0), 0);
}

static void test_level(void **state)
{
	out(0x4d0, 0xff);
	out(0x4d1, 0xff);
	assert_int_equal(in(0x4d0), 0xf8);
	assert_int_equal(in(0x4d1), 0xde);
	pic_set_irq(&pic, 10, true);
	assert_int_equal(pic_intack(&pic), 0x2a);
	out(0xa0, 0x20);
	out(0x20, 0x20);
	assert_true(pic.output); /* still up */
	assert_int_equal(pic_intack(&pic), 0x2a);
	pic_set_irq(&pic, 10, false);
	out(0xa0, 0x20);
	out(0x20, 0x20);
	assert_false(pic.output);
}

static void test_auto_eoi_and_rotation(void **state)
{
	init(3);
	out(0x20, 0x80); /* rotate in automatic EOI mode */
	pulse(3);
	assert_int_equal(pic_intack(&pic), 0x23);
	assert_int_equal(acks, BIT(3));
	out(0x20, 0x0b);
	assert_int_equal(in(0x20), 0);
	pulse(3);
	pulse(4); /* 4 is highest now, 3 lowest */
	assert_int_equal(pic_intack(&pic), 0x24);
	assert_int_equal(pic_intack(&pic), 0x23);
}

static void test_rotate_commands(void **state)
{
	out(0x20, 0xc3); /* set priority: 3 lowest */
	pulse(0);
	pulse(4);
	assert_int_equal(pic_intack(&pic), 0x24);
	out(0x20, 0xa0); /* rotate on non-specific EOI: 4 lowest */
	pulse(4);
	pulse(5);
	assert_int_equal(pic_intack(&pic), 0x25);
	out(0x20, 0xe5); /* rotate on specific EOI */
	assert_int_equal(pic.chip[0].priority_add, 6);
	assert_int_equal(pic_intack(&pic), 0x20);
}

static void test_special_mask(void **state)
{
	pulse(2 + 1);
	assert_int_equal(pic_intack(&pic), 0x23);
	pulse(6);
	assert_false(pic.output);
	out(0x21, 0x08);
	out(0x20, 0x68); /* special mask mode */
	assert_true(pic.output);
	assert_int_equal(pic_intack(&pic), 0x26);
	out(0x20, 0x20); /* a masked one is not ended by a non-specific EOI */
	out(0x20, 0x0b);
	assert_int_equal(in(0x20), 8);
}

static void test_poll(void **state)
{
	out(0x20, 0x0c);
	assert_int_equal(in(0x20), 0);
	pulse(1);
	out(0x20, 0x0c);
	assert_int_equal(in(0x20), 0x81);
	out(0x20, 0x0b);
	assert_int_equal(in(0x20), 2);
	assert_false(pic.output);
}

static void test_icw1_resets(void **state)
{
	pulse(1);
	assert_int_equal(pic_intack(&pic), 0x21);
	out(0x21, 0xff);
	out(0x20, 0x13); /* single: no ICW3 */
	out(0x21, 0x40);
	out(0x21, 0x01);
	assert_int_equal(in(0x21), 0);
	pulse(7);
	assert_int_equal(pic_intack(&pic), 0x47);
	assert_int_equal(acks, BIT(1));
}

static void test_state_round_trip(void **state)
{
	struct pic_state s;

	pulse(6);
	s = pic.chip[0];
	pic_reset(&pic);
	assert_false(pic.output);
	pic_set_state(&pic, 0, &s);
	assert_true(pic.output);
	assert_memory_equal(&s, &pic.chip[0], sizeof(s));
	assert_int_equal(pic_intack(&pic), 0x26);
	s.elcr_mask = 0x18; /* which lines may be level-triggered is state, too */
	pic_set_state(&pic, 0, &s);
	assert_memory_equal(&s, &pic.chip[0], sizeof(s));
	out(0x4d0, 0xff);
	assert_int_equal(pic.chip[0].elcr, 0x18);
}

static void test_foreign_port(void **state)
{
	u8 v;

	assert_false(pic_write(&pic, 0x22, 0));
	assert_false(pic_read(&pic, 0x60, &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_edge_and_eoi, setup),
		cmocka_unit_test_setup(test_priority, setup),
		cmocka_unit_test_setup(test_mask, setup),
		cmocka_unit_test_setup(test_slave, setup),
		cmocka_unit_test_setup(test_special_fully_nested, setup),
		cmocka_unit_test_setup(test_spurious, setup),
		cmocka_unit_test_setup(test_level, setup),
		cmocka_unit_test_setup(test_auto_eoi_and_rotation, setup),
		cmocka_unit_test_setup(test_rotate_commands, setup),
		cmocka_unit_test_setup(test_special_mask, setup),
		cmocka_unit_test_setup(test_poll, setup),
		cmocka_unit_test_setup(test_icw1_resets, setup),
		cmocka_unit_test_setup(test_state_round_trip, setup),
		cmocka_unit_test_setup(test_foreign_port, setup),
	};

	return cmocka_run_group_tests_name("pic", tests, NULL, NULL);
}
