/* SPDX-License-Identifier: MIT */
/*
 * Bad pointers are -EFAULT and nothing else, whatever makes them bad: before there is a machine,
 * with one, and on a thread that has blocked all signals.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The largest structure has a page, and is also tried a little before one. */
enum { BEFORE, READ_WRITE, READ_ONLY, NONE, HOLE, EMPTY_FILE, PAGES };

static u8 *pages;

static void *at(unsigned page)
{
	return pages + page * PAGE_SIZE;
}

static int setup(void **state)
{
	int fd = memfd_create("empty", 0);

	pages = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	assert_ptr_not_equal(pages, MAP_FAILED);
	assert_int_equal(mprotect(at(READ_ONLY), PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(mprotect(at(NONE), PAGE_SIZE, PROT_NONE), 0);
	/* Beyond the end of a file it is SIGBUS. */
	assert_ptr_not_equal(mmap(at(EMPTY_FILE), PAGE_SIZE, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_FIXED, fd, 0),
		MAP_FAILED);
	close(fd);
	return 0;
}

static const unsigned long nowhere[] = {
	0,                  /* NULL */
	8,                  /* in the first page */
	0x7ffffffffff0,     /* the last page of user space, and beyond */
	BAD_POINTER,        /* not canonical */
	0x00ffffffffffffff, /* nor this, without five levels */
	0x8000000000000000, /* nor this */
	0xffff800000000000, /* the kernel's */
	0xffffffff81000000, /* its text */
	0xffffffffff600000, /* the page that it lets programs execute */
	0xfffffffffffffff8, /* the end wraps around */
};

/* Nothing is mapped there only for the moment of the test: any mmap() of a page would fill a hole. */
static void check_hole(int fd, unsigned long get, unsigned long set)
{
	assert_int_equal(munmap(at(HOLE), PAGE_SIZE), 0);
	assert_int_equal(kvm_p(fd, get, at(HOLE)), -EFAULT);
	assert_int_equal(kvm_p(fd, set, at(HOLE)), -EFAULT);
	assert_ptr_equal(mmap(at(HOLE), PAGE_SIZE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0),
		at(HOLE));
}

/* get writes n bytes, set reads n; both work on good memory. */
static void check_all(int fd, unsigned long get, unsigned long set, size_t n)
{
	static const unsigned bad[] = {NONE, EMPTY_FILE};

	for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++) {
		assert_int_equal(kvm(fd, get, nowhere[i]), -EFAULT);
		assert_int_equal(kvm(fd, set, nowhere[i]), -EFAULT);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(kvm_p(fd, get, at(bad[i])), -EFAULT);
		assert_int_equal(kvm_p(fd, set, at(bad[i])), -EFAULT);
	}
	check_hole(fd, get, set);
	assert_int_equal(kvm_p(fd, get, at(READ_WRITE)), 0);
	assert_int_equal(kvm_p(fd, set, at(READ_WRITE)), 0);
	assert_int_equal(kvm_p(fd, get, at(READ_ONLY)), -EFAULT);
	/* The good part ends one byte too early. */
	assert_int_equal(kvm_p(fd, get, (u8 *)at(READ_ONLY) - n + 1), -EFAULT);
	assert_int_equal(kvm_p(fd, set, (u8 *)at(NONE) - n + 1), -EFAULT);
	/* And not: at the very end, at any alignment. */
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(kvm_p(fd, get, (u8 *)at(READ_ONLY) - n - i), 0);
	assert_int_equal(kvm_p(fd, set, (u8 *)at(READ_ONLY) - n), 0);
	/* What is only readable can be given. */
	assert_int_equal(mprotect(at(READ_ONLY), PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(kvm_p(fd, get, at(READ_ONLY)), 0);
	assert_int_equal(mprotect(at(READ_ONLY), PAGE_SIZE, PROT_READ), 0);
	assert_int_equal(kvm_p(fd, set, at(READ_ONLY)), 0);
}

/* First, before this process has had a machine. */
static void test_no_machine(void **state)
{
	int sys = kvm_open();
	struct kvm_msr_list *list = at(READ_WRITE);

	for (unsigned i = 0; i < ARRAY_SIZE(nowhere); i++)
		assert_int_equal(kvm(sys, KVM_GET_MSR_INDEX_LIST, nowhere[i]), -EFAULT);
	assert_int_equal(kvm_p(sys, KVM_GET_MSR_INDEX_LIST, at(READ_ONLY)), -EFAULT);
	assert_int_equal(kvm_p(sys, KVM_GET_MSR_INDEX_LIST, at(NONE)), -EFAULT);
	assert_int_equal(kvm_p(sys, KVM_GET_MSR_INDEX_LIST, at(EMPTY_FILE)), -EFAULT);
	list->nmsrs = 1000;
	assert_int_equal(kvm_p(sys, KVM_GET_MSR_INDEX_LIST, list), 0);
	kvm_close(sys);
}

static void test_machine(void **state)
{
	struct guest g;

	guest_open(&g);
	check_all(g.vcpu, KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs));
	check_all(g.vcpu, KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state));
	check_all(g.vcpu, KVM_GET_XSAVE, KVM_SET_XSAVE, sizeof(struct kvm_xsave));
	guest_close(&g);
}

static void *on_thread(void *arg)
{
	test_machine(NULL);
	return NULL;
}

static void test_blocked(void **state)
{
	sigset_t all, old;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	test_machine(NULL);
	assert_int_equal(pthread_create(&thread, NULL, on_thread, NULL), 0);
	pthread_join(thread, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_machine),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_blocked),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, setup, NULL));
}
