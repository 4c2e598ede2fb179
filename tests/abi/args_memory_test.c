/* SPDX-License-Identifier: MIT */
/*
 * Arguments of the requests about guest memory: memory slots, dirty logs, coalesced writes. What is taken, what is
 * refused and with what error. Every line holds for the kernel's KVM too.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <sys/mman.h>

#define IS(fd, request, arg, expected)   assert_int_equal(kvm_p(fd, request, arg), expected)
#define IS_N(fd, request, arg, expected) assert_int_equal(kvm(fd, request, arg), expected)

static long slot(int vm, u32 id, u32 flags, u64 gpa, u64 size, const void *hva)
{
	struct kvm_userspace_memory_region r = {id, flags, gpa, size, (unsigned long)hva};

	return kvm_p(vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static void test_memslots(void **state)
{
	u8 *mem = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int sys = kvm_open(), vm = kvm(sys, KVM_CREATE_VM, 0);
	long spaces;

	IS(vm, KVM_SET_USER_MEMORY_REGION, (void *)BAD_POINTER, -EFAULT);
	IS(vm, KVM_SET_USER_MEMORY_REGION, NULL, -EFAULT);
	assert_int_equal(slot(vm, 0, 0, 0, 0x10000, mem), 0);
	assert_int_equal(slot(vm, 1, 0, 0x8000, 0x10000, mem), -EEXIST);
	assert_int_equal(slot(vm, 1, 0, 0x20000, 0x10000, mem), 0); /* same host memory twice */
	assert_int_equal(slot(vm, 1, 0, 0x20000, 0x20000, mem), -EINVAL); /* resize */
	assert_int_equal(slot(vm, 1, 0, 0x40000, 0x10000, mem), 0);       /* move */
	assert_int_equal(slot(vm, 1, 0, 0x8000, 0x10000, mem), -EEXIST);  /* move onto another */
	assert_int_equal(
		slot(vm, 1, 0, 0x40000, 0x10000, mem + 0x1000), -EINVAL); /* other memory */
	assert_int_equal(slot(vm, 1, KVM_MEM_READONLY, 0x40000, 0x10000, mem), -EINVAL);
	assert_int_equal(slot(vm, 1, KVM_MEM_LOG_DIRTY_PAGES, 0x40000, 0x10000, mem), 0);
	assert_int_equal(slot(vm, 1, 0, 0x40000, 0x10000, mem), 0);
	assert_int_equal(slot(vm, 1, 0, 0, 0, NULL), 0);       /* delete */
	assert_int_equal(slot(vm, 1, 0, 0, 0, NULL), -EINVAL); /* twice */
	assert_int_equal(slot(vm, 2, 0, 0x100001, 0x1000, mem), -EINVAL);
	assert_int_equal(slot(vm, 2, 0, 0x100000, 0x1001, mem), -EINVAL);
	assert_int_equal(slot(vm, 2, 0, 0x100000, 0x1000, mem + 1), -EINVAL);
	assert_int_equal(slot(vm, 2, 0, -0x1000ull, 0x2000, mem), -EINVAL);
	assert_int_equal(slot(vm, 2, 0, 0x100000, 0x1000, (void *)0xffff800000000000ul), -EINVAL);
	assert_int_equal(slot(vm, 2, 8, 0x100000, 0x1000, mem), -EINVAL);
	assert_int_equal(slot(vm, 2, KVM_MEM_GUEST_MEMFD, 0x100000, 0x1000, mem), -EINVAL);
	assert_int_equal(slot(vm, 32764, 0, 0x100000, 0x1000, mem), -EINVAL);
	assert_int_equal(slot(vm, 2, 0, 1ull << 52, 0x1000, mem), -EINVAL);
	/* Bits 16 and up are the address space; what is in another one is not in the way. */
	spaces = MAX(kvm(sys, KVM_CHECK_EXTENSION, KVM_CAP_MULTI_ADDRESS_SPACE), 1);
	assert_int_equal(slot(vm, spaces << 16 | 2, 0, 0x100000, 0x1000, mem), -EINVAL);
	assert_int_equal(slot(vm, (spaces - 1) << 16 | 32764, 0, 0, 0x1000, mem), -EINVAL);
	assert_int_equal(
		slot(vm, (spaces - 1) << 16 | 2, 0, 0, 0x1000, mem), spaces == 2 ? 0 : -EEXIST);
	assert_int_equal(slot(vm, 32763, KVM_MEM_READONLY, 0x100000, 0x1000, mem), 0);
	kvm_close(vm);
	kvm_close(sys);
	munmap(mem, 1 << 20);
}

static void test_memslots2(void **state)
{
	u8 *mem = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region2 r = {
		.memory_size = 0x10000, .userspace_addr = (unsigned long)mem, .guest_memfd = -1};
	int sys = kvm_open(), vm = kvm(sys, KVM_CREATE_VM, 0);

	IS_N(sys, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY2, 1);
	IS(vm, KVM_SET_USER_MEMORY_REGION2, (void *)BAD_POINTER, -EFAULT);
	r.pad1 = r.pad2[3] = 5;
	IS(vm, KVM_SET_USER_MEMORY_REGION2, &r, 0); /* the rest counts for guest_memfd only */
	r.slot = 1;
	IS(vm, KVM_SET_USER_MEMORY_REGION2, &r, -EEXIST);
	r.guest_phys_addr = 0x20000;
	r.flags = 16;
	IS(vm, KVM_SET_USER_MEMORY_REGION2, &r, -EINVAL);
	r.flags = KVM_MEM_LOG_DIRTY_PAGES;
	IS(vm, KVM_SET_USER_MEMORY_REGION2, &r, 0);
	r.memory_size = 0;
	IS(vm, KVM_SET_USER_MEMORY_REGION2, &r, 0);
	IS(vm, KVM_SET_USER_MEMORY_REGION2, &r, -EINVAL);
	kvm_close(vm);
	kvm_close(sys);
	munmap(mem, 1 << 20);
}

static void test_dirty_log_args(void **state)
{
	struct guest g;
	u64 bitmap = 0;
	struct kvm_dirty_log log = {.dirty_bitmap = &bitmap};

	guest_open(&g);
	IS(g.vm, KVM_GET_DIRTY_LOG, (void *)BAD_POINTER, -EFAULT);
	IS(g.vm, KVM_GET_DIRTY_LOG, &log, -ENOENT); /* not logging */
	log.slot = 7;
	IS(g.vm, KVM_GET_DIRTY_LOG, &log, -ENOENT);
	log.slot = 32764;
	IS(g.vm, KVM_GET_DIRTY_LOG, &log, -EINVAL);
	log.slot = 0;
	assert_int_equal(slot(g.vm, 0, KVM_MEM_LOG_DIRTY_PAGES, RAM_GPA, RAM_BYTES, g.ram), 0);
	IS(g.vm, KVM_GET_DIRTY_LOG, &log, 0);
	log.dirty_bitmap = (void *)BAD_POINTER;
	IS(g.vm, KVM_GET_DIRTY_LOG, &log, -EFAULT);
	guest_close(&g);
}

static void test_coalesced_args(void **state)
{
	struct guest g;
	struct kvm_coalesced_mmio_zone z = {.addr = 0xe0000000, .size = 0x100};

	guest_open(&g);
	IS(g.vm, KVM_REGISTER_COALESCED_MMIO, &z, 0);
	IS(g.vm, KVM_UNREGISTER_COALESCED_MMIO, &z, 0);
	IS(g.vm, KVM_UNREGISTER_COALESCED_MMIO, &z, 0); /* unknown */
	z.pio = 2;
	IS(g.vm, KVM_REGISTER_COALESCED_MMIO, &z, -EINVAL);
	IS(g.vm, KVM_UNREGISTER_COALESCED_MMIO, &z, -EINVAL);
	IS(g.vm, KVM_REGISTER_COALESCED_MMIO, (void *)BAD_POINTER, -EFAULT);
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memslots),
		cmocka_unit_test(test_memslots2),
		cmocka_unit_test(test_dirty_log_args),
		cmocka_unit_test(test_coalesced_args),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
