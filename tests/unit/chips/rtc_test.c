/* SPDX-License-Identifier: MIT */
/* The CMOS clock: encodings, setting it, memory; the keyboard controller's reset; an empty PCI bus. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chips/i8042.h"
#include "chips/pci_host.h"
#include "chips/rtc.h"

#define LEAP_EVENING 1709247599 /* Thursday, 2024-02-29 22:59:59 UTC */

static u8 get(struct rtc *r, u8 index, s64 now)
{
	rtc_write(r, 0, index, now);
	return rtc_read(r, 1, now);
}

static void set(struct rtc *r, u8 index, u8 value, s64 now)
{
	rtc_write(r, 0, index, now);
	rtc_write(r, 1, value, now);
}

static void bcd_24_hours(void **state)
{
	struct rtc r;

	rtc_init(&r);
	assert_int_equal(get(&r, 0, LEAP_EVENING), 0x59);
	assert_int_equal(get(&r, 2, LEAP_EVENING), 0x59);
	assert_int_equal(get(&r, 4, LEAP_EVENING), 0x22);
	assert_int_equal(get(&r, 6, LEAP_EVENING), 5);
	assert_int_equal(get(&r, 7, LEAP_EVENING), 0x29);
	assert_int_equal(get(&r, 8, LEAP_EVENING), 0x02);
	assert_int_equal(get(&r, 9, LEAP_EVENING), 0x24);
	assert_int_equal(get(&r, 0x32, LEAP_EVENING), 0x20);
	assert_int_equal(get(&r, 10, LEAP_EVENING), 0x26);
	assert_int_equal(get(&r, 11, LEAP_EVENING), 0x02);
	assert_int_equal(get(&r, 13, LEAP_EVENING), 0x80);
	assert_int_equal(get(&r, 0x80 | 4, LEAP_EVENING), 0x22); /* NMI mask bit */
}

static void binary_12_hours(void **state)
{
	struct rtc r;

	rtc_init(&r);
	set(&r, 11, 0x04, 0);
	assert_int_equal(get(&r, 4, LEAP_EVENING), 0x80 | 10);
	assert_int_equal(get(&r, 4, LEAP_EVENING + 2 * 3600), 12); /* after midnight */
	assert_int_equal(get(&r, 4, LEAP_EVENING + 14 * 3600), 0x80 | 12);
	assert_int_equal(get(&r, 7, LEAP_EVENING), 29);
}

/* What is set goes on running from there. */
static void setting(void **state)
{
	struct rtc r;

	rtc_init(&r);
	set(&r, 0x32, 0x19, 0);
	set(&r, 9, 0x99, 0);
	set(&r, 8, 0x12, 0);
	set(&r, 7, 0x31, 0);
	set(&r, 4, 0x23, 0);
	set(&r, 2, 0x59, 0);
	set(&r, 0, 0x58, 0);
	assert_int_equal(get(&r, 9, 1), 0x99);
	assert_int_equal(get(&r, 0, 1), 0x59);
	assert_int_equal(get(&r, 9, 2), 0x00);
	assert_int_equal(get(&r, 0x32, 2), 0x20);
	assert_int_equal(get(&r, 8, 2), 0x01);
}

static void memory(void **state)
{
	struct rtc r;

	rtc_init(&r);
	set(&r, 0x40, 0xab, 0);
	assert_int_equal(get(&r, 0x40, 0), 0xab);
	set(&r, 13, 0, 0);
	assert_int_equal(get(&r, 13, 0), 0x80);
	set(&r, 10, 0xff, 0);
	assert_int_equal(get(&r, 10, 0), 0x7f); /* never "update in progress" */
}

static void keyboard_controller(void **state)
{
	assert_int_equal(i8042_read(0x64), 0);
	assert_true(i8042_write(0x64, 0xfe));
	assert_false(i8042_write(0x60, 0xfe));
	assert_false(i8042_write(0x64, 0xd1));
}

static void empty_pci_bus(void **state)
{
	struct pci_host p = {.address = 0};

	assert_int_equal(pci_host_data(&p, 0), 0xffffffff);
	pci_host_set_address(&p, 0x80000000);
	assert_int_equal(pci_host_address(&p), 0x80000000);
	assert_int_equal(pci_host_data(&p, 0), 0x12378086);
	assert_int_equal(pci_host_data(&p, 2), 0x1237);
	pci_host_set_address(&p, 0x80000008);
	assert_int_equal(pci_host_data(&p, 2), 0x0600);
	pci_host_set_address(&p, 0x80000800); /* device 1 */
	assert_int_equal(pci_host_data(&p, 0), 0xffffffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bcd_24_hours),
		cmocka_unit_test(binary_12_hours),
		cmocka_unit_test(setting),
		cmocka_unit_test(memory),
		cmocka_unit_test(keyboard_controller),
		cmocka_unit_test(empty_pci_bus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
