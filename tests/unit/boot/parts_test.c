/* SPDX-License-Identifier: MIT */
/* Memory map, start information, CPUID of each processor, and numbers on the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "boot/load/cpuid.h"
#include "boot/load/e820.h"
#include "boot/load/startinfo.h"
#include "cli/cli.h"

/* In order, without overlap, and what is called memory adds up to what was asked for, less the holes below 1 MiB. */
static void memory_map(void **state)
{
	static const u64 sizes[] = {MEMORY_MIN, 512ull << 20, GPA_HOLE - PAGE_SIZE, GPA_HOLE,
		GPA_HOLE + PAGE_SIZE, 8ull << 30};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct ram ram = {.size = sizes[i]};
		struct e820_entry map[E820_MAX];
		unsigned n = e820_build(&ram, map);
		u64 sum = 0, end = 0;

		assert_in_range(n, 1, E820_MAX);
		for (unsigned j = 0; j < n; j++) {
			assert_true(map[j].size && map[j].start >= end);
			end = map[j].start + map[j].size;
			if (map[j].type == E820_RAM) {
				sum += map[j].size;
				assert_false(map[j].start < GPA_4G && end > GPA_HOLE);
			}
		}
		assert_int_equal(sum, sizes[i] - GPA_HIGH + GPA_LOW_END);
	}
}

static void high_memory_bounds(void **state)
{
	const struct ram ram = {.base = calloc(1, 32 << 20), .size = 32 << 20};

	assert_null(ram_high(&ram, GPA_HIGH - 1, 1));
	assert_non_null(ram_high(&ram, GPA_HIGH, (31 << 20)));
	assert_null(ram_high(&ram, GPA_HIGH, (31 << 20) + 1));
	assert_null(ram_high(&ram, ~0ull, 1));
	assert_null(ram_high(&ram, GPA_HIGH, ~0ull));
	free(ram.base);
}

static u64 field(const struct ram *ram, u64 gpa, size_t size)
{
	u64 value = 0;

	memcpy(&value, ram->base + gpa, size);
	return value;
}

static void zero_page(void **state)
{
	u8 header[0x80];
	struct ram ram = {.base = calloc(1, 1 << 20), .size = 64 << 20};
	const struct start_info info = {.header = header,
		.header_len = sizeof(header),
		.initrd = 0x3000000,
		.initrd_size = 12345};

	memset(header, 0x11, sizeof(header));
	startinfo_linux64(&ram, &info);
	assert_int_equal(field(&ram, GPA_ZERO_PAGE + 0x1f1, 1), 0x11);
	assert_int_equal(field(&ram, GPA_ZERO_PAGE + 0x1e8, 1), 4);
	assert_int_equal(field(&ram, GPA_ZERO_PAGE + 0x2d0 + 3 * 20, 8), GPA_HIGH);
	assert_int_equal(field(&ram, GPA_ZERO_PAGE + 0x2d0 + 3 * 20 + 8, 8), (64 << 20) - GPA_HIGH);
	assert_int_equal(field(&ram, GPA_ZERO_PAGE + 0x210, 1), 0xff);
	assert_int_equal(field(&ram, GPA_ZERO_PAGE + 0x218, 4), 0x3000000);
	assert_int_equal(field(&ram, GPA_ZERO_PAGE + 0x21c, 4), 12345);
	assert_int_equal(field(&ram, GPA_ZERO_PAGE + 0x228, 4), GPA_CMDLINE);
	assert_int_equal(field(&ram, GPA_ZERO_PAGE + 0x1ef, 1), 0);
	/* The last of the 2 MiB pages below 4 GiB maps itself. */
	assert_int_equal(field(&ram, GPA_PAGE_TABLES + 6 * PAGE_SIZE - 8, 8), 0xffe00083);
	free(ram.base);
}

static void pvh_info(void **state)
{
	struct ram ram = {.base = calloc(1, 1 << 20), .size = 64 << 20};
	const struct start_info info = {.initrd = 0x3000000, .initrd_size = 12345};
	u64 modules, map;

	startinfo_pvh(&ram, &info);
	assert_int_equal(field(&ram, GPA_PVH_INFO, 4), 0x336ec578);
	assert_int_equal(field(&ram, GPA_PVH_INFO + 12, 4), 1);
	modules = field(&ram, GPA_PVH_INFO + 16, 8);
	assert_int_equal(field(&ram, modules, 8), 0x3000000);
	assert_int_equal(field(&ram, modules + 8, 8), 12345);
	assert_int_equal(field(&ram, GPA_PVH_INFO + 24, 8), GPA_CMDLINE);
	assert_int_equal(field(&ram, GPA_PVH_INFO + 32, 8), GPA_ACPI);
	map = field(&ram, GPA_PVH_INFO + 40, 8);
	assert_int_equal(field(&ram, GPA_PVH_INFO + 48, 4), 4);
	assert_int_equal(field(&ram, map + 3 * 24, 8), GPA_HIGH);
	free(ram.base);
}

#define ROOM 8

static struct kvm_cpuid2 *offered(void)
{
	struct kvm_cpuid2 *list = calloc(1, sizeof(*list) + ROOM * sizeof(list->entries[0]));

	list->nent = 5;
	list->entries[0] = (struct kvm_cpuid_entry2){.function = 1, .ebx = 0xaabbccdd};
	list->entries[1] =
		(struct kvm_cpuid_entry2){.function = 4, .flags = 1, .eax = 0x1c004163, .index = 3};
	list->entries[2] = (struct kvm_cpuid_entry2){.function = 0xb, .edx = 99};
	list->entries[3] =
		(struct kvm_cpuid_entry2){.function = 0x80000008, .eax = 0x3030, .ecx = 0x7007};
	list->entries[4] = (struct kvm_cpuid_entry2){.function = 0x8000001e, .eax = 99};
	return list;
}

static const struct kvm_cpuid_entry2 *entry(const struct kvm_cpuid2 *list, u32 function, u32 index)
{
	for (u32 i = 0; i < list->nent; i++)
		if (list->entries[i].function == function && list->entries[i].index == index)
			return &list->entries[i];
	return NULL;
}

static void cpuid_identity(void **state)
{
	struct kvm_cpuid2 *list = offered();

	cpuid_personalise(list, ROOM, 2, 3);
	assert_int_equal(entry(list, 1, 0)->ebx, 0x0204ccdd);
	assert_true(entry(list, 1, 0)->edx & BIT(28));
	assert_true(entry(list, 1, 0)->ecx & BIT(31));
	assert_int_equal(entry(list, 4, 3)->eax >> 26, 3);
	assert_int_equal(entry(list, 4, 3)->eax >> 14 & 0xfff, 3);
	assert_int_equal(entry(list, 0xb, 0)->edx, 2);
	assert_int_equal(entry(list, 0xb, 0)->eax, 0);
	assert_int_equal(entry(list, 0xb, 1)->eax, 2);
	assert_int_equal(entry(list, 0xb, 1)->ebx, 3);
	assert_int_equal(entry(list, 0xb, 1)->ecx, 0x201);
	assert_int_equal(entry(list, 0xb, 2)->ebx, 0);
	assert_int_equal(entry(list, 0x80000008, 0)->ecx, 0x2002);
	assert_int_equal(entry(list, 0x8000001e, 0)->eax, 2);
	free(list);
}

static void cpuid_of_one(void **state)
{
	struct kvm_cpuid2 *list = offered();

	cpuid_personalise(list, ROOM, 0, 1);
	assert_int_equal(entry(list, 1, 0)->ebx, 0x0001ccdd);
	assert_false(entry(list, 1, 0)->edx & BIT(28));
	assert_int_equal(entry(list, 0xb, 1)->eax, 0);
	assert_int_equal(entry(list, 0xb, 1)->ebx, 1);
	free(list);
}

/* What only AMD's processors have is left alone on Intel's. */
static void cpuid_of_intel(void **state)
{
	struct kvm_cpuid2 *list = offered();

	list->entries[4] = (struct kvm_cpuid_entry2){.ebx = 0x756e6547 /* Genu */};
	list->entries[5] = (struct kvm_cpuid_entry2){.function = 0x80000001};
	list->nent = 6;
	cpuid_personalise(list, ROOM, 2, 3);
	assert_int_equal(entry(list, 1, 0)->ebx, 0x0204ccdd);
	assert_int_equal(entry(list, 4, 3)->eax >> 26, 3);
	assert_int_equal(entry(list, 0x80000001, 0)->ecx, 0);
	assert_int_equal(entry(list, 0x80000008, 0)->ecx, 0x7007);
	free(list);
}

/* Without room the topology leaf is left out, never written behind the list. */
static void cpuid_room(void **state)
{
	struct kvm_cpuid2 *list = offered();

	cpuid_personalise(list, 6, 0, 2);
	assert_int_equal(list->nent, 4);
	assert_null(entry(list, 0xb, 0));
	free(list);
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		u64 value; /* 0: refused, where it is not "0" */
	} cases[] = {
		{"0", 0},
		{"1", 1},
		{"512M", 512ull << 20},
		{"2g", 2ull << 30},
		{"1K", 1024},
		{"999T", 999ull << 40},
		{"16777215T", 16777215ull << 40},
		{"", 0},
		{"M", 0},
		{"-1", 0},
		{"+1", 0},
		{" 1", 0},
		{"1 M", 0},
		{"1MB", 0},
		{"0x10", 0},
		{"1.5G", 0},
		{"16777216T", 0},
		{"18446744073709551616", 0},
		{"1K\n", 0},
		{"1@", 0},
		{"1k", 1024},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 value = 0;
		bool good = cli_parse_size(cases[i].text, &value);

		assert_int_equal(good, cases[i].value || !strcmp(cases[i].text, "0"));
		if (good)
			assert_true(value == cases[i].value);
	}
}

static void counts(void **state)
{
	unsigned n = 0;

	assert_true(cli_parse_count("4", &n));
	assert_int_equal(n, 4);
	assert_true(cli_parse_count("4294967295", &n));
	assert_false(cli_parse_count("4294967296", &n));
	assert_false(cli_parse_count("", &n));
	assert_false(cli_parse_count("4K", &n));
	assert_false(cli_parse_count("-1", &n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_map),
		cmocka_unit_test(high_memory_bounds),
		cmocka_unit_test(zero_page),
		cmocka_unit_test(pvh_info),
		cmocka_unit_test(cpuid_identity),
		cmocka_unit_test(cpuid_of_one),
		cmocka_unit_test(cpuid_of_intel),
		cmocka_unit_test(cpuid_room),
		cmocka_unit_test(sizes),
		cmocka_unit_test(counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
