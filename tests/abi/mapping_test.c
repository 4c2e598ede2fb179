/* SPDX-License-Identifier: MIT */
/*
 * What the caller does to guest RAM while a vcpu runs on it: moves it away and back, protects it, advises the kernel about
 * it, punches holes. Nothing that the guest has written gets lost or happens twice. And RAM of other kinds: huge
 * pages, a private file, a sparse one.
 */
#include "tests/abi/port.h"
#include "tests/abi/userfault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLD
#define MADV_COLD    20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define HUGE (2ul << 20)

static u8 *page(struct guest *g, u64 gpa)
{
	return g->ram + (gpa - RAM_GPA);
}

/* ---- a guest that counts, and somebody who interferes ---- */

#define COUNTER 0x3000
#define ROUNDS  (port.real ? 20000u : 3000000u) /* one that is emulated takes its time */

static const u8 count_code[] = {
	0x66,
	0xff,
	0x07, /* 1: incl (%bx) */
	0x66,
	0xf0,
	0xff,
	0x04, /* lock incl (%si) */
	0x66,
	0x49, /* dec %ecx */
	0x75,
	0xf5, /* jnz 1b */
	0xf4,
};

struct disturber {
	u8 *ram, *elsewhere;
	void (*act)(struct disturber *d);
	pthread_t thread;
	_Atomic bool stop;
	atomic_uint acts;
};

static void *disturb(void *opaque)
{
	struct disturber *d = opaque;

	while (!atomic_load(&d->stop)) {
		d->act(d);
		atomic_fetch_add(&d->acts, 1);
		usleep(200);
	}
	return NULL;
}

static void count_begin(struct guest *g)
{
	struct kvm_regs r;

	guest_code(g, count_code, sizeof(count_code));
	r = regs_of(g);
	r.rbx = COUNTER;
	r.rsi = COUNTER + PAGE_SIZE;
	r.rcx = ROUNDS;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_REGS, &r), 0);
	memset(page(g, COUNTER), 0, 2 * PAGE_SIZE);
}

static u32 count_at(struct guest *g, u64 gpa)
{
	u32 v;

	memcpy(&v, page(g, gpa), sizeof(v));
	return v;
}

/* Counts to the end, however often there is nothing to count in; how often that was. */
static unsigned count_disturbed(struct guest *g, void (*act)(struct disturber *))
{
	struct disturber d = {.ram = page(g, COUNTER), .act = act};
	unsigned faults = 0;
	long r;

	d.elsewhere = mmap(NULL, PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	count_begin(g);
	assert_int_equal(pthread_create(&d.thread, NULL, disturb, &d), 0);
	while (!atomic_load(&d.acts)) /* else a busy host may count to the end first */
		sched_yield();
	while ((r = kvm(g->vcpu, KVM_RUN, 0)) == -EFAULT)
		faults++;
	atomic_store(&d.stop, true);
	pthread_join(d.thread, NULL);
	assert_int_equal(r, 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(count_at(g, COUNTER), ROUNDS);
	assert_int_equal(count_at(g, COUNTER + PAGE_SIZE), ROUNDS);
	munmap(d.elsewhere, PAGE_SIZE);
	return faults;
}

/* The hole that stays must be ours, or another thread's mapping gets into it. */
static void move_and_back(struct disturber *d)
{
	void *r = mremap(d->ram, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, d->elsewhere);

	assert_ptr_equal(r, d->elsewhere);
	usleep(50);
	r = mremap(d->elsewhere, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, d->ram);
	assert_ptr_equal(r, d->ram);
}

static void protect_and_back(struct disturber *d)
{
	int prot = d->acts % 2 ? PROT_READ : PROT_NONE;

	assert_int_equal(mprotect(d->ram, 2 * PAGE_SIZE, prot), 0);
	usleep(50);
	assert_int_equal(mprotect(d->ram, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
}

static void advise(struct disturber *d)
{
	static const int advice[] = {MADV_COLD, MADV_PAGEOUT, MADV_MERGEABLE, MADV_HUGEPAGE,
		MADV_NOHUGEPAGE, MADV_UNMERGEABLE, MADV_WILLNEED};

	for (unsigned i = 0; i < ARRAY_SIZE(advice); i++)
		madvise(d->ram, 2 * PAGE_SIZE, advice[i]); /* not each is known everywhere */
}

static void test_disturbed(void **state)
{
	struct guest g;

	guest_open(&g);
	if (!port.real) { /* an instruction emulator that is used in real mode makes MMIO of holes */
		printf("# moved: %u faults\n", count_disturbed(&g, move_and_back));
		printf("# protected: %u faults\n", count_disturbed(&g, protect_and_back));
	}
	assert_int_equal(count_disturbed(&g, advise), 0);
	guest_close(&g);
}

/* ---- moving, step by step ---- */

static void test_moved(void **state)
{
	struct guest g;
	u8 *p, *away;

	if (port.real)
		return;
	guest_open(&g);
	GUEST_CODE(&g, 0xfe, 0x06, 0x00, 0x30, 0xf4, 0xeb, 0xf9); /* 1: incb 0x3000; hlt; jmp 1b */
	run_to(&g, KVM_EXIT_HLT);
	p = page(&g, 0x3000);
	for (int round = 0; round < 3; round++) {
		/* Bigger than it was, so that it has to go. */
		away = mremap(p, PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE);
		assert_true(away != MAP_FAILED && away != p);
		assert_int_equal(*away, round + 1);
		assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EFAULT);
		assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EFAULT);
		assert_int_equal(*away, round + 1);
		assert_ptr_equal(
			mremap(away, 2 * PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, p),
			p);
		run_to(&g, KVM_EXIT_HLT);
		assert_int_equal(*p, round + 2);
	}
	guest_close(&g);
}

/* Two pages change places: what runs is the other code. */
static void test_exchanged_code(void **state)
{
	struct guest g;
	u8 *spare, *p;

	guest_open(&g);
	p = page(&g, 0x3000);
	spare = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(p, "\xb0\x00\xe6\x10\xf4", 5); /* mov $0, %al; out %al, $0x10 */
	memcpy(spare, "\xb0\x01\xe6\x10\xf4", 5);
	for (int i = 0; i < 10; i++) {
		u8 *third = mmap(NULL, PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		GUEST_CODE(&g, 0xe9, 0xfd, 0x1f); /* jmp 0x3000 */
		run_to(&g, KVM_EXIT_IO);
		assert_int_equal(*((u8 *)g.run + g.run->io.data_offset), i % 2);
		mremap(p, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, third);
		mremap(spare, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, p);
		spare = third;
	}
	munmap(spare, PAGE_SIZE);
	guest_close(&g);
}

/* ---- files ---- */

/* Holes in a shared file are zeros; a private mapping of it keeps what was written. */
static void test_sparse(void **state)
{
	int fd = memfd_create("ram", 0);
	struct guest g;
	u8 *p;

	guest_open(&g);
	GUEST_CODE(&g, 0xfe, 0x06, 0x00, 0x30, 0xf4, 0xeb, 0xf9);
	p = page(&g, 0x3000);
	assert_int_equal(ftruncate(fd, 2 * PAGE_SIZE), 0);
	for (int private = 0; private < 2; private ++) {
		assert_ptr_equal(mmap(p, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE,
					 MAP_FIXED | (private ? MAP_PRIVATE : MAP_SHARED), fd, 0),
			p);
		for (int round = 0; round < 3; round++) {
			int n = 0x30 + round;

			assert_int_equal(pwrite(fd, &n, 1, 0), 1);
			if (private)
				madvise(p, PAGE_SIZE, MADV_DONTNEED);
			run_to(&g, KVM_EXIT_HLT);
			assert_int_equal(*p, n + 1);
			assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
						 0, PAGE_SIZE),
				0);
			run_to(&g, KVM_EXIT_HLT);
			assert_int_equal(*p, private ? n + 2 : 1);
			if (!private) {
				madvise(p, PAGE_SIZE, MADV_REMOVE);
				run_to(&g, KVM_EXIT_HLT);
				assert_int_equal(*p, 1);
			}
		}
	}
	close(fd);
	guest_close(&g);
}

/* ---- huge pages ---- */

static long read_number(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY);
	long n = -1;

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		n = atol(text);
	close(fd);
	return n;
}

static bool write_number(const char *path, long n)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && dprintf(fd, "%ld", n) > 0;

	close(fd);
	return ok;
}

#define NR_HUGE   "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
#define FREE_HUGE "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"

static long huge_before;
static int huge_lock;

/* The machine has one pool for all processes: the runs of this program take turns at it. */
static int huge_begin(void **state)
{
	huge_lock = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (huge_lock < 0 || flock(huge_lock, LOCK_EX) < 0)
		return -1;
	huge_before = read_number(NR_HUGE);
	if (huge_before >= 0 && read_number(FREE_HUGE) < 4)
		write_number(NR_HUGE, huge_before + 4);
	return 0;
}

static int huge_end(void **state)
{
	if (huge_before >= 0 && read_number(NR_HUGE) != huge_before)
		write_number(NR_HUGE, huge_before);
	close(huge_lock);
	return 0;
}

static bool huge_pages(void)
{
	if (read_number(FREE_HUGE) >= 4)
		return true;
	printf("# no huge pages of 2 MiB, and none to be had (sysctl vm.nr_hugepages)\n");
	return false;
}

/* The guest's RAM from 0x100000 on; ds is at its end: real mode reaches 64 KiB of it. */
static u8 *huge_ram(struct guest *g, u64 bytes, int flags)
{
	struct kvm_userspace_memory_region r = {
		.slot = 1, .guest_phys_addr = HUGE, .memory_size = bytes};
	struct kvm_sregs s;
	u8 *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | flags, -1, 0);

	assert_true(p != MAP_FAILED);
	r.userspace_addr = (unsigned long)p;
	assert_int_equal(kvm_p(g->vm, KVM_SET_USER_MEMORY_REGION, &r), 0);
	assert_int_equal(kvm_p(g->vcpu, KVM_GET_SREGS, &s), 0);
	s.ds.base = HUGE;
	s.ds.selector = HUGE >> 4 & 0xffff;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_SREGS, &s), 0);
	return p;
}

static void huge_gone(struct guest *g, u8 *p, u64 bytes)
{
	struct kvm_userspace_memory_region r = {.slot = 1};

	assert_int_equal(kvm_p(g->vm, KVM_SET_USER_MEMORY_REGION, &r), 0);
	munmap(p, bytes);
}

#define INC_DS 0xfe, 0x06, 0x00, 0x30, 0xf4, 0xeb, 0xf9 /* 1: incb 0x3000; hlt; jmp 1b */

static void test_huge(void **state)
{
	struct guest g;
	u8 *p;

	if (!huge_pages())
		skip();
	guest_open(&g);
	GUEST_CODE(&g, INC_DS);
	p = huge_ram(&g, 2 * HUGE, 0);
	for (int i = 1; i < 4; i++) {
		run_to(&g, KVM_EXIT_HLT);
		assert_int_equal(p[0x3000], i);
	}
	assert_int_equal(madvise(p, HUGE, MADV_DONTNEED), 0);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(p[0x3000], 1);
	huge_gone(&g, p, 2 * HUGE);
	guest_close(&g);
}

/* Takes pages until there are none. The kernel writes: where it finds none, it says so without a signal. */
static void use_up(u8 *from, u8 *end)
{
	int fd = open("/dev/zero", O_RDONLY);

	assert_true(fd >= 0);
	while (from < end && read(fd, from, 1) == 1)
		from += HUGE;
	close(fd);
	assert_true(from < end);
}

/* There are fewer pages than were promised: SIGBUS, and -EFAULT. */
static void test_huge_missing(void **state)
{
	u64 bytes;
	struct guest g;
	u8 *p;

	if (!huge_pages())
		skip();
	if (port.real) /* an instruction emulator that is used in real mode makes MMIO of it */
		return;
	bytes = HUGE * (u64)(read_number(NR_HUGE) + 2);
	guest_open(&g);
	GUEST_CODE(&g, INC_DS);
	p = huge_ram(&g, bytes, MAP_NORESERVE);
	use_up(p + HUGE, p + bytes);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EFAULT);
	assert_int_equal(regs_of(&g).rip, RAM_GPA);
	assert_int_equal(madvise(p + HUGE, HUGE, MADV_DONTNEED), 0);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(p[0x3000], 1);
	huge_gone(&g, p, bytes);
	guest_close(&g);
}

static void test_huge_userfault(void **state)
{
	static u8 source[2 << 20];
	struct userfault u = {.mode = UF_MISSING, .page_size = HUGE, .source = source};
	struct guest g;
	u8 *p;

	if (!huge_pages())
		skip();
	guest_open(&g);
	GUEST_CODE(&g, INC_DS);
	p = huge_ram(&g, HUGE, 0);
	u.base = p;
	u.pages = 1;
	if (!userfault_start(&u)) {
		guest_close(&g);
		skip();
	}
	for (int i = 0; i < 3; i++) {
		source[0x3000] = (u8)(0x40 + i);
		assert_int_equal(madvise(p, HUGE, MADV_DONTNEED), 0);
		run_to(&g, KVM_EXIT_HLT);
		assert_int_equal(p[0x3000], 0x41 + i);
		assert_int_equal(u.given, i + 1);
	}
	userfault_stop(&u);
	huge_gone(&g, p, HUGE);
	guest_close(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disturbed),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_exchanged_code),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test_setup_teardown(test_huge, huge_begin, huge_end),
		cmocka_unit_test_setup_teardown(test_huge_missing, huge_begin, huge_end),
		cmocka_unit_test_setup_teardown(test_huge_userfault, huge_begin, huge_end),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
