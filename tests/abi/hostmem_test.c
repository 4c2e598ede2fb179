/* SPDX-License-Identifier: MIT */
/*
 * What the caller does to the memory behind a live slot: unmap it, protect it, drop or move its pages, map a file there,
 * write code into it, show it at two addresses. The guest sees what a processor would see, or KVM_RUN is -EFAULT
 * with rip at the instruction; when the memory is back the guest goes on.
 */
#include "tests/abi/port.h"
#include "tests/abi/touches.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static long slot(struct guest *g, u32 id, u32 flags, u64 gpa, u64 size, const void *hva)
{
	struct kvm_userspace_memory_region r = {id, flags, gpa, size, (unsigned long)hva};

	return kvm_p(g->vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static u64 reg_rip(struct guest *g)
{
	struct kvm_regs r;

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_REGS, &r), 0);
	return r.rip;
}

static u8 *page(struct guest *g, u64 gpa)
{
	return g->ram + (gpa - RAM_GPA);
}

static void back_again(u8 *p)
{
	void *r = mmap(p, PAGE_SIZE, PROT_READ | PROT_WRITE,
		MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_equal(r, p);
}

enum harm { NO_PAGE, NO_ACCESS, READ_ONLY, HARMS };

/* SIGBUS. (What is merely unmapped may be taken by whoever maps something next.) */
static void beyond_file(u8 *p)
{
	int fd = memfd_create("empty", 0);

	assert_ptr_equal(
		mmap(p, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED, fd, 0), p);
	close(fd);
}

static void harm(u8 *p, enum harm how)
{
	switch (how) {
	case NO_PAGE: beyond_file(p); break;
	case NO_ACCESS: assert_int_equal(mprotect(p, PAGE_SIZE, PROT_NONE), 0); break;
	default: assert_int_equal(mprotect(p, PAGE_SIZE, PROT_READ), 0); break;
	}
}

/* Each touch is run with a page that is there, with one that is not, and again. */
#define VICTIM 0x6000

static void touch_start(struct guest *g, unsigned i)
{
	struct kvm_regs r;
	u8 code[16];

	memset(code, 0xf4, sizeof(code));
	memcpy(code, touches[i].code, touches[i].length);
	guest_code(g, code, sizeof(code));
	assert_int_equal(kvm_p(g->vcpu, KVM_GET_REGS, &r), 0);
	r.rbx = r.rdi = r.rsi = VICTIM;
	r.rax = 0;
	r.rcx = 3;
	r.rsp = 0x8000;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_REGS, &r), 0);
}

static void touch_one(struct guest *g, unsigned i, enum harm how)
{
	touch_start(g, i);
	run_to(g, KVM_EXIT_HLT);
	harm(page(g, VICTIM), how);
	touch_start(g, i);
	if (how == READ_ONLY && !touches[i].writes) {
		run_to(g, KVM_EXIT_HLT);
	} else {
		if (kvm(g->vcpu, KVM_RUN, 0) != -EFAULT)
			fail_msg("%s, harm %d: no fault", touches[i].name, how);
		assert_int_equal(reg_rip(g), RAM_GPA);
		if (kvm(g->vcpu, KVM_RUN, 0) != -EFAULT) /* as long as it lasts */
			fail_msg("%s, harm %d: no second fault", touches[i].name, how);
		back_again(page(g, VICTIM));
		run_to(g, KVM_EXIT_HLT);
	}
	back_again(page(g, VICTIM));
	assert_int_equal(reg_rip(g), RAM_GPA + touches[i].length + 1);
}

static void test_touches(void **state)
{
	struct guest g;

	if (port.real) /* an instruction emulator that is used in real mode makes MMIO of it */
		return;
	guest_open(&g);
	for (unsigned i = 0; i < ARRAY_SIZE(touches); i++)
		for (enum harm how = 0; how < HARMS; how++)
			touch_one(&g, i, how);
	guest_close(&g);
}

/* Translated code runs into it in the middle of a loop. */
static void test_loop(void **state)
{
	struct kvm_regs r;
	struct guest g;

	if (port.real)
		return;
	guest_open(&g);
	GUEST_CODE(&g, 0xbb, 0x00, 0x30, /* mov $0x3000, %bx */
		0xb9, 0x00, 0x50,        /* mov $0x5000, %cx */
		0xfe, 0x07,              /* 1: incb (%bx) */
		0x43,                    /* inc %bx */
		0xe2, 0xfb,              /* loop 1b */
		0xf4);
	munmap(page(&g, 0x5000), PAGE_SIZE);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EFAULT);
	assert_int_equal(kvm_p(g.vcpu, KVM_GET_REGS, &r), 0);
	assert_int_equal(r.rip, 0x1006);
	assert_int_equal(r.rbx, 0x5000);
	assert_int_equal(r.rcx, 0x3000);
	back_again(page(&g, 0x5000));
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(*page(&g, 0x3000), 1);
	assert_int_equal(*page(&g, 0x5000), 1);
	assert_int_equal(*page(&g, 0x7fff), 1);
	guest_close(&g);
}

/* Code whose page goes away, whether or not it has run, and code at its end. */
static void test_code_goes(void **state)
{
	struct guest g;

	if (port.real)
		return;
	guest_open(&g);
	for (int ran = 0; ran < 2; ran++) {
		for (enum harm how = NO_PAGE; how <= NO_ACCESS; how++) {
			GUEST_CODE(&g, 0xe9, 0xfa, 0x3f); /* jmp 0x4ffd */
			memcpy(page(&g, 0x4ffd), "\xb8\x34\x12\xf4", 4);
			if (ran)
				run_to(&g, KVM_EXIT_HLT);
			GUEST_CODE(&g, 0xe9, 0xfa, 0x3f);
			harm(page(&g, 0x4000), how);
			assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EFAULT);
			back_again(page(&g, 0x4000));
			memcpy(page(&g, 0x4ffd), "\xb8\x34\x12\xf4", 4);
			run_to(&g, KVM_EXIT_HLT);
			assert_int_equal(reg_rip(&g), 0x5001);
		}
	}
	guest_close(&g);
}

/* Pages that become others: dropped, moved, a private mapping of a file, a shared one. */
static void test_exchanged(void **state)
{
	int fd = memfd_create("file", 0);
	struct guest g;
	u8 *p;

	guest_open(&g);
	GUEST_CODE(&g, 0xfe, 0x06, 0x00, 0x30, 0xf4, 0xeb, 0xf9); /* incb 0x3000; hlt; again */
	p = page(&g, 0x3000);
	*p = 7;
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(*p, 8);
	madvise(p, PAGE_SIZE, MADV_DONTNEED);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(*p, 1);
	assert_int_equal(ftruncate(fd, PAGE_SIZE), 0);
	assert_int_equal(pwrite(fd, "\x20", 1, 0), 1);
	assert_ptr_equal(
		mmap(p, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE, fd, 0), p);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(*p, 0x21);
	assert_ptr_equal(
		mmap(p, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED, fd, 0), p);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(*p, 0x21);
	assert_int_equal(pwrite(fd, "\x30", 1, 0), 1);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(*p, 0x31);
	assert_int_equal(ftruncate(fd, 0), 0); /* beyond the end: SIGBUS */
	if (!port.real)
		assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EFAULT);
	back_again(p);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(*p, 1);
	close(fd);
	guest_close(&g);
}

/* ---- code that the VMM writes ---- */

/* With paging the guest is never told that it should forget anything, and no register is set. */
static void test_code_written(void **state)
{
	struct guest g;

	if (port.real) /* 32-bit paging is more than a kernel without hardware can be asked for */
		return;
	for (int paging = 0; paging < 2; paging++) {
		guest_open(&g);
		/* jmp to 0x2000, which says 1, jumps to 0x3000, which tells it, and comes back */
		GUEST_CODE(&g, 0xeb, 0x0e);
		memcpy(page(&g, 0x1010), "\xe9\xed\x0f", 3);
		if (paging)
			memcpy(page(&g, 0x1010), "\xe9\xeb\x0f\x00\x00", 5);
		memcpy(page(&g, 0x2000),
			paging ? "\xb0\x01\xe9\xf9\x0f\x00\x00" : "\xb0\x01\xe9\xfb\x0f",
			paging ? 7 : 5);
		memcpy(page(&g, 0x3000),
			paging ? "\xe6\x10\xe9\xf9\xef\xff\xff" : "\xe6\x10\xe9\xfb\xef",
			paging ? 7 : 5);
		if (paging) {
			*(u32 *)page(&g, 0xf000) = GUEST_PDE;
			guest_paging(&g, 0xf000);
		}
		for (int i = 1; i < 100; i++) {
			*page(&g, 0x2001) = (u8)i;
			run_to(&g, KVM_EXIT_IO);
			assert_int_equal(*((u8 *)g.run + g.run->io.data_offset), i);
			if (i % 3 == 0) /* the same page that the guest left from */
				*page(&g, 0x3001) = (u8)i;
			if (i % 3 == 1 && i > 1)
				assert_int_equal(g.run->io.port, i - 1);
		}
		guest_close(&g);
	}
}

/* ---- one memory at two addresses ---- */

/* The guest runs code at one address and changes it through another, and so does the vmm. */
static void test_alias(void **state)
{
	struct guest g;

	guest_open(&g);
	assert_int_equal(slot(&g, 1, 0, 0x20000, RAM_BYTES, g.ram), 0);
	/* ds is at the second slot: its 0x1002 is the operand of the mov at 0x2001 */
	GUEST_CODE(&g, 0xb8, 0x00, 0x20, 0x8e, 0xd8, /* mov $0x2000, %ax; mov %ax, %ds */
		0xbb, 0x01, 0x10,                    /* mov $0x1001, %bx */
		0xe9, 0xf5, 0x0f);                   /* jmp 0x2000 */
	memcpy(page(&g, 0x2000),
		"\xb0\x01" /* mov $1, %al */
		"\xe6\x10" /* out %al, $0x10 */
		"\xfe\x07" /* incb (%bx) */
		"\xeb\xf8",
		8); /* jmp 0x2000 */
	for (int i = 1; i < 20; i++) {
		run_to(&g, KVM_EXIT_IO);
		assert_int_equal(*((u8 *)g.run + g.run->io.data_offset), i);
	}
	assert_int_equal(slot(&g, 1, 0, 0, 0, NULL), 0);
	guest_close(&g);
}

/* Slots that overlap in part, come and go, while code runs that is seen through both. */
static void test_alias_changes(void **state)
{
	struct guest g;

	guest_open(&g);
	GUEST_CODE(&g, 0xb8, 0x00, 0x20, 0x8e, 0xd8, 0xbb, 0x01, 0x00, 0xe9, 0xf5, 0x0f);
	memcpy(page(&g, 0x2000), "\xb0\x01\xe6\x10\xfe\x07\xeb\xf8", 8);
	/* ds:0 is gpa 0x20000 = the page at 0x2000 */
	for (int i = 1; i < 30; i++) {
		if (i % 5 == 1)
			assert_int_equal(
				slot(&g, 1, 0, 0x20000, 4 * PAGE_SIZE, page(&g, 0x2000)), 0);
		if (i % 5 == 3)
			assert_int_equal(
				slot(&g, 2, 0, 0x100000, 2 * PAGE_SIZE, page(&g, 0x2000)), 0);
		run_to(&g, KVM_EXIT_IO);
		assert_int_equal(*((u8 *)g.run + g.run->io.data_offset), i);
		if (i % 5 == 4)
			assert_int_equal(slot(&g, 2, 0, 0, 0, NULL), 0);
		if (i % 5 == 0) {
			struct kvm_regs r;

			/* Without the slot the guest writes to a device, and the code stays. */
			assert_int_equal(slot(&g, 1, 0, 0, 0, NULL), 0);
			run_to(&g, KVM_EXIT_MMIO);
			memset(g.run->mmio.data, 0, 8);
			run_to(&g, KVM_EXIT_MMIO);
			++*page(&g, 0x2001);
			assert_int_equal(kvm_p(g.vcpu, KVM_GET_REGS, &r), 0);
		}
	}
	guest_close(&g);
}

/* ---- many slots ---- */

static void test_many_slots(void **state)
{
	const u32 n = 32000;
	u8 *p = mmap(
		NULL, PAGE_SIZE * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct guest g;

	guest_open(&g);
	GUEST_CODE(&g, 0xa0, 0x00, 0x10, 0xf4);
	/* Downwards, which is the hard way for a sorted array, and all on two pages. */
	for (u32 i = n; i; i--)
		assert_int_equal(slot(&g, i, 0, 0x100000000ull + i * 0x2000ull, PAGE_SIZE,
					 p + (i & 1) * PAGE_SIZE),
			0);
	run_to(&g, KVM_EXIT_HLT);
	for (u32 i = 1; i <= n; i += 2)
		assert_int_equal(slot(&g, i, 0, 0, 0, NULL), 0);
	guest_close(&g);
	munmap(p, PAGE_SIZE * 2);
}

/*
 * An exit shows nothing that another one has left, neither in the engine nor in kvm_run: here the flags of a fault after
 * a hypercall whose arguments lay where they are.
 */
static void test_fault_is_whole(void **state)
{
	/* mov eax, 1; mov ecx, 1; both vendors' call; add word [VICTIM], 1 */
	static const u8 code[] = {0x66, 0xb8, 1, 0, 0, 0, 0x66, 0xb9, 1, 0, 0, 0, 0x0f, 0x01, 0xc1,
		0x83, 0x06, 0x00, 0x60, 1, 0xf4};
	const struct kvm_run_memory_fault *f;
	struct guest g;

	if (port.real) /* kernels differ, and leave what was there */
		skip();
	guest_open(&g);
	guest_code(&g, code, sizeof(code));
	harm(page(&g, VICTIM), NO_ACCESS);
	memset(g.run->padding, 0xff, sizeof(g.run->padding));
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EFAULT);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	f = (const void *)&g.run->hw;
	assert_int_equal(f->flags, 0);
	for (unsigned i = sizeof(*f); i < sizeof(g.run->padding); i++)
		assert_int_equal(g.run->padding[i], 0);
	guest_close(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_touches),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_code_goes),
		cmocka_unit_test(test_exchanged),
		cmocka_unit_test(test_code_written),
		cmocka_unit_test(test_alias),
		cmocka_unit_test(test_alias_changes),
		cmocka_unit_test(test_many_slots),
		cmocka_unit_test(test_fault_is_whole),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
