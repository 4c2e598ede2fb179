/* SPDX-License-Identifier: MIT */
/*
 * The memory of the lower guest, and the pages of its processors, as the program maps them. Where there is nothing an access raises
 * SIGBUS; in the middle of a file only with the shim's help, so tests/shim/vtl has that.
 */
#include "tests/abi/vtl_port.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/dev.h"
#include "base/sys.h"

static sigjmp_buf fault;

static void on_bus(int sig)
{
	siglongjmp(fault, 1);
}

/* Does a read there raise SIGBUS? Beside the engine's own handlers. */
static bool raises_bus(const volatile u8 *at)
{
	const struct sigaction a = {.sa_handler = on_bus};
	struct sigaction old;
	bool raised = true;

	sigaction(SIGBUS, &a, &old);
	if (!sigsetjmp(fault, 1)) {
		(void)*at;
		raised = false;
	}
	sigaction(SIGBUS, &old, NULL);
	return raised;
}

static u8 *map_low(int fd, u64 gpa, size_t size)
{
	u8 *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)gpa);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

/* ---- memory ---- */

/* Who maps before there is memory finds it there afterwards; both views are one memory. */
static void test_add(void **state)
{
	struct lower l;
	u8 *before, *after;

	lower_begin(&l);
	before = map_low(l.low, 0, 0x3000);
	assert_true(raises_bus(before));
	assert_int_equal(lower_add(&l, 0, 0x2000), 0);
	assert_false(raises_bus(before));
	assert_false(raises_bus(before + 0x1fff));
	assert_true(raises_bus(before + 0x2000)); /* last_pfn is not part of it */
	after = map_low(l.low, 0x1000, 0x1000);
	before[0x1234] = 0x77;
	assert_int_equal(after[0x234], 0x77);
	munmap(before, 0x3000);
	munmap(after, 0x1000);
	lower_close(&l);
}

/* The guest has it where it was added, and nowhere else. */
static void test_guest_sees_it(void **state)
{
	const struct hv_memory_message *m;
	struct lower l;

	lower_open(&l);
	assert_int_equal(lower_add(&l, 0x100000000, 0x100001000), 0);
	/* mov [0x5000], al; inc byte [0x5000]; mov [RAM_SIZE], al; out 0x80, al */
	lower_code(&l, BYTES(0xa2, 0x00, 0x50, 0xfe, 0x06, 0x00, 0x50, 0x67, 0xa2, 0x00, 0x00, 0x20,
			       0x00, 0xe6, 0x80));
	l.regs->segment[3].limit = ~0u;
	l.regs->segment[3].attr |= 0x8000;
	l.run->cpu_context.gp_regs[RAX] = 0x41;
	m = lower_until(&l, HVMSG_UNMAPPED_GPA);
	assert_int_equal(m->gpa, RAM_SIZE);
	assert_int_equal(l.ram[0x5000], 0x42);
	/* What the program adds meanwhile is there when the guest goes on. */
	assert_int_equal(lower_add(&l, RAM_SIZE, RAM_SIZE + 0x1000), 0);
	lower_out(&l, 0x80);
	lower_close(&l);
}

/* Eight GiB cost nothing until they are written. */
static void test_large(void **state)
{
	struct lower l;
	struct stat st;
	u8 *last;

	lower_begin(&l);
	assert_int_equal(lower_add(&l, 0, 0x200000000), 0);
	last = map_low(l.low, 0x1fffff000, 0x1000);
	last[0xfff] = 1;
	assert_int_equal(fstat(l.low, &st), 0);
	assert_int_equal(st.st_size, 0x200000000);
	assert_true(st.st_blocks < 1024);
	munmap(last, 0x1000);
	lower_close(&l);
}

/* More than the address space can hold: refused, and nothing is left of it. */
static void test_too_large(void **state)
{
	struct lower l;

	lower_begin(&l);
	assert_int_equal(lower_add(&l, 0, 1ull << 50), -EFAULT);
	assert_int_equal(lower_add(&l, 0, 0x1000), 0);
	lower_close(&l);
}

/* ---- pages of processors ---- */

static void test_pages(void **state)
{
	struct lower l;
	volatile struct mshv_vtl_run *run;
	volatile struct hv_register_page *regs;

	lower_open(&l);
	run = map_vtl(&l, MSHV_VTL_MMAP_RUN, l.cpu);
	regs = map_vtl(&l, MSHV_VTL_MMAP_REGISTERS, l.cpu);
	assert_int_equal(run->cancel, 0);
	assert_int_equal(regs->version, 1);
	assert_int_equal(regs->is_valid, 1);
	assert_int_equal(regs->rip, 0xfff0); /* before anything was asked of it */
	lower_code(&l, BYTES(0xe6, 0x80));
	lower_out(&l, 0x80);
	assert_int_equal(run->exit_message[0], l.run->exit_message[0]);
	assert_int_equal(regs->rip, CODE_GPA + 2);
	munmap((void *)run, HV_PAGE_SIZE);
	munmap((void *)regs, HV_PAGE_SIZE);
	/* Kinds that there are not lie behind the end. */
	run = map_vtl(&l, 2, 0);
	assert_true(raises_bus((const volatile u8 *)run));
	munmap((void *)run, HV_PAGE_SIZE);
	lower_close(&l);
}

/* What of each file is there, as the shim asks. */
static void test_holes(void **state)
{
	struct lower l;
	u64 at;
	size_t n;

	lower_begin(&l);
	assert_int_equal(lower_add(&l, 0x2000, 0x4000), 0);
	assert_int_equal(lower_add(&l, 0x8000, 0x9000), 0);
	assert_true(dev_mmap_hole(port.dev, l.low, 0, 0x10000, &at, &n));
	assert_int_equal(at, 0);
	assert_int_equal(n, 0x2000);
	assert_true(dev_mmap_hole(port.dev, l.low, 0x2000, 0x10000, &at, &n));
	assert_int_equal(at, 0x4000);
	assert_int_equal(n, 0x4000);
	assert_true(dev_mmap_hole(port.dev, l.low, 0x8000, 0x2000, &at, &n));
	assert_int_equal(at, 0x9000);
	assert_int_equal(n, 0x1000);
	assert_false(dev_mmap_hole(port.dev, l.low, 0x2000, 0x2000, &at, &n));
	assert_true(dev_mmap_hole(port.dev, l.low, 1ull << 62, 0x1000, &at, &n));
	assert_false(
		dev_mmap_hole(port.dev, l.low, ~0ull, 0x1000, &at, &n)); /* wraps: the kernel's */
	assert_false(dev_mmap_hole(port.dev, l.fd, (u64)l.cpu << 12, 0x1000, &at, &n));
	assert_false(dev_mmap_hole(port.dev, l.fd, (0x10000ull | l.cpu) << 12, 0x1000, &at, &n));
	assert_true(dev_mmap_hole(port.dev, l.fd, 0xffffull << 12, 0x1000, &at, &n));
	assert_true(dev_mmap_hole(port.dev, l.fd, 0x1ffffull << 12, 0x1000, &at, &n));
	assert_true(dev_mmap_hole(port.dev, l.fd, 0x20000ull << 12, 0x1000, &at, &n));
	assert_false(dev_mmap_hole(port.dev, l.sys, 0, 0x1000, &at, &n));
	assert_int_equal(dev_mmap_check(port.dev, l.low, PROT_READ, MAP_SHARED, 0x1000, 0), 0);
	lower_close(&l);
}

/* What has nothing to be mapped. */
static void test_not_mapped(void **state)
{
	int sint = vtl_node("/dev/mshv_sint", O_RDWR),
	    hvcall = vtl_node("/dev/mshv_hvcall", O_RDWR);

	assert_int_equal(dev_mmap_check(port.dev, sint, PROT_READ, MAP_SHARED, 0x1000, 0), -ENODEV);
	assert_int_equal(
		dev_mmap_check(port.dev, hvcall, PROT_READ, MAP_SHARED, 0x1000, 0), -ENODEV);
	dev_close(port.dev, sint);
	dev_close(port.dev, hvcall);
}

static const struct CMUnitTest tests[] = {
	VTL_TEST(test_add),
	VTL_TEST(test_guest_sees_it),
	VTL_TEST(test_large),
	VTL_TEST(test_too_large),
	VTL_TEST(test_pages),
	VTL_TEST(test_holes),
	VTL_TEST(test_not_mapped),
};

MSHV_MAIN(tests)
