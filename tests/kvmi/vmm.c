/* SPDX-License-Identifier: MIT */
/*
 * A small VMM on the kernel's interface, for exec.py: a guest of one vcpu that counts at 2000h for ever, until standard input
 * ends.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM_BYTES 0x10000

static int checked(int r, const char *what)
{
	if (r < 0) {
		perror(what);
		exit(1);
	}
	return r;
}

static void *run(void *opaque)
{
	const int vcpu = *(int *)opaque;

	for (;;)
		ioctl(vcpu, KVM_RUN, 0);
	return NULL;
}

int main(void)
{
	/* 1: lock incl 0x2000; jmp 1b */
	static const unsigned char code[] = {0xf0, 0x66, 0xff, 0x06, 0x00, 0x20, 0xeb, 0xf8};
	struct kvm_userspace_memory_region slot = {.memory_size = RAM_BYTES};
	const int kvm = checked(open("/dev/kvm", O_RDWR), "/dev/kvm"),
		  vm = checked(ioctl(kvm, KVM_CREATE_VM, 0), "vm");
	struct kvm_regs regs = {.rip = 0x1000, .rflags = 2};
	struct kvm_sregs sregs;
	pthread_t thread;
	static int vcpu;
	char byte;
	unsigned char *ram =
		mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ram == MAP_FAILED)
		return 1;
	memcpy(ram + 0x1000, code, sizeof(code));
	slot.userspace_addr = (unsigned long)ram;
	checked(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), "memory");
	vcpu = checked(ioctl(vm, KVM_CREATE_VCPU, 0), "vcpu");
	checked(ioctl(vcpu, KVM_GET_SREGS, &sregs), "sregs");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	checked(ioctl(vcpu, KVM_SET_SREGS, &sregs), "sregs");
	checked(ioctl(vcpu, KVM_SET_REGS, &regs), "regs");
	if (pthread_create(&thread, NULL, run, &vcpu))
		return 1;
	while (read(0, &byte, 1) > 0)
		;
	puts("the end");
	return 0;
}
