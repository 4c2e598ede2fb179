/* SPDX-License-Identifier: MIT */
/* Which pages a guest has touched. */
#include <errno.h>
#include <string.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

GUEST(dirty);
GUEST(synic);
extern const u8 guest_synic_h30[];

#define PAGES    (MACHINE_RAM / HV_PAGE_SIZE)
#define FIRST    0x100000ull /* the page that the guest writes first; then every second one */
#define WRITTEN  9u
#define ACCESSED MSHV_GPAP_ACCESS_TYPE_ACCESSED
#define DIRTY    MSHV_GPAP_ACCESS_TYPE_DIRTY
#define NOOP     MSHV_GPAP_ACCESS_OP_NOOP
#define CLEAR    MSHV_GPAP_ACCESS_OP_CLEAR
#define SET      MSHV_GPAP_ACCESS_OP_SET

static void track(struct machine *m, bool on)
{
	CHECK_OK(root_property_set(
		m->partition, HV_PROPERTY_GPA_PAGE_ACCESS_TRACKING, on ? HV_TRACKING_ON : 0));
}

static bool bit(const u8 *bitmap, u64 n)
{
	return bitmap[n / 8] >> n % 8 & 1;
}

static void write_pages(struct machine *m)
{
	CODE64(m, 0, dirty);
	m->page[0]->gpr[RBX] = FIRST;
	m->page[0]->gpr[RCX] = WRITTEN;
	m->page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	machine_out(m, 0, 0x10);
}

/* Whole megabyte from FIRST on: exactly the pages that it writes. */
static void check_written(const u8 *bitmap)
{
	for (u64 i = 0; i < 256; i++)
		if (bit(bitmap, i) != (i < 2 * WRITTEN && i % 2 == 0))
			test_failed(__FILE__, __LINE__, "page %u: %d", (unsigned)i, bit(bitmap, i));
}

static void written_pages(void)
{
	u8 bitmap[PAGES / 8];
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	track(&m, true);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, CLEAR, 0, PAGES, bitmap));
	write_pages(&m);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, NOOP, FIRST, 256, bitmap));
	check_written(bitmap);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, CLEAR, FIRST, 256, bitmap));
	check_written(bitmap);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, NOOP, FIRST, 256, bitmap));
	for (unsigned i = 0; i < 256; i++)
		CHECK_EQ(bit(bitmap, i), 0);
	/* And once more: what was clean is noticed again. */
	write_pages(&m);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, CLEAR, FIRST, 256, bitmap));
	check_written(bitmap);
	machine_unmake(&m);
}

/* What this process writes is its own business. */
static void own_writes(void)
{
	u8 bitmap[32];
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	track(&m, true);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, CLEAR, 0, PAGES, (u8[PAGES / 8]){0}));
	memset(m.ram + FIRST, 1, 0x10000);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, NOOP, FIRST, 256, bitmap));
	for (unsigned i = 0; i < 256; i++)
		CHECK_EQ(bit(bitmap, i), 0);
	machine_unmake(&m);
}

/* The order of the tests of other languages: CLEAR, then the answer of SET is all zero; SET makes all dirty. */
static void operations(void)
{
	u8 bitmap[PAGES / 8], again[PAGES / 8];
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	track(&m, true);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, CLEAR, 0, PAGES, bitmap));
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, SET, 0, PAGES, bitmap));
	for (unsigned i = 0; i < sizeof(bitmap); i++)
		CHECK_EQ(bitmap[i], 0);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, NOOP, 0, PAGES, bitmap));
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, NOOP, 0, PAGES, again));
	CHECK(!memcmp(bitmap, again, sizeof(bitmap)));
	for (unsigned i = 0; i < sizeof(bitmap); i++)
		CHECK_EQ(bitmap[i], 0xff);
	CHECK_OK(root_access_bitmap(m.partition, ACCESSED, NOOP, 0, PAGES, bitmap));
	CHECK_EQ(bitmap[0], 0xff); /* what is dirty was accessed */
	CHECK_OK(root_access_bitmap(m.partition, ACCESSED, CLEAR, 0, PAGES, bitmap));
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, NOOP, 0, PAGES, bitmap));
	CHECK_EQ(bitmap[0], 0); /* and what was not accessed is not dirty */
	machine_unmake(&m);
}

/* Bits of the last byte behind the last page are 0, and the byte behind it is not touched. */
static void last_byte(void)
{
	u8 bitmap[3] = {0xff, 0xff, 0xaa};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	track(&m, true);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, SET, 0, PAGES, (u8[PAGES / 8]){0}));
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, NOOP, 0, 11, bitmap));
	CHECK_EQ(bitmap[0], 0xff);
	CHECK_EQ(bitmap[1], 0x07);
	CHECK_EQ(bitmap[2], 0xaa);
	machine_unmake(&m);
}

static void without_tracking(void)
{
	u8 bitmap[PAGES / 8];
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_EQ(root_access_bitmap(m.partition, DIRTY, CLEAR, 0, PAGES, bitmap), -EIO);
	track(&m, true);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, CLEAR, 0, PAGES, bitmap));
	track(&m, false);
	CHECK_EQ(root_access_bitmap(m.partition, DIRTY, CLEAR, 0, PAGES, bitmap), -EIO);
	machine_unmake(&m);
}

static void refusals(void)
{
	static u8 bitmap[PAGES / 8];
	const u64 at = (unsigned long)bitmap;
	const struct {
		struct mshv_gpap_access_bitmap b;
		int want;
	} cases[] = {
		{{.access_type = 2, .page_count = 8, .bitmap_ptr = at}, -EINVAL},
		{{.access_op = 3, .page_count = 8, .bitmap_ptr = at}, -EINVAL},
		{{.rsvd = {1}, .page_count = 8, .bitmap_ptr = at}, -EINVAL},
		{{.rsvd = {0, 0, 0, 0, 0, 1}, .page_count = 8, .bitmap_ptr = at}, -EINVAL},
		{{.page_count = 0, .bitmap_ptr = at}, -EINVAL},
		{{.page_count = 8, .bitmap_ptr = 0}, -EINVAL},
		{{.page_count = 1ull << 62, .bitmap_ptr = at}, -E2BIG},
		{{.page_count = 8, .bitmap_ptr = 0xdead000000000000}, -EFAULT},
	};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	track(&m, true);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mshv_gpap_access_bitmap b = cases[i].b;
		const long r = port_ioctl(m.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &b);

		if (r != cases[i].want)
			test_note("case %zu: ", i);
		CHECK_EQ(r, cases[i].want);
	}
	machine_unmake(&m);
}

/* The hypercall behind it: a byte for each page, of which bit 0 is accessed and bit 1 dirty. */
static void by_hypercall(void)
{
	struct hv_access_states in = {.gpa_page = FIRST >> 12};
	u8 states[2 * WRITTEN];
	const struct root_call call = {HVCALL_GET_GPA_PAGES_ACCESS_STATES, sizeof(states), &in,
		sizeof(in), states, sizeof(states)};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	track(&m, true);
	in.flags = HV_STATES_CLEAR_ACCESSED | HV_STATES_CLEAR_DIRTY;
	CHECK_OK(root_call(m.partition, &call));
	write_pages(&m);
	CHECK_OK(root_call(m.partition, &call));
	CHECK_EQ(root_last.done, sizeof(states));
	for (unsigned i = 0; i < sizeof(states); i++)
		CHECK_EQ(states[i], i % 2 ? 0 : 3);
	in.flags = HV_STATES_SET_DIRTY;
	CHECK_OK(root_call(m.partition, &call));
	for (unsigned i = 0; i < sizeof(states); i++)
		CHECK_EQ(states[i], 0); /* as they were; the flags are for afterwards */
	in.flags = 0;
	CHECK_OK(root_call(m.partition, &call));
	CHECK_EQ(states[1] & 2, 2);
	machine_unmake(&m);
}

/* Pages where nothing is, in the middle of others: no error, and no bits. */
static void holes(void)
{
	u8 bitmap[PAGES / 4];
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	track(&m, true);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, SET, 0, 2 * PAGES, bitmap));
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, NOOP, 0, 2 * PAGES, bitmap));
	CHECK_EQ(bitmap[0], 0xff);
	CHECK_EQ(bitmap[PAGES / 8 - 1], 0xff);
	CHECK_EQ(bitmap[PAGES / 8], 0);
	machine_unmake(&m);
}

/* What the hypervisor writes for the guest: the page of SynIC messages, and the stack of an interrupt. */
static void written_by_the_hypervisor(void)
{
	const struct hv_post_message_direct post = {.sint = 2, .message = {1, 0, 0, 0, 8}};
	const struct root_call call = {HVCALL_POST_MESSAGE_DIRECT, 0, &post, sizeof(post), NULL, 0};
	u8 bitmap[PAGES / 8];
	struct machine m;
	struct runner *r;

	machine_make(&m, &(struct machine_how){.synthetic = ~0ull});
	CODE64(&m, 0, synic);
	machine_gate(&m, 0x30, GUEST_LABEL(synic, h30));
	machine_out(&m, 0, 0x10);
	track(&m, true);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, CLEAR, 0, PAGES, bitmap));
	CHECK_OK(root_call(m.partition, &call));
	r = machine_start(&m, 0);
	machine_await(&m, MACHINE_DATA + 4 * 0x30, 1);
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	CHECK_OK(root_access_bitmap(m.partition, DIRTY, NOOP, 0, PAGES, bitmap));
	CHECK(bit(bitmap, (MACHINE_DATA + 0x3000) >> 12));
	CHECK(bit(bitmap, (MACHINE_STACK - 8) >> 12));
	CHECK(bit(bitmap, MACHINE_DATA >> 12));
	CHECK(!bit(bitmap, (MACHINE_DATA + 0x8000) >> 12));
	machine_unmake(&m);
}

const struct test dirty_tests[] = {
	{"written pages", written_pages},
	{"own writes", own_writes},
	{"operations", operations},
	{"last byte", last_byte},
	{"without tracking", without_tracking},
	{"refusals", refusals},
	{"by hypercall", by_hypercall},
	{"holes", holes},
	{"written by the hypervisor", written_by_the_hypervisor},
	{0},
};
