/* SPDX-License-Identifier: MIT */
/* Descriptors: duplicates, closing in any order, other processes, many threads. */
#include "tests/abi/port.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/dev.h"

static void test_duplicates(void **state)
{
	struct guest g;
	struct kvm_regs r;
	int copy, other;

	guest_open(&g);
	copy = dup(g.vcpu);
	assert_int_equal(kvm_p(copy, KVM_GET_REGS, &r), 0);
	assert_int_equal(r.rip, 0xfff0);
	other = fcntl(g.sys, F_DUPFD_CLOEXEC, 100);
	assert_int_equal(kvm(other, KVM_GET_API_VERSION, 0), 12);
	kvm_close(other);
	/* The duplicate keeps the vcpu, also one that nobody has used yet. */
	other = dup(copy);
	kvm_close(copy);
	kvm_close(g.vcpu);
	g.vcpu = other;
	assert_int_equal(kvm_p(g.vcpu, KVM_GET_REGS, &r), 0);
	guest_close(&g);
}

/* A vm lives until its vcpus are closed. */
static void test_vm_closed_first(void **state)
{
	struct guest g;

	guest_open(&g);
	GUEST_CODE(&g, 0xf4);
	kvm_close(g.vm);
	kvm_close(g.sys);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_HLT);
	munmap(g.run, 12288);
	kvm_close(g.vcpu);
	munmap(g.ram, RAM_BYTES);
}

static void test_close_on_exec(void **state)
{
	struct guest g;

	guest_open(&g);
	assert_int_equal(fcntl(g.vm, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(g.vcpu, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(g.vcpu, F_GETFL) & O_ACCMODE, O_RDWR);
	guest_close(&g);
}

/* In a forked child the vm and its vcpus refuse, the device serves, and the parent does not notice. */
static void test_fork(void **state)
{
	struct guest g;
	struct kvm_regs r;
	int status, sys_ok, vm;
	pid_t pid;

	guest_open(&g);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		sys_ok = kvm(g.sys, KVM_GET_API_VERSION, 0) == 12;
		if (kvm(g.vm, KVM_CHECK_EXTENSION, 0) != -EIO)
			_exit(1);
		if (kvm_p(g.vcpu, KVM_GET_REGS, &r) != -EIO)
			_exit(2);
		vm = kvm(g.sys, KVM_CREATE_VM, 0);
		if (!sys_ok || vm < 0 || kvm(vm, KVM_CHECK_EXTENSION, 0) != 1)
			_exit(3);
		kvm_close(g.vcpu);
		kvm_close(g.vm);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	GUEST_CODE(&g, 0xf4);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), 0);
	guest_close(&g);
}

/* mmap of a vcpu: beyond the end it succeeds, as on any file. */
static void test_mmap(void **state)
{
	struct guest g;
	void *p;

	guest_open(&g);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, g.vcpu, 0x10000);
	assert_true(p != MAP_FAILED);
	munmap(p, 4096);
	p = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, g.vcpu, 0);
	assert_true(p != MAP_FAILED);
	((struct kvm_run *)p)->immediate_exit = 1;
	assert_int_equal(g.run->immediate_exit, 1); /* one page, mapped twice */
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	munmap(p, 12288);
	/* Nobody can cut off the pages that the other side has mapped. */
	assert_int_equal(ftruncate(g.vcpu, 0), -1);
	guest_close(&g);
}

static void *churn(void *arg)
{
	long failures = 0;
	int i, sys = kvm_open();

	for (i = 0; i < 20; i++) {
		int vm = kvm(sys, KVM_CREATE_VM, 0);
		int vcpu = kvm(vm, KVM_CREATE_VCPU, i % 3);
		struct kvm_regs r;

		failures += vm < 0 || vcpu < 0 || kvm_p(vcpu, KVM_GET_REGS, &r);
		kvm_close(i & 1 ? vm : vcpu);
		kvm_close(i & 1 ? vcpu : vm);
	}
	kvm_close(sys);
	return (void *)failures;
}

/* A vcpu without a descriptor is still one of the vm's. */
static void test_vcpu_stays(void **state)
{
	int sys = kvm_open(), vm = kvm(sys, KVM_CREATE_VM, 0), vcpu = kvm(vm, KVM_CREATE_VCPU, 3);

	assert_true(vcpu >= 0);
	kvm_close(vcpu);
	assert_int_equal(kvm(vm, KVM_CREATE_VCPU, 3), -EEXIST);
	assert_int_equal(kvm(vm, KVM_SET_BOOT_CPU_ID, 0), -EBUSY);
	vcpu = kvm(vm, KVM_CREATE_VCPU, 4);
	assert_true(vcpu >= 0);
	kvm_close(vm);
	kvm_close(vcpu);
	kvm_close(sys);
}

static void test_threads(void **state)
{
	pthread_t t[4];
	unsigned i;
	void *ret;

	for (i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, churn, NULL), 0);
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		pthread_join(t[i], &ret);
		assert_null(ret);
	}
}

static int open_fds(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_no_leak(void **state)
{
	int before = open_fds();
	struct guest g;
	int i;

	for (i = 0; i < 5; i++) {
		guest_open_irqchip(&g);
		guest_close(&g);
	}
	assert_int_equal(open_fds(), before);
}

/* ---- what only our own descriptors need ---- */

/* A descriptor number that was closed behind our back and is used for something else. */
static void test_reused_number(void **state)
{
	int fd, other;

	if (port.real)
		skip();
	fd = kvm_open();
	assert_true(dev_owns(port.dev, fd));
	close(fd);
	other = eventfd(0, 0);
	assert_int_equal(other, fd);
	assert_false(dev_owns(port.dev, fd));
	assert_int_equal(kvm(fd, KVM_GET_API_VERSION, 0), -EBADF);
	assert_int_equal(dev_close(port.dev, other), 0);
	assert_int_equal(dev_close(port.dev, other), -EBADF);
}

static void test_replaced_by_dup2(void **state)
{
	int fd, event = eventfd(0, 0);

	if (port.real) {
		close(event);
		skip();
	}
	fd = kvm_open();
	dev_forget(port.dev, fd);
	assert_int_equal(dup2(event, fd), fd);
	assert_int_equal(kvm(fd, KVM_GET_API_VERSION, 0), -EBADF);
	close(event);
	close(fd);
}

static int run_again(const char *self, const char *what, int fd)
{
	char number[16];
	int status;
	pid_t pid;

	snprintf(number, sizeof(number), "%d", fd);
	fcntl(fd, F_SETFD, 0);
	pid = fork();
	if (!pid) {
		execl("/proc/self/exe", self, port.real ? "kvm" : "soft", what, number, NULL);
		_exit(99);
	}
	waitpid(pid, &status, 0);
	return status;
}

/* The device may be opened by one program and used by another; a vm may not. */
static void test_exec(void **state)
{
	struct guest g;

	guest_open(&g);
	assert_int_equal(run_again("fd_test", "inherited-system", g.sys), 0);
	assert_int_equal(run_again("fd_test", "inherited-vm", g.vm), 0);
	guest_close(&g);
}

static int inherited(const char *what, int fd)
{
	int vm, vcpu;

	if (!strcmp(what, "inherited-vm"))
		return kvm(fd, KVM_CREATE_VCPU, 0) == -EIO ? 0 : 1;
	vm = kvm(fd, KVM_CREATE_VM, 0);
	vcpu = kvm(vm, KVM_CREATE_VCPU, 0);
	kvm_close(vcpu);
	kvm_close(vm);
	return vm >= 0 && vcpu >= 0 ? 0 : 2;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_vm_closed_first),
		cmocka_unit_test(test_close_on_exec),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_mmap),
		cmocka_unit_test(test_vcpu_stays),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_no_leak),
		cmocka_unit_test(test_reused_number),
		cmocka_unit_test(test_replaced_by_dup2),
		cmocka_unit_test(test_exec),
	};

	port_start(argc, argv);
	if (argc == 4)
		return port_end(inherited(argv[2], atoi(argv[3])));
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
