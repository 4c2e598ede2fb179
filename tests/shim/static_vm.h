/* SPDX-License-Identifier: MIT */
/* A small machine for the static test programs: 64 KiB, real mode. */
#ifndef TESTS_SHIM_STATIC_VM_H
#define TESTS_SHIM_STATIC_VM_H

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "static.h"

#define GUEST_SIZE 0x10000

struct vm {
	int system, vm;
	uint8_t *memory;
};

struct vcpu {
	int fd;
	struct kvm_run *run;
};

static inline struct vm vm_open(void)
{
	struct vm v = {.system = open("/dev/kvm", O_RDWR | O_CLOEXEC)};
	struct kvm_userspace_memory_region r = {.memory_size = GUEST_SIZE};

	CHECK(v.system >= 0 && ioctl(v.system, KVM_GET_API_VERSION, 0) == 12);
	v.vm = ioctl(v.system, KVM_CREATE_VM, 0);
	CHECK(v.vm >= 0);
	v.memory =
		mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(v.memory != MAP_FAILED);
	r.userspace_addr = (uintptr_t)v.memory;
	CHECK(!ioctl(v.vm, KVM_SET_USER_MEMORY_REGION, &r));
	return v;
}

static inline struct vcpu vcpu_open(struct vm *v, int id, unsigned rip)
{
	struct vcpu c = {.fd = ioctl(v->vm, KVM_CREATE_VCPU, id)};
	int size = ioctl(v->system, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_sregs s;
	struct kvm_regs r = {.rip = rip, .rflags = 2, .rsp = 0x8000};

	CHECK(c.fd >= 0 && size > 0);
	c.run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, c.fd, 0);
	CHECK(c.run != MAP_FAILED && !ioctl(c.fd, KVM_GET_SREGS, &s));
	s.cs.base = s.cs.selector = 0;
	s.ds.base = s.ds.selector = 0;
	CHECK(!ioctl(c.fd, KVM_SET_SREGS, &s) && !ioctl(c.fd, KVM_SET_REGS, &r));
	return c;
}

#endif
