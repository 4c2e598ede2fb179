/* SPDX-License-Identifier: MIT */
/* Regions of guest memory: what may be mapped where, and taken away. */
#include <errno.h>
#include <sys/mman.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

#define SIZE 0x10000ull

struct place {
	struct machine m;
	u8 *hva;
};

static void make(struct place *p)
{
	machine_make(&p->m, &(struct machine_how){.no_ram = true});
	p->hva = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p->hva != MAP_FAILED);
}

static void unmake(struct place *p)
{
	munmap(p->hva, SIZE);
	machine_unmake(&p->m);
}

static void maps_and_unmaps(void)
{
	struct place p;

	make(&p);
	for (unsigned flags = 0; flags <= MAP_WX; flags++) {
		CHECK_OK(root_memory_map(p.m.partition, 0x1000, SIZE, p.hva, flags));
		CHECK_OK(root_memory_unmap(p.m.partition, 0x1000, SIZE, p.hva));
	}
	unmake(&p);
}

static void overlaps(void)
{
	static const struct {
		u64 gpa, size;
	} cases[] = {
		{0x100000, SIZE},    /* the same */
		{0x0f8000, SIZE},    /* its beginning */
		{0x108000, SIZE},    /* its end */
		{0x104000, 0x1000},  /* inside */
		{0x0ff000, 0x2000},  /* one page of it */
		{0x10f000, 0x1000},  /* the last page */
		{0x0f0000, 0x11000}, /* up to its first page */
	};
	struct place p;

	make(&p);
	CHECK_OK(root_memory_map(p.m.partition, 0x100000, SIZE, p.hva, MAP_WX));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u8 *more = mmap(NULL, cases[i].size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		const long r =
			root_memory_map(p.m.partition, cases[i].gpa, cases[i].size, more, MAP_WX);

		munmap(more, cases[i].size);
		if (r != -EEXIST)
			test_note("at 0x%llx: ", (unsigned long long)cases[i].gpa);
		CHECK_EQ(r, -EEXIST);
	}
	unmake(&p);
}

/* One that surrounds another overlaps it, too. */
static void overlaps_around(void)
{
	struct place p;

	make(&p);
	CHECK_OK(root_memory_map(p.m.partition, 0x104000, 0x1000, p.hva, MAP_WX));
	CHECK_EQ(root_memory_map(p.m.partition, 0x100000, SIZE, p.hva, MAP_WX), -EEXIST);
	unmake(&p);
}

static void neighbours(void)
{
	struct place p;

	make(&p);
	CHECK_OK(root_memory_map(p.m.partition, 0x104000, 0x4000, p.hva, MAP_WX));
	CHECK_OK(root_memory_map(p.m.partition, 0x108000, 0x1000, p.hva + 0x4000, MAP_WX));
	CHECK_OK(root_memory_map(p.m.partition, 0x103000, 0x1000, p.hva + 0x5000, MAP_WX));
	unmake(&p);
}

/* The same memory of ours at two addresses of the guest's. */
static void mapped_twice(void)
{
	struct place p;

	make(&p);
	CHECK_OK(root_memory_map(p.m.partition, 0x100000, SIZE, p.hva, MAP_WX));
	CHECK_OK(root_memory_map(p.m.partition, 0x200000, SIZE, p.hva, MAP_W));
	CHECK_OK(root_memory_unmap(p.m.partition, 0x200000, SIZE, p.hva));
	unmake(&p);
}

static void refusals(void)
{
	struct place p;
	const struct mshv_user_mem_region *c;

	make(&p);
	{
		const u64 hva = (unsigned long)p.hva;
		const struct mshv_user_mem_region cases[] = {
			{.size = 0, .userspace_addr = hva}, {.size = 0x1001, .userspace_addr = hva},
			{.size = 0x1000, .userspace_addr = hva + 1},
			{.size = 0x1000, .userspace_addr = hva, .flags = 8},
			{.size = 0x1000, .userspace_addr = hva, .flags = 0x80},
			{.size = 0x1000, .userspace_addr = hva, .rsvd = {1}},
			{.size = 0x1000, .userspace_addr = hva, .rsvd = {0, 0, 0, 0, 0, 0, 1}},
			{.size = 0x1000, .userspace_addr = hva, .flags = 4, .rsvd = {1}},
			{.size = 0x1000, .userspace_addr = 0xffff800000000000ull},
			{.size = 0x1000, .userspace_addr = 0x1000}, /* nothing is there */
		};

		for (c = cases; c < cases + ARRAY_SIZE(cases); c++) {
			const long r = port_ioctl(p.m.partition, MSHV_SET_GUEST_MEMORY, c);

			if (r != -EINVAL)
				test_note("case %d: ", (int)(c - cases));
			CHECK_EQ(r, -EINVAL);
		}
	}
	CHECK_EQ(port_ioctl(p.m.partition, MSHV_SET_GUEST_MEMORY, (void *)0xdead000000000000ul),
		-EFAULT);
	unmake(&p);
}

static void unmap_refusals(void)
{
	struct place p;

	make(&p);
	CHECK_EQ(root_memory_unmap(p.m.partition, 0x100000, SIZE, p.hva), -ENOENT);
	CHECK_OK(root_memory_map(p.m.partition, 0x100000, SIZE, p.hva, MAP_WX));
	CHECK_EQ(root_memory_unmap(p.m.partition, 0x110000, SIZE, p.hva), -ENOENT);
	CHECK_EQ(root_memory_unmap(p.m.partition, 0x101000, SIZE, p.hva), -EINVAL);
	CHECK_EQ(root_memory_unmap(p.m.partition, 0x100000, SIZE - 0x1000, p.hva), -EINVAL);
	CHECK_EQ(root_memory_unmap(p.m.partition, 0x100000, SIZE, p.hva + 0x1000), -EINVAL);
	CHECK_OK(root_memory_unmap(p.m.partition, 0x100000, SIZE, p.hva));
	CHECK_EQ(root_memory_unmap(p.m.partition, 0x100000, SIZE, p.hva), -ENOENT);
	unmake(&p);
}

/* Address space that nobody has touched costs nothing. */
static void eight_gib_unreserved(void)
{
	const u64 size = 8ull << 30;
	struct place p;
	u8 *big;

	make(&p);
	big = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		-1, 0);
	CHECK(big != MAP_FAILED);
	CHECK_OK(root_memory_map(p.m.partition, 0, size, big, MAP_WX));
	CHECK_OK(root_memory_unmap(p.m.partition, 0, size, big));
	munmap(big, size);
	unmake(&p);
}

/* One region over two mappings of ours with different rights. */
static void several_mappings(void)
{
	struct place p;

	make(&p);
	CHECK(!mprotect(p.hva, 0x4000, PROT_READ));
	CHECK_OK(root_memory_map(p.m.partition, 0, SIZE, p.hva, MAP_WX));
	unmake(&p);
}

static void before_initialisation(void)
{
	struct place p;

	make(&p);
	port_close(p.m.partition);
	p.m.partition = root_partition_create(
		p.m.device, &(struct mshv_create_partition_v2){.pt_flags = 1});
	CHECK_OK(p.m.partition);
	CHECK_EQ(root_memory_map(p.m.partition, 0, SIZE, p.hva, MAP_WX), -EIO);
	CHECK_OK(root_partition_initialize(p.m.partition));
	CHECK_OK(root_memory_map(p.m.partition, 0, SIZE, p.hva, MAP_WX));
	unmake(&p);
}

/* ---- while the guest runs ---- */

GUEST(touch);
#define HIGH 0xc0000000ull

/* What is mapped while it runs is there for it; and gone when it is taken away, at once. */
static void while_it_runs(void)
{
	struct hv_message message;
	const struct hv_memory_message *mem = (const void *)message.payload;
	u32 *page = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct machine m;
	struct runner *r;

	CHECK(page != MAP_FAILED);
	machine_make(&m, &(struct machine_how){0});
	CODE64(&m, 0, touch);
	m.page[0]->gpr[RBX] = HIGH;
	m.page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	for (u32 i = 1; i <= 3; i++) {
		CHECK_OK(root_vp_run(m.vp[0], &message));
		CHECK_EQ(message.type, HVMSG_UNMAPPED_GPA);
		*page = i;
		CHECK_OK(root_memory_map(m.partition, HIGH, 0x1000, page, MAP_W));
		r = machine_start(&m, 0);
		machine_await(&m, MACHINE_DATA, i);
		*(volatile u32 *)page = i + 100; /* seen at once, too */
		machine_await(&m, MACHINE_DATA, i + 100);
		CHECK_OK(root_memory_unmap(m.partition, HIGH, 0x1000, page));
		CHECK_EQ(machine_wait(r, &message), 0);
		CHECK_EQ(message.type, HVMSG_UNMAPPED_GPA);
		CHECK_EQ(mem->gpa, HIGH);
	}
	machine_unmake(&m);
	munmap(page, 0x1000);
}

const struct test memory_tests[] = {
	{"maps and unmaps", maps_and_unmaps},
	{"overlaps", overlaps},
	{"overlaps around", overlaps_around},
	{"neighbours", neighbours},
	{"mapped twice", mapped_twice},
	{"refusals", refusals},
	{"unmap refusals", unmap_refusals},
	{"eight GiB unreserved", eight_gib_unreserved},
	{"several mappings", several_mappings},
	{"before initialisation", before_initialisation},
	{"while it runs", while_it_runs},
	{0},
};
