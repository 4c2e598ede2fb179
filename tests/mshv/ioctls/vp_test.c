/* SPDX-License-Identifier: MIT */
/* Processors: made, found again, kept alive, and what they are before they have run. */
#include <errno.h>
#include <sys/mman.h>

#include "tests/inside.h"
#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

#define INVALID_STATE 7

static void made_twice(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_EQ(root_vp_create(m.partition, 0), -EEXIST);
	port_close(m.vp[0]);
	CHECK_EQ(root_vp_create(m.partition, 0), -EEXIST);
	m.vp[0] = root_vp_create(m.partition, 1);
	CHECK_OK(m.vp[0]);
	machine_unmake(&m);
}

static void indices(void)
{
	static const struct {
		u32 index;
		int want;
	} cases[] = {{255, 0}, {256, -EINVAL}, {0xffffffff, -EINVAL}, {7, 0}, {3, 0}, {7, -EEXIST}};
	struct machine m;

	machine_open(&m, PT_FLAG(LAPIC));
	CHECK_OK(root_partition_initialize(m.partition));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const int fd = root_vp_create(m.partition, cases[i].index);

		CHECK_EQ(fd < 0 ? fd : 0, cases[i].want);
		if (fd >= 0)
			port_close(fd);
	}
	CHECK_EQ(port_ioctl(m.partition, MSHV_CREATE_VP, (void *)0xdead000000000000ul), -EFAULT);
	machine_unmake(&m);
}

static void before_initialisation(void)
{
	struct machine m;

	machine_open(&m, PT_FLAG(LAPIC));
	CHECK_EQ(root_vp_create(m.partition, 0), -EIO);
	CHECK_OK(root_partition_initialize(m.partition));
	machine_add_vp(&m);
	machine_unmake(&m);
}

static void suspended_at_first(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){.vps = 2});
	for (unsigned vp = 0; vp < 2; vp++) {
		CHECK_EQ(machine_reg(&m, vp, HV_REGISTER_EXPLICIT_SUSPEND), 1);
		CHECK_EQ(machine_reg(&m, vp, HV_REGISTER_INTERCEPT_SUSPEND), 0);
	}
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_INTERNAL_ACTIVITY_STATE), 0);
	CHECK_EQ(machine_reg(&m, 1, HV_REGISTER_INTERNAL_ACTIVITY_STATE), HV_ACTIVITY_STARTUP);
	machine_unmake(&m);
}

/* Stays inside until a signal comes. */
static void waits_for_sipi(void)
{
	struct machine m;
	struct runner *r;

	machine_make(&m, &(struct machine_how){.vps = 2});
	r = machine_start(&m, 1);
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	CHECK_EQ(machine_reg(&m, 1, HV_REGISTER_INTERNAL_ACTIVITY_STATE), HV_ACTIVITY_STARTUP);
	machine_unmake(&m);
}

static long try_map(int fd, unsigned which, size_t size, int flags)
{
	void *p = mmap(
		NULL, size, PROT_READ | PROT_WRITE, flags, fd, (off_t)which * MSHV_HV_PAGE_SIZE);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, size);
	return 0;
}

static void pages(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_EQ(try_map(m.vp[0], MSHV_VP_MMAP_OFFSET_REGISTERS, 4096, MAP_SHARED), 0);
	CHECK_EQ(try_map(m.vp[0], MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE, 4096, MAP_SHARED), 0);
	machine_unmake(&m);
}

/* All views of a page are one. */
static void pages_are_shared(void)
{
	struct machine m;
	struct hv_register_page *other;

	machine_make(&m, &(struct machine_how){0});
	other = root_vp_page(m.vp[0], MSHV_VP_MMAP_OFFSET_REGISTERS);
	CHECK(other && other != m.page[0]);
	m.page[0]->gpr[RBX] = 0x1234567890ull;
	m.page[0]->dirty = HV_PAGE_DIRTY_GPR;
	CHECK_EQ(other->gpr[RBX], 0x1234567890ull);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RAX + RBX), 0x1234567890ull);
	CHECK_EQ(other->dirty, 0);
	munmap(other, 4096);
	machine_unmake(&m);
}

/* The partition ends with the last descriptor that belongs to it. */
static void outlives_its_partition(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	port_close(m.partition);
	machine_set_reg(&m, 0, HV_X64_REGISTER_RAX, 0x77);
	CHECK_EQ(machine_reg(&m, 0, HV_X64_REGISTER_RAX), 0x77);
	m.partition = m.device;
	m.device = port_open();
	machine_unmake(&m);
}

static void two_partitions(void)
{
	struct machine a, b;

	machine_make(&a, &(struct machine_how){0});
	machine_make(&b, &(struct machine_how){0});
	machine_set_reg(&a, 0, HV_X64_REGISTER_RAX, 1);
	machine_set_reg(&b, 0, HV_X64_REGISTER_RAX, 2);
	CHECK_EQ(machine_reg(&a, 0, HV_X64_REGISTER_RAX), 1);
	machine_unmake(&a);
	CHECK_EQ(machine_reg(&b, 0, HV_X64_REGISTER_RAX), 2);
	machine_unmake(&b);
}

const struct test vp_tests[] = {
	{"made twice", made_twice},
	{"indices", indices},
	{"before initialisation", before_initialisation},
	{"suspended at first", suspended_at_first},
	{"waits for sipi", waits_for_sipi},
	{"pages", pages},
	{"pages are shared", pages_are_shared},
	{"outlives its partition", outlives_its_partition},
	{"two partitions", two_partitions},
	{0},
};
