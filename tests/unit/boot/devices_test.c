/* SPDX-License-Identifier: MIT */
/* The PC's devices as a guest meets them: each at its ports, in the sizes that it takes, and nobody beside them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "boot/dev/devices.h"
#include "boot/core/layout.h"

static struct bus bus;
static struct devices devices;

static int attach_all(void **state)
{
	struct failure f;

	bus_init(&bus, NULL, NULL);
	return devices_attach(&devices, &bus, &f);
}

static u32 in(u16 port, unsigned size)
{
	return (u32)bus_read(&bus, BUS_PORTS, port, size);
}

static enum bus_event out(u16 port, unsigned size, u32 value)
{
	return bus_write(&bus, BUS_PORTS, port, size, value);
}

static void nobody_beside_them(void **state)
{
	static const u16 ports[] = {0x5f, 0x61, 0x63, 0x65, 0x6f, 0x72, 0x5ff, 0x606, 0xcf7, 0xcf9,
		0xcfa, 0xcfb, 0xd00, 0xffff};

	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		assert_int_equal(in(ports[i], 1), 0xff);
		assert_int_equal(out(ports[i], 1, 0), BUS_NOTHING);
	}
	assert_int_equal(in(0xcf7, 2), 0xffff);
	assert_int_equal(in(0x5fe, 4), 0xffffffff);
}

static void no_device_twice(void **state)
{
	struct devices again;
	struct failure f = {""};

	assert_int_equal(devices_attach(&again, &bus, &f), -1);
	assert_true(f.text[0]);
}

#define SLP_EN(type) (1u << 13 | (type) << 10)

/* By a word, or by two bytes, of which the second has the switch. Other types of sleep are none. */
static void power_off(void **state)
{
	assert_int_equal(in(PORT_PM_CTRL, 2), 1); /* always in ACPI mode */
	assert_int_equal(out(PORT_PM_CTRL, 2, SLP_EN(1) | 1), BUS_NOTHING);
	assert_int_equal(in(PORT_PM_CTRL, 2), 1 << 10 | 1);
	assert_int_equal(out(PORT_PM_CTRL, 2, SLEEP_TYPE_OFF << 10), BUS_NOTHING);
	assert_int_equal(out(PORT_PM_CTRL, 2, SLP_EN(SLEEP_TYPE_OFF)), BUS_POWER_OFF);
	assert_int_equal(out(PORT_PM_CTRL, 1, 0), BUS_NOTHING);
	assert_int_equal(out(PORT_PM_CTRL + 1, 1, SLP_EN(SLEEP_TYPE_OFF) >> 8), BUS_POWER_OFF);
}

static void power_events(void **state)
{
	assert_int_equal(out(PORT_PM_EVENT + 2, 2, 0x1234), BUS_NOTHING);
	assert_int_equal(in(PORT_PM_EVENT, 2), 0);
	assert_int_equal(in(PORT_PM_EVENT + 2, 2), 0x1234);
	assert_int_equal(in(PORT_PM_EVENT, 4), 0x12340000);
	assert_int_equal(in(PORT_PM_EVENT + 3, 1), 0x12);
	out(PORT_PM_EVENT, 4, 0x56780000);
	assert_int_equal(in(PORT_PM_EVENT + 2, 2), 0x5678);
}

static void resets(void **state)
{
	assert_int_equal(out(PORT_RESET, 1, 2), BUS_NOTHING);
	assert_int_equal(out(PORT_RESET, 1, 6), BUS_RESET);
	assert_int_equal(out(PORT_RESET, 2, 6), BUS_NOTHING);
	assert_int_equal(in(0x64, 1), 0);
	assert_int_equal(out(0x64, 1, 0xfe), BUS_RESET);
	assert_int_equal(out(0x60, 1, 0xfe), BUS_NOTHING);
}

/* The address register lies around the reset register: only its whole is it. */
static void pci(void **state)
{
	out(PORT_PCI_ADDR, 4, 0x80000000);
	assert_int_equal(in(PORT_PCI_ADDR, 4), 0x80000000);
	assert_int_equal(in(PORT_PCI_ADDR, 2), 0xffff);
	out(PORT_PCI_ADDR, 1, 8);
	out(PORT_PCI_ADDR, 2, 8);
	assert_int_equal(in(PORT_PCI_ADDR, 4), 0x80000000);
	assert_int_equal(in(PORT_PCI_DATA, 4), 0x12378086);
	assert_int_equal(in(PORT_PCI_DATA + 2, 2), 0x1237);
	assert_int_equal(in(PORT_PCI_DATA + 3, 1), 0x12);
	assert_int_equal(in(PORT_PCI_DATA + 3, 4), 0x12); /* goes on behind the end */
	out(PORT_PCI_DATA, 4, 0);
	assert_int_equal(in(PORT_PCI_DATA, 4), 0x12378086);
	out(PORT_PCI_ADDR, 4, 0x80000800); /* nobody is there */
	assert_int_equal(in(PORT_PCI_DATA, 2), 0xffff);
}

static void cmos(void **state)
{
	out(PORT_RTC, 1, 0x40);
	out(PORT_RTC + 1, 1, 0xa5);
	assert_int_equal(in(PORT_RTC + 1, 1), 0xa5);
	assert_int_equal(in(PORT_RTC + 1, 4), 0xa5); /* goes on behind the end */
	out(PORT_RTC, 2, 0x5540);
	assert_int_equal(in(PORT_RTC + 1, 1), 0xa5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_beside_them),
		cmocka_unit_test(no_device_twice),
		cmocka_unit_test(power_off),
		cmocka_unit_test(power_events),
		cmocka_unit_test(resets),
		cmocka_unit_test(pci),
		cmocka_unit_test(cmos),
	};

	return cmocka_run_group_tests(tests, attach_all, NULL) ? 1 : 0;
}
