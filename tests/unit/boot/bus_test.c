/* SPDX-License-Identifier: MIT */
/* The bus: who gets which access, where nobody is, which ranges are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "boot/dev/bus.h"

/* A device that remembers its last access. */
struct probe_device {
	u64 offset, value, answer;
	unsigned size, accesses;
	enum bus_event event;
};

static u64 probe_read(void *opaque, u64 offset, unsigned size)
{
	struct probe_device *d = opaque;

	d->offset = offset;
	d->size = size;
	d->accesses++;
	return d->answer;
}

static enum bus_event probe_write(void *opaque, u64 offset, unsigned size, u64 value)
{
	struct probe_device *d = opaque;

	d->offset = offset;
	d->size = size;
	d->value = value;
	d->accesses++;
	return d->event;
}

static const struct bus_ops probe_ops = {.read = probe_read, .write = probe_write};

static int attach(struct bus *b, enum bus_space space, u64 first, u64 last, struct probe_device *d)
{
	const struct bus_range range = {"test", first, last, &probe_ops, d};
	struct failure f = {""};
	const int r = bus_attach(b, space, &range, &f);

	assert_int_equal(r < 0, f.text[0] != 0);
	return r;
}

static struct bus *new_bus(void)
{
	static struct bus b;

	bus_init(&b, NULL, NULL);
	return &b;
}

static void nobody(void **state)
{
	struct bus *b = new_bus();

	for (unsigned size = 1; size <= 8; size++) {
		const u64 ones = size < 8 ? (1ull << size * 8) - 1 : ~0ull;

		assert_int_equal(bus_read(b, BUS_PORTS, 0x80, size), ones);
		assert_int_equal(bus_read(b, BUS_MMIO, ~0ull, size), ones);
		assert_int_equal(bus_write(b, BUS_PORTS, 0x80, size, 1), BUS_NOTHING);
		assert_int_equal(bus_write(b, BUS_MMIO, 0, size, 1), BUS_NOTHING);
	}
}

/* The neighbours of a range are not it; the first and last address are, with offsets from the first. */
static void edges(void **state)
{
	struct bus *b = new_bus();
	struct probe_device low = {.answer = 0x11}, high = {.answer = 0x22};

	assert_int_equal(attach(b, BUS_PORTS, 0x108, 0x10f, &high), 0);
	assert_int_equal(attach(b, BUS_PORTS, 0x100, 0x103, &low), 0);
	assert_int_equal(bus_read(b, BUS_PORTS, 0xff, 1), 0xff);
	assert_int_equal(bus_read(b, BUS_PORTS, 0x104, 1), 0xff);
	assert_int_equal(bus_read(b, BUS_PORTS, 0x107, 1), 0xff);
	assert_int_equal(bus_read(b, BUS_PORTS, 0x110, 1), 0xff);
	assert_int_equal(low.accesses + high.accesses, 0);
	assert_int_equal(bus_read(b, BUS_PORTS, 0x100, 1), 0x11);
	assert_int_equal(low.offset, 0);
	assert_int_equal(bus_read(b, BUS_PORTS, 0x103, 1), 0x11);
	assert_int_equal(low.offset, 3);
	assert_int_equal(bus_read(b, BUS_PORTS, 0x108, 1), 0x22);
	assert_int_equal(high.offset, 0);
	assert_int_equal(bus_read(b, BUS_PORTS, 0x10f, 1), 0x22);
	assert_int_equal(high.offset, 7);
	assert_int_equal(bus_read(b, BUS_MMIO, 0x100, 1), 0xff);
}

static void ends_of_the_spaces(void **state)
{
	struct bus *b = new_bus();
	struct probe_device d = {.answer = 5};

	assert_int_equal(attach(b, BUS_PORTS, 0, 0, &d), 0);
	assert_int_equal(attach(b, BUS_PORTS, 0xffff, 0xffff, &d), 0);
	assert_int_equal(attach(b, BUS_MMIO, 0, 0xfff, &d), 0);
	assert_int_equal(attach(b, BUS_MMIO, ~0xfffull, ~0ull, &d), 0);
	assert_int_equal(bus_read(b, BUS_PORTS, 0, 1), 5);
	assert_int_equal(bus_read(b, BUS_PORTS, 0xffff, 4), 5);
	assert_int_equal(bus_read(b, BUS_MMIO, ~0ull, 8), 5);
	assert_int_equal(d.offset, 0xfff);
	assert_int_equal(attach(b, BUS_PORTS, 0x10000, 0x10000, &d), -1);
	assert_int_equal(attach(b, BUS_PORTS, 0xfffe, 0x10000, &d), -1);
	assert_int_equal(attach(b, BUS_MMIO, 0x2000, 0x1fff, &d), -1);
}

/* All of an access goes to whoever has its first byte, and the answer is as wide as the access. */
static void widths(void **state)
{
	struct bus *b = new_bus();
	struct probe_device d = {.answer = 0x8877665544332211}, next = {0};

	assert_int_equal(attach(b, BUS_MMIO, 0x1000, 0x1003, &d), 0);
	assert_int_equal(attach(b, BUS_MMIO, 0x1004, 0x1007, &next), 0);
	assert_int_equal(bus_read(b, BUS_MMIO, 0x1000, 1), 0x11);
	assert_int_equal(bus_read(b, BUS_MMIO, 0x1001, 2), 0x2211);
	assert_int_equal(bus_read(b, BUS_MMIO, 0x1000, 4), 0x44332211);
	assert_int_equal(bus_read(b, BUS_MMIO, 0x1003, 8), 0x8877665544332211);
	assert_int_equal(d.offset, 3);
	assert_int_equal(d.size, 8);
	assert_int_equal(bus_write(b, BUS_MMIO, 0x1002, 4, 0xdeadbeef), BUS_NOTHING);
	assert_int_equal(d.offset, 2);
	assert_int_equal(d.size, 4);
	assert_int_equal(d.value, 0xdeadbeef);
	assert_int_equal(next.accesses, 0);
}

/* Refused, whichever end it touches; and then the bus is as it was. */
static void overlaps(void **state)
{
	static const struct {
		u64 first, last;
	} wrong[] = {{0x200, 0x20f}, {0x1f0, 0x200}, {0x20f, 0x220}, {0x204, 0x205}, {0x1f0, 0x220},
		{0, 0xffff}};
	struct bus *b = new_bus();
	struct probe_device d = {.answer = 7}, intruder = {.answer = 9};

	assert_int_equal(attach(b, BUS_PORTS, 0x200, 0x20f, &d), 0);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(
			attach(b, BUS_PORTS, wrong[i].first, wrong[i].last, &intruder), -1);
	for (u64 port = 0x1e0; port < 0x230; port++)
		assert_int_equal(
			bus_read(b, BUS_PORTS, port, 1), port >= 0x200 && port <= 0x20f ? 7 : 0xff);
	assert_int_equal(intruder.accesses, 0);
	assert_int_equal(attach(b, BUS_PORTS, 0x1f0, 0x1ff, &intruder), 0);
	assert_int_equal(attach(b, BUS_PORTS, 0x210, 0x21f, &intruder), 0);
	assert_int_equal(attach(b, BUS_MMIO, 0x200, 0x20f, &intruder), 0);
}

static void overlap_is_explained(void **state)
{
	struct bus *b = new_bus();
	struct failure f = {""};
	const struct bus_range clock = {"clock", 0x70, 0x71, &probe_ops, NULL};
	const struct bus_range modem = {"modem", 0x71, 0x78, &probe_ops, NULL};

	assert_int_equal(bus_attach(b, BUS_PORTS, &clock, &f), 0);
	assert_int_equal(bus_attach(b, BUS_PORTS, &modem, &f), -1);
	assert_non_null(strstr(f.text, "modem wants the I/O ports 0x71 to 0x78"));
	assert_non_null(strstr(f.text, "clock has 0x70 to 0x71"));
}

/* What a device leaves out, or answers with ones, is as though nobody were there. */
static void a_device_that_refuses(void **state)
{
	static const struct bus_ops nothing = {NULL};
	const struct bus_range deaf = {"deaf", 0x300, 0x307, &nothing, NULL};
	struct bus *b = new_bus();
	struct probe_device d = {.answer = BUS_ONES};
	struct failure f;

	assert_int_equal(bus_attach(b, BUS_PORTS, &deaf, &f), 0);
	assert_int_equal(attach(b, BUS_PORTS, 0x308, 0x30f, &d), 0);
	assert_int_equal(bus_read(b, BUS_PORTS, 0x300, 2), 0xffff);
	assert_int_equal(bus_write(b, BUS_PORTS, 0x300, 2, 0), BUS_NOTHING);
	assert_int_equal(bus_read(b, BUS_PORTS, 0x308, 4), 0xffffffff);
	assert_int_equal(d.accesses, 1);
}

static void events(void **state)
{
	struct bus *b = new_bus();
	struct probe_device off = {.event = BUS_POWER_OFF}, reset = {.event = BUS_RESET};

	assert_int_equal(attach(b, BUS_PORTS, 0x10, 0x10, &off), 0);
	assert_int_equal(attach(b, BUS_PORTS, 0x11, 0x11, &reset), 0);
	assert_int_equal(bus_write(b, BUS_PORTS, 0x10, 1, 0), BUS_POWER_OFF);
	assert_int_equal(bus_write(b, BUS_PORTS, 0x11, 1, 0), BUS_RESET);
}

/* As many as there is room for, in an order that is none; one more is refused. */
static void many(void **state)
{
	static struct probe_device d[BUS_RANGES];
	struct bus *b = new_bus();
	struct probe_device late = {0};

	for (unsigned i = 0; i < BUS_RANGES; i++) {
		const unsigned n =
			i * 37 % BUS_RANGES; /* 37 and the number have no divisor in common */

		d[n].answer = n;
		assert_int_equal(attach(b, BUS_MMIO, n * 16, n * 16 + 7, &d[n]), 0);
	}
	for (unsigned n = 0; n < BUS_RANGES; n++) {
		assert_int_equal(bus_read(b, BUS_MMIO, n * 16 + 7, 4), n);
		assert_int_equal(bus_read(b, BUS_MMIO, n * 16 + 8, 4), 0xffffffff);
	}
	assert_int_equal(attach(b, BUS_MMIO, 8, 8, &late), -1);
	assert_int_equal(bus_read(b, BUS_MMIO, 8, 4), 0xffffffff);
	assert_int_equal(attach(b, BUS_PORTS, 8, 8, &late), 0);
}

static unsigned last_irq;
static bool last_level;

static void remember_irq(void *opaque, unsigned irq, bool level)
{
	assert_ptr_equal(opaque, &last_irq);
	last_irq = irq;
	last_level = level;
}

static void interrupt_lines(void **state)
{
	struct bus *b = new_bus();

	bus_init(b, remember_irq, &last_irq);
	bus_irq(b, 4, true);
	assert_int_equal(last_irq, 4);
	assert_true(last_level);
	bus_irq(b, 11, false);
	assert_int_equal(last_irq, 11);
	assert_false(last_level);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody),
		cmocka_unit_test(edges),
		cmocka_unit_test(ends_of_the_spaces),
		cmocka_unit_test(widths),
		cmocka_unit_test(overlaps),
		cmocka_unit_test(overlap_is_explained),
		cmocka_unit_test(a_device_that_refuses),
		cmocka_unit_test(events),
		cmocka_unit_test(many),
		cmocka_unit_test(interrupt_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
