/* SPDX-License-Identifier: MIT */
/* Addresses of the guest, translated as its processor would. */
#include <stdlib.h>
#include <string.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

static void check(struct machine *m, u64 gva, u64 flags, u32 result, u64 gpa)
{
	struct hv_translated t = {0};

	CHECK_OK(root_translate(m->vp[0], 0, gva, flags, &t));
	CHECK_EQ(t.result, result);
	if (result == HV_TRANSLATE_OK)
		CHECK_EQ(t.gpa_page, gpa >> 12);
}

static void without_paging(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	check(&m, 0x1000, HV_TRANSLATE_READ, HV_TRANSLATE_OK, 0x1000);
	check(&m, MACHINE_RAM - 0x1000, HV_TRANSLATE_WRITE, HV_TRANSLATE_OK, MACHINE_RAM - 0x1000);
	check(&m, MACHINE_RAM, HV_TRANSLATE_READ, HV_TRANSLATE_UNMAPPED, 0);
	machine_unmake(&m);
}

#define PRESENT 1ull
#define WRITE   2ull
#define USER    4ull
#define NX      (1ull << 63)

static void put(struct machine *m, u64 gpa, u64 value)
{
	memcpy(m->ram + gpa, &value, sizeof(value));
}

static u64 get(struct machine *m, u64 gpa)
{
	u64 value;

	memcpy(&value, m->ram + gpa, sizeof(value));
	return value;
}

/* A table of 4 KiB pages for the addresses from 40000000h on. */
#define TABLE MACHINE_DATA
#define VA    0x40000000ull

static const struct {
	u64 entry;
	u64 flags;
	u32 result;
	u64 gpa;
} pages[] = {
	{0x123000 | PRESENT | WRITE | USER, HV_TRANSLATE_READ, HV_TRANSLATE_OK, 0x123000},
	{0x124000 | PRESENT | WRITE | USER, HV_TRANSLATE_WRITE, HV_TRANSLATE_OK, 0x124000},
	{0, HV_TRANSLATE_READ, HV_TRANSLATE_NOT_PRESENT, 0},
	{0x125000 | PRESENT | USER, HV_TRANSLATE_READ, HV_TRANSLATE_OK, 0x125000},
	{0x125000 | PRESENT | USER, HV_TRANSLATE_WRITE, HV_TRANSLATE_PRIVILEGE, 0},
	{0x126000 | PRESENT | WRITE | NX, HV_TRANSLATE_READ, HV_TRANSLATE_OK, 0x126000},
	{0x126000 | PRESENT | WRITE | NX, HV_TRANSLATE_EXECUTE, HV_TRANSLATE_PRIVILEGE, 0},
	{0x127000 | PRESENT | WRITE, HV_TRANSLATE_READ | HV_TRANSLATE_USER, HV_TRANSLATE_PRIVILEGE,
		0},
	{0x128000 | PRESENT | WRITE | BIT64(51), HV_TRANSLATE_READ, HV_TRANSLATE_BAD_FLAGS, 0},
	{MACHINE_RAM | PRESENT | WRITE, HV_TRANSLATE_READ, HV_TRANSLATE_UNMAPPED, 0},
};

static void start(struct machine *m)
{
	static const u8 hlt[] = {0xf4};

	machine_make(m, &(struct machine_how){0});
	machine_code64(m, 0, hlt, 1);
	machine_set_reg(m, 0, HV_X64_REGISTER_EFER, 0xd00);
	machine_set_reg(m, 0, HV_X64_REGISTER_CR0, 0x80010031); /* WP */
	put(m, MACHINE_PML4 + 0x3000,
		TABLE | PRESENT | WRITE | USER); /* of 1 GiB: the first 2 MiB */
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		put(m, TABLE + i * 8, pages[i].entry);
}

static void with_paging(void)
{
	struct machine m;

	start(&m);
	check(&m, 0x3456, HV_TRANSLATE_READ, HV_TRANSLATE_OK, 0x3000);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		check(&m, VA + i * 0x1000, pages[i].flags, pages[i].result, pages[i].gpa);
	machine_unmake(&m);
}

#define ACCESSED 0x20ull
#define DIRTY    0x40ull
#define USED     (ACCESSED | DIRTY)
#define SET      HV_TRANSLATE_SET_BITS
#define TOP      MACHINE_PML4

/* Unless it is asked for, and then as the access would. */
static void used_bits(void)
{
	struct machine m;
	u8 *bits;

	start(&m);
	CHECK_OK(root_property_set(m.partition, HV_PROPERTY_GPA_PAGE_ACCESS_TRACKING, 1));
	/* Reads and fetches, all tables on the way. */
	check(&m, VA, HV_TRANSLATE_READ | SET, HV_TRANSLATE_OK, 0x123000);
	CHECK_EQ(get(&m, TABLE) & USED, ACCESSED);
	CHECK_EQ(get(&m, TOP) & USED, ACCESSED);
	CHECK_EQ(get(&m, MACHINE_PML4 + 0x3000) & USED, ACCESSED);
	/* A write. */
	check(&m, VA + 0x1000, HV_TRANSLATE_WRITE | SET, HV_TRANSLATE_OK, 0x124000);
	CHECK_EQ(get(&m, TABLE + 8) & USED, USED);
	CHECK_EQ(get(&m, MACHINE_PML4 + 0x3000) & USED, ACCESSED);
	/* None of what is denied, or leads nowhere. */
	check(&m, VA + 0x4000, HV_TRANSLATE_WRITE | SET, HV_TRANSLATE_PRIVILEGE, 0);
	CHECK_EQ(get(&m, TABLE + 4 * 8) & USED, 0);
	check(&m, VA + 0x9000, HV_TRANSLATE_READ | SET, HV_TRANSLATE_UNMAPPED, 0);
	CHECK_EQ(get(&m, TABLE + 9 * 8) & USED, 0);
	check(&m, VA + 0x2000, HV_TRANSLATE_READ | SET, HV_TRANSLATE_NOT_PRESENT, 0);
	CHECK_EQ(get(&m, TABLE + 2 * 8), 0);
	/* The tables have been written to by it. */
	bits = calloc(1, MACHINE_RAM / HV_PAGE_SIZE / 8);
	CHECK_OK(root_access_bitmap(m.partition, MSHV_GPAP_ACCESS_TYPE_DIRTY,
		MSHV_GPAP_ACCESS_OP_NOOP, 0, MACHINE_RAM / HV_PAGE_SIZE, bits));
	CHECK(bits[TABLE >> 12 >> 3] >> (TABLE >> 12 & 7) & 1);
	CHECK(!(bits[0x123000 >> 12 >> 3] >> (0x123 & 7) & 1));
	free(bits);
	machine_unmake(&m);
}

/* Looking is not touching. */
static void accessed_bits(void)
{
	struct machine m;

	start(&m);
	check(&m, VA, HV_TRANSLATE_READ, HV_TRANSLATE_OK, 0x123000);
	check(&m, VA, HV_TRANSLATE_WRITE, HV_TRANSLATE_OK, 0x123000);
	CHECK_EQ(get(&m, TABLE) & 0x60, 0);
	machine_unmake(&m);
}

/* A table where no memory is. */
static void table_in_no_memory(void)
{
	struct machine m;

	start(&m);
	put(&m, MACHINE_PML4 + 0x3000, MACHINE_RAM | PRESENT | WRITE);
	check(&m, VA, HV_TRANSLATE_READ, HV_TRANSLATE_UNMAPPED, 0);
	machine_unmake(&m);
}

static void of_no_vp(void)
{
	struct hv_translated t;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_STATUS(root_translate(m.partition, 9, 0, HV_TRANSLATE_READ, &t), -22, 0xe);
	machine_unmake(&m);
}

const struct test translate_tests[] = {
	{"without paging", without_paging},
	{"with paging", with_paging},
	{"accessed bits", accessed_bits},
	{"used bits", used_bits},
	{"table in no memory", table_in_no_memory},
	{"of no vp", of_no_vp},
	{0},
};
