/* SPDX-License-Identifier: MIT */
/*
 * A VMM on the kernel's interface, for dump_test.py: counting_vmm anonymous|memfd. Its guest has two vCPUs, flat 32-bit code and
 * a rule that holds at every moment. Pages from BASE on belong to the first vCPU and the second one in turn. The first counts
 * in ecx, and writes each number to all its pages, in their order. The second one reads the first page of all, and writes the
 * number to all of its own in the same way. It runs until standard input ends.
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

#define RAM  (8ul << 20)
#define BASE 0x100000
#define CODE 0x1000

static int checked(int r, const char *what)
{
	if (r < 0) {
		perror(what);
		exit(1);
	}
	return r;
}

static unsigned char *make_ram(const char *kind)
{
	const int fd = strcmp(kind, "memfd") ? -1 : checked(memfd_create("ram", 0), "memfd");
	void *ram;

	if (fd >= 0)
		checked(ftruncate(fd, RAM), "ftruncate");
	ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE,
		fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
	if (ram == MAP_FAILED)
		checked(-1, "ram");
	return ram;
}

/* 1: mov %ecx, (%edi); add $0x2000, %edi; cmp %esi, %edi; jb 1b; inc %ecx; mov %ebx, %edi; jmp 1b */
static const unsigned char counts[] = {0x89, 0x0f, 0x81, 0xc7, 0, 0x20, 0, 0, 0x39, 0xf7, 0x72,
	0xf4, 0x41, 0x89, 0xdf, 0xeb, 0xef};
/* 1: mov (%edx), %ecx; mov %ebx, %edi; 2: mov %ecx, (%edi); add $0x2000, %edi; cmp %esi, %edi; jb 2b; jmp 1b */
static const unsigned char follows[] = {0x8b, 0x0a, 0x89, 0xdf, 0x89, 0x0f, 0x81, 0xc7, 0, 0x20, 0,
	0, 0x39, 0xf7, 0x72, 0xf4, 0xeb, 0xee};

static void set_flat(int vcpu)
{
	struct kvm_segment code = {
		.limit = ~0u, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
	struct kvm_segment data = code;
	struct kvm_sregs s;

	data.selector = 16;
	data.type = 3;
	checked(ioctl(vcpu, KVM_GET_SREGS, &s), "sregs");
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.cr0 |= 1;
	checked(ioctl(vcpu, KVM_SET_SREGS, &s), "sregs");
}

static int make_vcpu(int vm, unsigned index)
{
	const int vcpu = checked(ioctl(vm, KVM_CREATE_VCPU, index), "vcpu");
	const unsigned base = BASE + index * 0x1000;
	struct kvm_regs regs = {.rip = CODE + index * 0x100,
		.rflags = 2,
		.rcx = 1,
		.rdx = BASE,
		.rbx = base,
		.rdi = base,
		.rsi = RAM};

	set_flat(vcpu);
	checked(ioctl(vcpu, KVM_SET_REGS, &regs), "regs");
	return vcpu;
}

static void *run(void *vcpu)
{
	for (;;)
		ioctl(*(int *)vcpu, KVM_RUN, 0);
	return NULL;
}

int main(int argc, char **argv)
{
	struct kvm_userspace_memory_region slot = {.memory_size = RAM};
	const int kvm = checked(open("/dev/kvm", O_RDWR), "/dev/kvm"),
		  vm = checked(ioctl(kvm, KVM_CREATE_VM, 0), "vm");
	unsigned char *ram = make_ram(argc == 2 ? argv[1] : "");
	static int vcpus[2];
	pthread_t thread;
	char byte;

	memcpy(ram + CODE, counts, sizeof(counts));
	memcpy(ram + CODE + 0x100, follows, sizeof(follows));
	slot.userspace_addr = (unsigned long)ram;
	checked(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), "memory");
	for (unsigned i = 0; i < 2; i++)
		vcpus[i] = make_vcpu(vm, i);
	for (unsigned i = 0; i < 2; i++)
		if (pthread_create(&thread, NULL, run, &vcpus[i]))
			return 1;
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
