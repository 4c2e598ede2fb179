/* SPDX-License-Identifier: MIT */
/*
 * What each request of /dev/mshv and of a partition refuses, with which error, and in which order: each row alone, and each
 * two rows at once, of which the first one counts. mshv_order_vp_test.c has those of a VP, and hypercalls.
 */
#include "tests/abi/mshv_port.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/dev.h"

#define CHECK(request_, name, good_, undo_, context_)                                              \
	check_refusals(&(struct refusal_check){.request = request_,                                \
		.rows = refusals_##name,                                                           \
		.count = ARRAY_SIZE(refusals_##name),                                              \
		.good = good_,                                                                     \
		.undo = undo_,                                                                     \
		.context = context_})

#define SPOIL(name, what)                                                                          \
	static void name(struct attempt *a)                                                        \
	{                                                                                          \
		what;                                                                              \
	}

SPOIL(no_structure, a->arg = BAD_POINTER)

static void close_result(struct attempt *a, long fd)
{
	assert_int_equal(dev_close(port.dev, (int)fd), 0);
}

/* ---- MSHV_CREATE_PARTITION ---- */

SPOIL(create_flags, a->create.pt_flags |= 1 << 6)
SPOIL(create_nested, a->create.pt_flags |= 1 << 4)
SPOIL(create_isolation, a->create.pt_isolation = 1)
SPOIL(create_short, a->cut = sizeof(a->create))
SPOIL(create_banks, a->create2.pt_num_cpu_fbanks = 1)
SPOIL(create_rsvd, a->create2.pt_rsvd[5] = 1)
SPOIL(create_rsvd1, a->create2.pt_rsvd1[1] = 1)

REFUSALS(MSHV_CREATE_PARTITION) = {
	{"the first 16 bytes cannot be read", EFAULT, no_structure, 1},
	{"pt_flags has an unknown bit", EINVAL, create_flags, 0},
	{"pt_flags asks for nested virtualization", EINVAL, create_nested, 0},
	{"pt_isolation is not MSHV_PT_ISOLATION_NONE", EINVAL, create_isolation, 0},
	{"version 2: the 64 bytes cannot be read", EFAULT, create_short, 1},
	{"version 2: pt_num_cpu_fbanks is not MSHV_NUM_CPU_FEATURES_BANKS", EINVAL, create_banks,
		0},
	{"version 2: pt_rsvd is not 0", EINVAL, create_rsvd, 0},
	{"version 2: pt_rsvd1 is not 0", EINVAL, create_rsvd1, 0},
};

static void good_create(struct attempt *a)
{
	a->fd = *(int *)a->context;
	a->create2.pt_flags = 1 << MSHV_PT_BIT_CPU_AND_XSAVE_FEATURES | LAPIC;
	a->create2.pt_num_cpu_fbanks = MSHV_NUM_CPU_FEATURES_BANKS;
	a->create2.pt_cpu_fbanks[0] = ~0ull; /* bits that nobody knows are fine there */
}

static void test_create_partition(void **state)
{
	int sys = mshv_open();

	CHECK(MSHV_CREATE_PARTITION, MSHV_CREATE_PARTITION, good_create, close_result, &sys);
	dev_close(port.dev, sys);
}

/* Version 1 is 16 bytes, and nothing behind them is read. */
static void test_create_version_1(void **state)
{
	static const u64 flags[] = {
		0, LAPIC, LAPIC | X2APIC, 1 << MSHV_PT_BIT_GPA_SUPER_PAGES, 1 << 5};
	u8 *page = pages_alloc(2 * HV_PAGE_SIZE);
	struct mshv_create_partition *a = (void *)(page + HV_PAGE_SIZE - sizeof(*a));
	int sys = mshv_open();

	munmap(page + HV_PAGE_SIZE, HV_PAGE_SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
		*a = (struct mshv_create_partition){.pt_flags = flags[i]};
		close_result(NULL, mshv_p(sys, MSHV_CREATE_PARTITION, a));
	}
	munmap(page, HV_PAGE_SIZE);
	dev_close(port.dev, sys);
}

/* ---- MSHV_INITIALIZE_PARTITION ---- */

static void test_initialize(void **state)
{
	struct partition p;

	partition_open(&p, LAPIC);
	assert_int_equal(mshv(p.fd, MSHV_INITIALIZE_PARTITION, 0xdead), 0);
	assert_int_equal(mshv(p.fd, MSHV_INITIALIZE_PARTITION, 0), 0);
	partition_close(&p);
}

/* ---- MSHV_CREATE_VP ---- */

static int vp_not_initialized; /* another partition */

SPOIL(vp_index, a->vp.vp_index = 256)
SPOIL(vp_exists, a->vp.vp_index = 0)
SPOIL(vp_early, a->fd = vp_not_initialized)

REFUSALS(MSHV_CREATE_VP) = {
	{"the structure cannot be read", EFAULT, no_structure, 1},
	{"vp_index is 256 or more", EINVAL, vp_index, 2},
	{"vp_index is in use", EEXIST, vp_exists, 2},
	{"the partition is not initialised", EIO, vp_early, 2},
};

static void good_vp(struct attempt *a)
{
	a->fd = ((struct partition *)a->context)->fd;
	a->vp.vp_index = 255;
}

static void test_create_vp(void **state)
{
	struct partition p = {0}, early;

	partition_start(&p, LAPIC);
	partition_open(&early, LAPIC);
	vp_not_initialized = early.fd;
	CHECK(MSHV_CREATE_VP, MSHV_CREATE_VP, good_vp, close_result, &p);
	/* Its index is never free again. */
	assert_int_equal(mshv_p(p.fd, MSHV_CREATE_VP, &(struct mshv_create_vp){255}), -EEXIST);
	assert_int_equal(mshv_p(p.fd, MSHV_CREATE_VP, &(struct mshv_create_vp){~0u}), -EINVAL);
	assert_int_equal(mshv_p(early.fd, MSHV_CREATE_VP, &(struct mshv_create_vp){256}), -EINVAL);
	partition_close(&early);
	partition_close(&p);
}

/* ---- MSHV_SET_GUEST_MEMORY ---- */

#define MEM_SIZE 0x4000

static int mem_not_initialized;

SPOIL(mem_no_size, a->mem.size = 0)
SPOIL(mem_size, a->mem.size |= 0x800)
SPOIL(mem_address, a->mem.userspace_addr |= 0x10)
SPOIL(mem_flags, a->mem.flags |= 8)
SPOIL(mem_rsvd, a->mem.rsvd[6] = 1)
SPOIL(mem_wraps, a->mem.userspace_addr = -(u64)HV_PAGE_SIZE)
SPOIL(mem_kernel, a->mem.size = 1ull << 47)
SPOIL(mem_nothing, a->mem.userspace_addr = 0x10000)
SPOIL(mem_pfn, a->mem.guest_pfn = 1ull << 40)
SPOIL(mem_wide, a->mem.guest_pfn = ~0ull)
SPOIL(mem_overlap, a->mem.guest_pfn = RAM_SIZE / HV_PAGE_SIZE - 1)
SPOIL(mem_early, a->fd = mem_not_initialized)

REFUSALS(MSHV_SET_GUEST_MEMORY) = {
	{"the structure cannot be read", EFAULT, no_structure, 9},
	{"size is 0", EINVAL, mem_no_size, 1},
	{"size is not a multiple of 4096", EINVAL, mem_size, 1},
	{"userspace_addr is not a multiple of 4096", EINVAL, mem_address, 0},
	{"flags has an unknown bit", EINVAL, mem_flags, 0},
	{"rsvd is not 0", EINVAL, mem_rsvd, 0},
	{"userspace_addr + size wraps around", EINVAL, mem_wraps, 2},
	{"userspace_addr + size is beyond the process", EINVAL, mem_kernel, 1},
	{"there is no memory at userspace_addr", EINVAL, mem_nothing, 2},
	{"guest_pfn is beyond 52 bits of address", EINVAL, mem_pfn, 3},
	{"guest_pfn + size wraps around", EINVAL, mem_wide, 3},
	{"guest_pfn overlaps a region", EEXIST, mem_overlap, 3},
	{"the partition is not initialised", EIO, mem_early, 3},
};

struct mem_context {
	struct partition p;
	u8 *memory;
};

static void good_mem(struct attempt *a)
{
	const struct mem_context *c = a->context;

	a->fd = c->p.fd;
	a->mem = (struct mshv_user_mem_region){.size = MEM_SIZE,
		.guest_pfn = 0x1000,
		.userspace_addr = (unsigned long)c->memory,
		.flags = MEM_W | MEM_X};
}

static void undo_mem(struct attempt *a, long result)
{
	assert_int_equal(unmap_memory(a->fd, 0x1000000, MEM_SIZE,
				 ((struct mem_context *)a->context)->memory),
		0);
}

SPOIL(unmap_far, a->mem.guest_pfn = ~0ull)
SPOIL(unmap_none, a->mem.guest_pfn += MEM_SIZE / HV_PAGE_SIZE)
SPOIL(unmap_inside, a->mem.guest_pfn++)
SPOIL(unmap_size, a->mem.size -= HV_PAGE_SIZE)
SPOIL(unmap_address, a->mem.userspace_addr += HV_PAGE_SIZE)

REFUSALS(MSHV_SET_GUEST_MEMORY_unmap) = {
	{"the structure cannot be read", EFAULT, no_structure, 9},
	{"size is 0", EINVAL, mem_no_size, 1},
	{"size is not a multiple of 4096", EINVAL, mem_size, 1},
	{"userspace_addr is not a multiple of 4096", EINVAL, mem_address, 0},
	{"flags has an unknown bit", EINVAL, mem_flags, 0},
	{"rsvd is not 0", EINVAL, mem_rsvd, 0},
	{"no region contains guest_pfn", ENOENT, unmap_none, 2},
	{"guest_pfn is beyond all addresses", ENOENT, unmap_far, 2},
	{"guest_pfn is not the region's first page", EINVAL, unmap_inside, 2},
	{"size is not the region's", EINVAL, unmap_size, 1},
	{"userspace_addr is not the region's", EINVAL, unmap_address, 0},
};

static void good_unmap(struct attempt *a)
{
	good_mem(a);
	a->mem.flags = 0xff & MSHV_SET_MEM_FLAGS_MASK; /* the others do not matter */
}

static void test_set_memory(void **state)
{
	struct mem_context c = {.memory = pages_alloc(MEM_SIZE)};
	struct partition early;

	partition_start(&c.p, LAPIC);
	partition_open(&early, LAPIC);
	mem_not_initialized = early.fd;
	CHECK(MSHV_SET_GUEST_MEMORY, MSHV_SET_GUEST_MEMORY, good_mem, undo_mem, &c);
	assert_int_equal(map_memory(c.p.fd, 0x1000000, MEM_SIZE, c.memory, MEM_W), 0);
	CHECK(MSHV_SET_GUEST_MEMORY, MSHV_SET_GUEST_MEMORY_unmap, good_unmap, NULL, &c);
	assert_int_equal(unmap_memory(c.p.fd, 0x1000000, MEM_SIZE, c.memory), -ENOENT);
	partition_close(&early);
	partition_close(&c.p);
	munmap(c.memory, MEM_SIZE);
}

/* ---- MSHV_IRQFD ---- */

struct fd_context {
	struct partition p;
	int event, resample, used, file;
};

#define CONTEXT(a) ((const struct fd_context *)(a)->context)

SPOIL(irqfd_flags, a->irqfd.flags |= 4)
SPOIL(irqfd_closed, a->irqfd.fd = -1)
SPOIL(irqfd_file, a->irqfd.fd = CONTEXT(a)->file)
SPOIL(irqfd_resample_closed, a->irqfd.resamplefd = -1)
SPOIL(irqfd_resample_file, a->irqfd.resamplefd = CONTEXT(a)->file)
SPOIL(irqfd_used, a->irqfd.fd = CONTEXT(a)->used)

REFUSALS(MSHV_IRQFD) = {
	{"the structure cannot be read", EFAULT, no_structure, 9},
	{"flags has an unknown bit", EINVAL, irqfd_flags, 0},
	{"fd is not open", EBADF, irqfd_closed, 1},
	{"fd is not an eventfd", EINVAL, irqfd_file, 1},
	{"RESAMPLE: resamplefd is not open", EBADF, irqfd_resample_closed, 2},
	{"RESAMPLE: resamplefd is not an eventfd", EINVAL, irqfd_resample_file, 2},
	{"an irqfd of the partition has this eventfd", EBUSY, irqfd_used, 1},
};

REFUSALS(MSHV_IRQFD_deassign) = {
	{"the structure cannot be read", EFAULT, no_structure, 9},
	{"flags has an unknown bit", EINVAL, irqfd_flags, 0},
	{"fd is not open", EBADF, irqfd_closed, 1},
	{"fd is not an eventfd", EINVAL, irqfd_file, 1},
};

static void good_irqfd(struct attempt *a)
{
	a->fd = CONTEXT(a)->p.fd;
	a->irqfd = (struct mshv_user_irqfd){.fd = CONTEXT(a)->event,
		.resamplefd = CONTEXT(a)->resample,
		.gsi = ~0u, /* is looked at when it fires */
		.flags = 1 << MSHV_IRQFD_BIT_RESAMPLE};
}

static void good_deassign(struct attempt *a)
{
	good_irqfd(a);
	a->irqfd.flags = 1 << MSHV_IRQFD_BIT_DEASSIGN;
}

static void fds_open(struct fd_context *c)
{
	partition_start(&c->p, LAPIC);
	c->event = eventfd(0, EFD_NONBLOCK);
	c->resample = eventfd(0, EFD_NONBLOCK);
	c->used = eventfd(0, EFD_NONBLOCK);
	c->file = open("/dev/null", O_RDWR);
	assert_true(c->event >= 0 && c->resample >= 0 && c->used >= 0 && c->file >= 0);
}

static void fds_close(struct fd_context *c)
{
	partition_close(&c->p);
	close(c->event);
	close(c->resample);
	close(c->used);
	close(c->file);
}

static void test_irqfd(void **state)
{
	struct mshv_user_irqfd a;
	struct fd_context c = {0};

	fds_open(&c);
	a = (struct mshv_user_irqfd){.fd = c.used, .gsi = 3};
	assert_int_equal(mshv_p(c.p.fd, MSHV_IRQFD, &a), 0);
	CHECK(MSHV_IRQFD, MSHV_IRQFD, good_irqfd, NULL, &c);
	CHECK(MSHV_IRQFD, MSHV_IRQFD_deassign, good_deassign, NULL, &c);
	/* Without RESAMPLE nobody looks at resamplefd; what is not attached can be detached. */
	a = (struct mshv_user_irqfd){.fd = c.event, .resamplefd = -7, .gsi = 0};
	assert_int_equal(mshv_p(c.p.fd, MSHV_IRQFD, &a), 0);
	a.gsi = 1;
	a.flags = 1 << MSHV_IRQFD_BIT_DEASSIGN;
	assert_int_equal(mshv_p(c.p.fd, MSHV_IRQFD, &a), 0);
	a.flags = 0;
	assert_int_equal(mshv_p(c.p.fd, MSHV_IRQFD, &a), -EBUSY); /* that was gsi 0's */
	fds_close(&c);
}

/* ---- MSHV_IOEVENTFD ---- */

SPOIL(io_flags, a->ioeventfd.flags |= 8)
SPOIL(io_rsvd, a->ioeventfd.rsvd[3] = 1)
SPOIL(io_pio, a->ioeventfd.flags |= 1 << MSHV_IOEVENTFD_BIT_PIO)
SPOIL(io_len, a->ioeventfd.len = 3)
SPOIL(io_long, a->ioeventfd.len = 16)
SPOIL(io_wraps, a->ioeventfd.addr = ~0ull)
SPOIL(io_closed, a->ioeventfd.fd = -1)
SPOIL(io_file, a->ioeventfd.fd = CONTEXT(a)->file)
SPOIL(io_exists, a->ioeventfd.addr = NOWHERE)

REFUSALS(MSHV_IOEVENTFD) = {
	{"the structure cannot be read", EFAULT, no_structure, 9},
	{"flags has an unknown bit", EINVAL, io_flags, 0},
	{"rsvd is not 0", EINVAL, io_rsvd, 0},
	{"flags asks for port I/O", EOPNOTSUPP, io_pio, 0},
	{"len is 3", EINVAL, io_len, 1},
	{"len is 16", EINVAL, io_long, 1},
	{"addr + len wraps around", EINVAL, io_wraps, 2},
	{"fd is not open", EBADF, io_closed, 3},
	{"fd is not an eventfd", EINVAL, io_file, 3},
	{"the same writes signal another eventfd", EEXIST, io_exists, 2},
};

SPOIL(io_other_fd, a->ioeventfd.fd = CONTEXT(a)->resample)
SPOIL(io_other_address, a->ioeventfd.addr++)
SPOIL(io_other_len, a->ioeventfd.len = 8)
SPOIL(io_other_match, a->ioeventfd.datamatch++)
SPOIL(io_wildcard, a->ioeventfd.flags &= ~(1u << MSHV_IOEVENTFD_BIT_DATAMATCH))

REFUSALS(MSHV_IOEVENTFD_deassign) = {
	{"the structure cannot be read", EFAULT, no_structure, 9},
	{"flags has an unknown bit", EINVAL, io_flags, 0},
	{"rsvd is not 0", EINVAL, io_rsvd, 0},
	{"flags asks for port I/O", EOPNOTSUPP, io_pio, 0},
	{"fd is not open", EBADF, io_closed, 1},
	{"fd is not an eventfd", EINVAL, io_file, 1},
	{"no such doorbell: another fd", ENOENT, io_other_fd, 1},
	{"no such doorbell: another addr", ENOENT, io_other_address, 0},
	{"no such doorbell: another len", ENOENT, io_other_len, 0},
	{"no such doorbell: another datamatch", ENOENT, io_other_match, 0},
	{"no such doorbell: without a datamatch", ENOENT, io_wildcard, 0},
};

static void good_doorbell(struct attempt *a)
{
	a->fd = CONTEXT(a)->p.fd;
	a->ioeventfd = (struct mshv_user_ioeventfd){.datamatch = 7,
		.addr = NOWHERE + 8,
		.len = 4,
		.fd = CONTEXT(a)->event,
		.flags = 1 << MSHV_IOEVENTFD_BIT_DATAMATCH};
}

static void good_doorbell_end(struct attempt *a)
{
	good_doorbell(a);
	a->ioeventfd.flags |= 1 << MSHV_IOEVENTFD_BIT_DEASSIGN;
}

static void test_ioeventfd(void **state)
{
	struct mshv_user_ioeventfd a = {.addr = NOWHERE, .len = 4};
	struct fd_context c = {0};

	fds_open(&c);
	a.fd = c.used;
	assert_int_equal(mshv_p(c.p.fd, MSHV_IOEVENTFD, &a), 0);
	CHECK(MSHV_IOEVENTFD, MSHV_IOEVENTFD, good_doorbell, NULL, &c);
	CHECK(MSHV_IOEVENTFD, MSHV_IOEVENTFD_deassign, good_doorbell_end, NULL, &c);
	fds_close(&c);
}

/* Two collide if address and length are the same and one of them takes every value, or both take the same. */
static void test_collisions(void **state)
{
	static const struct {
		u32 len, flags;
		u64 match;
		int error;
	} second[] = {{4, 1, 5, -EEXIST}, {4, 0, 0, -EEXIST}, {4, 1, 6, 0}, {8, 1, 5, 0},
		{2, 0, 0, 0}, {1, 0, 0, 0}, {0, 0, 0, 0}};
	struct mshv_user_ioeventfd first = {.addr = NOWHERE, .len = 4, .flags = 1, .datamatch = 5},
				   a;
	struct fd_context c = {0};

	fds_open(&c);
	first.fd = c.event;
	assert_int_equal(mshv_p(c.p.fd, MSHV_IOEVENTFD, &first), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(second); i++) {
		a = (struct mshv_user_ioeventfd){.addr = NOWHERE,
			.len = second[i].len,
			.flags = second[i].flags,
			.datamatch = second[i].match,
			.fd = c.used};
		if (mshv_p(c.p.fd, MSHV_IOEVENTFD, &a) != second[i].error)
			fail_msg("doorbell %u: %s", i, mshv_why());
		a.flags |= 1 << MSHV_IOEVENTFD_BIT_DEASSIGN;
		assert_int_equal(mshv_p(c.p.fd, MSHV_IOEVENTFD, &a), second[i].error ? -ENOENT : 0);
	}
	fds_close(&c);
}

/* ---- MSHV_SET_MSI_ROUTING ---- */

SPOIL(routes_many, a->routes.head.nr = 4097)
SPOIL(routes_rsvd, a->routes.head.rsvd = 1)
SPOIL(routes_short, a->cut = sizeof(a->routes.head) + 3 * sizeof(a->routes.e[0]))
SPOIL(routes_gsi, a->routes.e[0].gsi = 4096)
SPOIL(routes_high, a->routes.e[1].address_hi = 1)
SPOIL(routes_twice, a->routes.e[3].gsi = a->routes.e[2].gsi)

REFUSALS(MSHV_SET_MSI_ROUTING) = {
	{"the header cannot be read", EFAULT, no_structure, 1},
	{"nr is more than 4096", EINVAL, routes_many, 0},
	{"rsvd is not 0", EINVAL, routes_rsvd, 0},
	{"the entries cannot be read", EFAULT, routes_short, 1},
	{"gsi of an entry is 4096 or more", EINVAL, routes_gsi, 0},
	{"address_hi of an entry is not 0", EINVAL, routes_high, 0},
	{"an earlier entry has the same gsi", EINVAL, routes_twice, 0},
};

static void good_routes(struct attempt *a)
{
	a->fd = ((struct partition *)a->context)->fd;
	a->routes.head.nr = 4;
	for (unsigned i = 0; i < 4; i++)
		a->routes.e[i] = (struct mshv_user_irq_entry){
			.gsi = i ? 4096 - i : 0, .address_lo = 0xfee00000, .data = 0x40 + i};
}

static void test_routing(void **state)
{
	struct mshv_user_irq_table none = {0};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	CHECK(MSHV_SET_MSI_ROUTING, MSHV_SET_MSI_ROUTING, good_routes, NULL, &p);
	assert_int_equal(mshv_p(p.fd, MSHV_SET_MSI_ROUTING, &none), 0);
	partition_close(&p);
}

/* Entries of gsi 0 replace each other. */
static void test_routing_gsi_0(void **state)
{
	struct {
		struct mshv_user_irq_table head;
		struct mshv_user_irq_entry e[4096];
	} *t = calloc(1, sizeof(*t));
	struct partition p = {0};

	t->head.nr = 4096;
	partition_start(&p, LAPIC);
	assert_int_equal(mshv_p(p.fd, MSHV_SET_MSI_ROUTING, t), 0);
	for (unsigned i = 0; i < 4096; i++)
		t->e[i].gsi = i;
	assert_int_equal(mshv_p(p.fd, MSHV_SET_MSI_ROUTING, t), 0);
	partition_close(&p);
	free(t);
}

/* ---- MSHV_GET_GPAP_ACCESS_BITMAP ---- */

static u8 *bitmap_read_only;
static int bitmap_untracked;

SPOIL(bitmap_type, a->bitmap.access_type = MSHV_GPAP_ACCESS_TYPE_COUNT)
SPOIL(bitmap_op, a->bitmap.access_op = MSHV_GPAP_ACCESS_OP_COUNT)
SPOIL(bitmap_rsvd, a->bitmap.rsvd[5] = 1)
SPOIL(bitmap_no_pages, a->bitmap.page_count = 0)
SPOIL(bitmap_nowhere, a->bitmap.bitmap_ptr = 0)
SPOIL(bitmap_large, a->bitmap.page_count = 1ull << 61)
SPOIL(bitmap_off, a->fd = bitmap_untracked)
SPOIL(bitmap_fault, a->bitmap.bitmap_ptr = (unsigned long)bitmap_read_only)

REFUSALS(MSHV_GET_GPAP_ACCESS_BITMAP) = {
	{"the structure cannot be read", EFAULT, no_structure, 9},
	{"access_type is unknown", EINVAL, bitmap_type, 0},
	{"access_op is unknown", EINVAL, bitmap_op, 0},
	{"rsvd is not 0", EINVAL, bitmap_rsvd, 0},
	{"page_count is 0", EINVAL, bitmap_no_pages, 1},
	{"bitmap_ptr is 0", EINVAL, bitmap_nowhere, 2},
	{"page_count * 8 does not fit", E2BIG, bitmap_large, 1},
	{"accesses are not tracked", EIO, bitmap_off, 0},
	{"the bitmap cannot be written", EFAULT, bitmap_fault, 2},
};

struct bitmap_context {
	struct partition p;
	u8 bits[16];
};

static void good_bitmap(struct attempt *a)
{
	struct bitmap_context *c = a->context;

	a->fd = c->p.fd;
	a->bitmap = (struct mshv_gpap_access_bitmap){.access_type = MSHV_GPAP_ACCESS_TYPE_DIRTY,
		.access_op = MSHV_GPAP_ACCESS_OP_NOOP,
		.page_count = 9,
		.bitmap_ptr = (unsigned long)c->bits};
}

static void test_bitmap(void **state)
{
	struct bitmap_context c = {0};
	struct partition off = {0};

	bitmap_read_only = mmap(NULL, HV_PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(bitmap_read_only != MAP_FAILED);
	partition_start(&c.p, LAPIC);
	partition_start(&off, LAPIC);
	bitmap_untracked = off.fd;
	assert_hv(property_set(c.p.fd, HV_PROPERTY_GPA_PAGE_ACCESS_TRACKING, 1), 0, 0);
	CHECK(MSHV_GET_GPAP_ACCESS_BITMAP, MSHV_GET_GPAP_ACCESS_BITMAP, good_bitmap, NULL, &c);
	partition_close(&off);
	partition_close(&c.p);
	munmap(bitmap_read_only, HV_PAGE_SIZE);
}

/* ---- requests that there are not ---- */

/* A VP's descriptor is mapped page by page. */
static int map_check(int vp, int prot, int flags, size_t size, unsigned page)
{
	return dev_mmap_check(port.dev, vp, prot, flags, size, (u64)page * HV_PAGE_SIZE);
}

static void test_mmap(void **state)
{
	struct partition p = {0};
	int rw = PROT_READ | PROT_WRITE, vp;

	partition_start(&p, LAPIC);
	vp = p.vp[0];
	assert_int_equal(
		map_check(vp, rw, MAP_SHARED, HV_PAGE_SIZE, MSHV_VP_MMAP_OFFSET_REGISTERS), 0);
	assert_int_equal(
		map_check(vp, rw, MAP_SHARED, HV_PAGE_SIZE, MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE),
		0);
	assert_int_equal(
		map_check(vp, rw, MAP_SHARED, HV_PAGE_SIZE, MSHV_VP_MMAP_OFFSET_GHCB), -ENODEV);
	assert_int_equal(
		map_check(vp, rw, MAP_SHARED, HV_PAGE_SIZE, MSHV_VP_MMAP_OFFSET_COUNT), -EINVAL);
	assert_int_equal(map_check(vp, rw, MAP_SHARED, 2 * HV_PAGE_SIZE, 0), -EINVAL);
	assert_int_equal(map_check(vp, rw, MAP_PRIVATE, HV_PAGE_SIZE, 0), -EINVAL);
	assert_int_equal(map_check(vp, PROT_EXEC, MAP_SHARED, HV_PAGE_SIZE, 0), -EPERM);
	assert_int_equal(map_check(p.fd, rw, MAP_SHARED, HV_PAGE_SIZE, 0), -ENODEV);
	partition_close(&p);
}

static void test_unknown(void **state)
{
	static const unsigned long requests[] = {0xb801, 0x0, 0xffffffff, 0xc00cb808, 0xb8f2,
		0xc020b8f2, 0x8100b801, 0x5450, MSHV_SET_GUEST_MEMORY ^ 1u << 31, MSHV_HVCALL,
		MSHV_RETURN_TO_LOWER_VTL, MSHV_SET_POLL_FILE};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
		if (requests[i] == 0x5450) /* FIONCLEX, which is every file's */
			continue;
		assert_int_equal(mshv(p.sys, requests[i], 0), -ENOTTY);
		assert_int_equal(mshv(p.fd, requests[i], 0), -ENOTTY);
		assert_int_equal(mshv(p.vp[0], requests[i], 0), -ENOTTY);
	}
	/* Those of the others. */
	assert_int_equal(mshv(p.sys, MSHV_RUN_VP, 0), -ENOTTY);
	assert_int_equal(mshv(p.sys, MSHV_CREATE_VP, 0), -ENOTTY);
	assert_int_equal(mshv(p.fd, MSHV_RUN_VP, 0), -ENOTTY);
	assert_int_equal(mshv(p.fd, MSHV_CREATE_PARTITION, 0), -ENOTTY);
	assert_int_equal(mshv(p.vp[0], MSHV_SET_GUEST_MEMORY, 0), -ENOTTY);
	assert_int_equal(mshv(p.vp[0], MSHV_INITIALIZE_PARTITION, 0), -ENOTTY);
	/* Only the lower 32 bits are the number. */
	assert_int_equal(mshv(p.fd, MSHV_INITIALIZE_PARTITION | 1ul << 32, 0), 0);
	partition_close(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_create_partition),
	cmocka_unit_test(test_create_version_1),
	cmocka_unit_test(test_initialize),
	cmocka_unit_test(test_create_vp),
	cmocka_unit_test(test_set_memory),
	cmocka_unit_test(test_irqfd),
	cmocka_unit_test(test_ioeventfd),
	cmocka_unit_test(test_collisions),
	cmocka_unit_test(test_routing),
	cmocka_unit_test(test_routing_gsi_0),
	cmocka_unit_test(test_bitmap),
	cmocka_unit_test(test_mmap),
	cmocka_unit_test(test_unknown),
};
MSHV_MAIN(tests)
