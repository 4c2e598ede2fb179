/* SPDX-License-Identifier: MIT */
/*
 * What a virtual machine with one vCPU costs to make and to close, in a process that has made some before: run it
 * under `uservisor exec` and natively. Lines: "= create US", "= close US"; medians.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 401

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void once(int kvm, double *ret_create, double *ret_close)
{
	double start = now_us(), made;
	int vm = ioctl(kvm, KVM_CREATE_VM, 0), vcpu;

	if (vm < 0)
		fail("create: KVM_CREATE_VM");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0)
		fail("create: KVM_CREATE_VCPU");
	made = now_us();
	close(vcpu);
	close(vm);
	*ret_create = made - start;
	*ret_close = now_us() - made;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(const char *name, double *us)
{
	qsort(us, ROUNDS, sizeof(*us), by_size);
	printf("= %s %.1f\n", name, us[ROUNDS / 2]);
}

int main(void)
{
	static double created[ROUNDS], closed[ROUNDS];
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0)
		fail("create: /dev/kvm");
	for (int i = 0; i < ROUNDS; i++)
		once(kvm, &created[i], &closed[i]);
	report("create", created);
	report("close", closed);
	return 0;
}
