/* SPDX-License-Identifier: MIT */
/* ACPI tables walked as a kernel walks them: every pointer, length and checksum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "boot/load/acpi.h"
#include "boot/core/layout.h"

#define GPA  0xe0000u
#define SIZE 0x20000u

static u8 area[SIZE];

static u64 field(const u8 *at, size_t size)
{
	u64 value = 0;

	memcpy(&value, at, size);
	return value;
}

static u8 sum(const u8 *at, size_t size)
{
	u8 s = 0;

	while (size--)
		s += *at++;
	return s;
}

static const u8 *at_gpa(u64 gpa)
{
	assert_in_range(gpa, GPA, GPA + SIZE - 36);
	return area + (gpa - GPA);
}

/* A table at `gpa` with the right name, inside the area, summing to zero. */
static const u8 *table(u64 gpa, const char *name)
{
	const u8 *t = at_gpa(gpa);

	assert_memory_equal(t, name, 4);
	assert_in_range(field(t + 4, 4), 36, GPA + SIZE - gpa);
	assert_int_equal(sum(t, field(t + 4, 4)), 0);
	return t;
}

static const u8 *find(const char *name)
{
	const u8 *xsdt = table(field(area + 24, 8), "XSDT");

	for (u64 i = 36; i < field(xsdt + 4, 4); i += 8) {
		u64 gpa = field(xsdt + i, 8);

		if (!memcmp(at_gpa(gpa), name, 4))
			return table(gpa, name);
	}
	fail_msg("no %s", name);
	return NULL;
}

static void build(unsigned cpus)
{
	memset(area, 0, sizeof(area));
	assert_true(acpi_build(area, sizeof(area), GPA, cpus));
}

static void root_pointer(void **state)
{
	build(1);
	assert_memory_equal(area, "RSD PTR ", 8);
	assert_int_equal(area[15], 2);
	assert_int_equal(sum(area, 20), 0);
	assert_int_equal(sum(area, field(area + 20, 4)), 0);
}

static void fixed_table(void **state)
{
	const u8 *fadt, *facs;

	build(2);
	fadt = find("FACP");
	assert_int_equal(field(fadt + 4, 4), 276);
	assert_int_equal(field(fadt + 64, 4), PORT_PM_CTRL);
	assert_int_equal(field(fadt + 172 + 4, 8), PORT_PM_CTRL);
	assert_int_equal(field(fadt + 48, 4), 0); /* no SMI port: always in ACPI mode */
	assert_int_equal(field(fadt + 116 + 4, 8), PORT_RESET);
	assert_true(field(fadt + 112, 4) & BIT(10));
	facs = at_gpa(field(fadt + 36, 4));
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal(field(fadt + 36, 4) % 64, 0);
	assert_int_equal(field(fadt + 40, 4), field(fadt + 140, 8));
	table(field(fadt + 140, 8), "DSDT");
}

static void power_off_object(void **state)
{
	static const u8 want[] = {8, '_', 'S', '5', '_', 0x12, 8, 4, 0x0a, 5, 0x0a, 5, 0, 0};
	const u8 *dsdt;

	build(1);
	dsdt = table(field(find("FACP") + 140, 8), "DSDT");
	assert_int_equal(field(dsdt + 4, 4), 36 + sizeof(want));
	assert_memory_equal(dsdt + 36, want, sizeof(want));
}

/* Walks the entries; `counts` by type. */
static void count_entries(const u8 *madt, unsigned counts[16])
{
	u64 at = 44, end = field(madt + 4, 4);

	while (at < end) {
		assert_in_range(madt[at + 1], 2, end - at);
		assert_in_range(madt[at], 0, 15);
		if (madt[at] == 0)
			assert_int_equal(madt[at + 3], counts[0]); /* APIC ids in order */
		counts[madt[at]]++;
		at += madt[at + 1];
	}
	assert_int_equal(at, end);
}

static void processors(void **state)
{
	static const unsigned numbers[] = {1, 2, 4, 127, CPUS_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		unsigned counts[16] = {0};

		build(numbers[i]);
		count_entries(find("APIC"), counts);
		assert_int_equal(counts[0], numbers[i]);
		assert_int_equal(counts[1], 1);
		assert_int_equal(counts[2], 1);
		assert_int_equal(counts[4], 1);
	}
}

/* Whatever is too small is refused, and nothing is written behind it. */
static void small_areas(void **state)
{
	static u8 guarded[2048];

	for (size_t size = 0; size < 900; size++) {
		memset(guarded, 0, size);
		memset(guarded + size, 0xee, sizeof(guarded) - size);
		if (acpi_build(guarded, size, GPA, 4))
			assert_in_range(size, 600, 900);
		for (size_t i = size; i < sizeof(guarded); i++)
			assert_int_equal(guarded[i], 0xee);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_pointer),
		cmocka_unit_test(fixed_table),
		cmocka_unit_test(power_off_object),
		cmocka_unit_test(processors),
		cmocka_unit_test(small_areas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
