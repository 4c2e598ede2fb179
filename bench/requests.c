/* SPDX-License-Identifier: MIT */
/*
 * What a system call costs a program, with and without the preload library: run it natively and
 * under `uservisor exec`. Without /dev/kvm the requests of KVM are left out. Lines: "= name ns".
 *
 * With "direct" as argument it measures the request without the library: a call of dev_ioctl().
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "abi/dev.h"
#include "clock.h"

#define ROUNDS 5
#define CALLS  200000

static int pipe_fd, kvm_fd, vm_fd, vcpu_fd;
static struct dev *dev;

static void foreign(void)
{
	int n;

	ioctl(pipe_fd, FIONREAD, &n);
}

static void check_extension(void)
{
	ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
}

static void check_extension_direct(void)
{
	dev_ioctl(dev, kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
}

static void get_clock(void)
{
	struct kvm_clock_data clock;

	ioctl(vm_fd, KVM_GET_CLOCK, &clock);
}

static void get_regs(void)
{
	struct kvm_regs regs;

	ioctl(vcpu_fd, KVM_GET_REGS, &regs);
}

static void set_regs(void)
{
	const struct kvm_regs regs = {.rflags = 2};

	ioctl(vcpu_fd, KVM_SET_REGS, &regs);
}

static void get_sregs(void)
{
	struct kvm_sregs sregs;

	ioctl(vcpu_fd, KVM_GET_SREGS, &sregs);
}

static void open_close(void)
{
	close(open("/dev/null", O_RDONLY));
}

static void measure(const char *name, void (*call)(void))
{
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		double begin = now_ns(), ns;

		for (int i = 0; i < CALLS / ROUNDS; i++)
			call();
		ns = (now_ns() - begin) / (CALLS / ROUNDS);
		best = ns < best ? ns : best;
	}
	printf("= %s %.1f\n", name, best);
}

static int direct(void)
{
	if (dev_create(&dev))
		return 1;
	kvm_fd = dev_open(dev, "/dev/kvm", O_RDWR);
	measure("check-extension-direct", check_extension_direct);
	dev_destroy(dev);
	return 0;
}

int main(int argc, char **argv)
{
	int pipes[2];

	if (argc > 1 && !strcmp(argv[1], "direct"))
		return direct();
	if (pipe(pipes))
		return 1;
	pipe_fd = pipes[0];
	measure("foreign-ioctl-idle", foreign);
	measure("open-close-idle", open_close);
	kvm_fd = open("/dev/kvm", O_RDWR);
	vm_fd = kvm_fd < 0 ? -1 : ioctl(kvm_fd, KVM_CREATE_VM, 0);
	if (vm_fd < 0)
		return 0;
	measure("foreign-ioctl", foreign);
	measure("open-close", open_close);
	measure("check-extension", check_extension);
	measure("get-clock", get_clock);
	vcpu_fd = ioctl(vm_fd, KVM_CREATE_VCPU, 0);
	measure("get-regs", get_regs);
	measure("set-regs", set_regs);
	measure("get-sregs", get_sregs);
	return 0;
}
