/* SPDX-License-Identifier: MIT */
/*
 * Arguments: which the requests take, which they refuse and with what error. Every line holds for
 * the kernel's KVM too.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define IS(fd, request, arg, expected)   assert_int_equal(kvm_p(fd, request, arg), expected)
#define IS_N(fd, request, arg, expected) assert_int_equal(kvm(fd, request, arg), expected)

static void test_system(void **state)
{
	int sys = kvm_open();

	IS_N(sys, KVM_GET_API_VERSION, 0, 12);
	IS_N(sys, KVM_GET_API_VERSION, 1, -EINVAL);
	IS_N(sys, KVM_GET_VCPU_MMAP_SIZE, 0, 12288);
	IS_N(sys, KVM_GET_VCPU_MMAP_SIZE, 1, -EINVAL);
	IS_N(sys, KVM_CREATE_VM, 99, -EINVAL);
	IS_N(sys, KVM_S390_ENABLE_SIE, 0, -EINVAL);
	IS_N(sys, KVM_RUN, 0, -EINVAL);
	IS_N(sys, KVM_CREATE_VCPU, 0, -EINVAL);
	IS_N(sys, 0xae7f, 0, -EINVAL);
	kvm_close(sys);
}

static void test_unknown(void **state)
{
	struct guest g;
	u64 buffer[64] = {0};

	guest_open(&g);
	IS_N(g.vm, KVM_GET_API_VERSION, 0, -ENOTTY);
	IS_N(g.vm, KVM_GET_VCPU_MMAP_SIZE, 0, -ENOTTY);
	IS_N(g.vm, KVM_RUN, 0, -ENOTTY);
	IS(g.vm, KVM_GET_REGS, buffer, -ENOTTY);
	IS(g.vm, KVM_ASSIGN_PCI_DEVICE, buffer, -ENOTTY);
	IS(g.vm, KVM_DEASSIGN_PCI_DEVICE, buffer, -ENOTTY);
	IS(g.vm, KVM_ASSIGN_DEV_IRQ, buffer, -ENOTTY);
	IS(g.vm, KVM_DEASSIGN_DEV_IRQ, buffer, -ENOTTY);
	IS(g.vm, KVM_ASSIGN_SET_MSIX_NR, buffer, -ENOTTY);
	IS(g.vm, KVM_ASSIGN_SET_MSIX_ENTRY, buffer, -ENOTTY);
	IS_N(g.vcpu, KVM_GET_API_VERSION, 0, -EINVAL);
	IS_N(g.vcpu, KVM_CREATE_VCPU, 1, -EINVAL);
	IS_N(g.vcpu, 0xae7f, 0, -EINVAL);
	IS_N(g.vcpu, KVM_RUN, 1, -EINVAL);
	guest_close(&g);
}

/* The known ones are in caps_test.c. */
static void test_capabilities(void **state)
{
	int sys = kvm_open(), vm = kvm(sys, KVM_CREATE_VM, 0);

	IS_N(sys, KVM_CHECK_EXTENSION, 100000, 0);
	IS_N(sys, KVM_CHECK_EXTENSION, -1ul, 0);
	IS_N(vm, KVM_CHECK_EXTENSION, 100000, 0);
	IS_N(vm, KVM_CHECK_EXTENSION, -1ul, 0);
	kvm_close(vm);
	kvm_close(sys);
}

static void test_vcpu_ids(void **state)
{
	int sys = kvm_open(), vm = kvm(sys, KVM_CREATE_VM, 0), a, b;

	a = kvm(vm, KVM_CREATE_VCPU, 0);
	b = kvm(vm, KVM_CREATE_VCPU, 5);
	assert_true(a >= 0 && b >= 0);
	IS_N(vm, KVM_CREATE_VCPU, 0, -EEXIST);
	IS_N(vm, KVM_CREATE_VCPU, 5, -EEXIST);
	IS_N(vm, KVM_CREATE_VCPU, 1000000, -EINVAL);
	IS_N(vm, KVM_CREATE_VCPU, -1ul, -EINVAL);
	kvm_close(a);
	kvm_close(b);
	kvm_close(vm);
	kvm_close(sys);
}

/* A process may have no more than 1024 descriptors, and a vm as many vcpus: one is enough for each. */
static void test_vcpu_descriptors(void **state)
{
	enum { VCPUS = 256, OTHERS = 24 };
	int sys = kvm_open(), vm = kvm(sys, KVM_CREATE_VM, 0), fd[VCPUS], i;
	struct rlimit old, few;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){.rlim_cur = VCPUS + OTHERS, .rlim_max = old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (i = 0; i < VCPUS; i++) {
		fd[i] = kvm(vm, KVM_CREATE_VCPU, i);
		assert_true(fd[i] >= 0);
	}
	for (i = 0; i < VCPUS; i++)
		kvm_close(fd[i]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	kvm_close(vm);
	kvm_close(sys);
}

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

static void test_vm_options(void **state)
{
	int sys = kvm_open(), vm = kvm(sys, KVM_CREATE_VM, 0), vcpu;
	u64 addr = 0xfffbc000;

	IS_N(vm, KVM_SET_TSS_ADDR, 0xfffbd000, 0);
	IS_N(vm, KVM_SET_TSS_ADDR, 0xffffe000, -EINVAL);
	IS(vm, KVM_SET_IDENTITY_MAP_ADDR, &addr, 0);
	IS(vm, KVM_SET_IDENTITY_MAP_ADDR, (void *)BAD_POINTER, -EFAULT);
	IS_N(vm, KVM_SET_NR_MMU_PAGES, 63, -EINVAL);
	IS_N(vm, KVM_SET_NR_MMU_PAGES, 64, 0);
	IS_N(vm, KVM_SET_BOOT_CPU_ID, 0, 0);
	IS_N(vm, KVM_SET_BOOT_CPU_ID, 100000, -EINVAL);
	vcpu = kvm(vm, KVM_CREATE_VCPU, 0);
	assert_true(vcpu >= 0);
	IS_N(vm, KVM_SET_BOOT_CPU_ID, 0, -EBUSY);
	IS(vm, KVM_SET_IDENTITY_MAP_ADDR, &addr, -EINVAL);
	kvm_close(vcpu);
	kvm_close(vm);
	kvm_close(sys);
}

static void test_max_vcpu_id(void **state)
{
	int sys = kvm_open(), vm = kvm(sys, KVM_CREATE_VM, 0), vcpu;
	struct kvm_enable_cap e = {.cap = KVM_CAP_MAX_VCPU_ID};

	e.args[0] = kvm(vm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID) + 1;
	IS(vm, KVM_ENABLE_CAP, &e, -EINVAL);
	IS_N(vm, KVM_SET_BOOT_CPU_ID, 2, 0);
	e.args[0] = 1;
	IS(vm, KVM_ENABLE_CAP, &e, -EINVAL); /* the boot processor would be impossible */
	e.args[0] = 2;
	IS(vm, KVM_ENABLE_CAP, &e, 0);
	IS(vm, KVM_ENABLE_CAP, &e, 0);
	e.args[0] = 3;
	IS(vm, KVM_ENABLE_CAP, &e, -EINVAL);
	IS_N(vm, KVM_SET_BOOT_CPU_ID, 3, -EINVAL);
	IS_N(vm, KVM_CREATE_VCPU, 2, -EINVAL);
	IS_N(vm, KVM_CREATE_VCPU, 1ul << 32, -EINVAL);
	vcpu = kvm(vm, KVM_CREATE_VCPU, 1);
	assert_true(vcpu >= 0);
	IS(vm, KVM_ENABLE_CAP, &e, -EINVAL);
	kvm_close(vcpu);
	kvm_close(vm);
	kvm_close(sys);
}

static void test_enable_cap(void **state)
{
	int sys = kvm_open(), vm = kvm(sys, KVM_CREATE_VM, 0), other;
	struct kvm_enable_cap e = {.cap = KVM_CAP_X86_USER_SPACE_MSR, .args = {7}};

	IS(vm, KVM_ENABLE_CAP, (void *)BAD_POINTER, -EFAULT);
	IS(vm, KVM_ENABLE_CAP, &e, 0);
	e.args[0] = 8;
	IS(vm, KVM_ENABLE_CAP, &e, -EINVAL);
	e = (struct kvm_enable_cap){.cap = KVM_CAP_X2APIC_API, .args = {4}};
	IS(vm, KVM_ENABLE_CAP, &e, -EINVAL);
	e = (struct kvm_enable_cap){.cap = KVM_CAP_EXCEPTION_PAYLOAD, .flags = 1, .args = {1}};
	IS(vm, KVM_ENABLE_CAP, &e, -EINVAL);
	e.flags = 0;
	IS(vm, KVM_ENABLE_CAP, &e, 0);
	e = (struct kvm_enable_cap){.cap = KVM_CAP_X86_NOTIFY_VMEXIT, .args = {1}};
	IS(vm, KVM_ENABLE_CAP, &e, -EINVAL);
	e = (struct kvm_enable_cap){.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {4097}};
	IS(vm, KVM_ENABLE_CAP, &e, -EINVAL);
	e.args[0] = 24;
	IS(vm, KVM_ENABLE_CAP, &e, 0);
	IS(vm, KVM_ENABLE_CAP, &e, -EEXIST);
	IS_N(vm, KVM_CREATE_IRQCHIP, 0, -EEXIST);
	other = kvm(sys, KVM_CREATE_VM, 0);
	IS_N(other, KVM_CREATE_IRQCHIP, 0xc, 0); /* garbage in the register */
	IS(other, KVM_ENABLE_CAP, &e, -EEXIST);
	kvm_close(other);
	kvm_close(vm);
	kvm_close(sys);
}

static void test_irqchip_order(void **state)
{
	struct guest g;
	struct kvm_irq_level l = {.irq = 1, .level = 1};
	struct kvm_irqchip chip = {.chip_id = 0};
	struct kvm_pit_config pit = {0};
	struct kvm_pit_state2 pit_state;
	struct kvm_lapic_state lapic;
	struct kvm_msi msi = {.address_lo = 0xfee00000, .data = 0x40};

	guest_open(&g);
	IS_N(g.vm, KVM_CREATE_IRQCHIP, 0, -EINVAL); /* a vcpu exists */
	IS(g.vm, KVM_IRQ_LINE, &l, -ENXIO);
	IS(g.vm, KVM_IRQ_LINE_STATUS, &l, -ENXIO);
	IS(g.vm, KVM_GET_IRQCHIP, &chip, -ENXIO);
	IS(g.vm, KVM_SET_IRQCHIP, &chip, -ENXIO);
	IS(g.vm, KVM_GET_IRQCHIP, (void *)BAD_POINTER, -EFAULT);
	IS(g.vm, KVM_CREATE_PIT2, &pit, -ENOENT);
	IS(g.vm, KVM_GET_PIT2, &pit_state, -ENXIO);
	IS(g.vm, KVM_SIGNAL_MSI, &msi, -EINVAL);
	IS(g.vcpu, KVM_GET_LAPIC, &lapic, -EINVAL);
	IS(g.vcpu, KVM_SET_LAPIC, (void *)BAD_POINTER, -EINVAL);
	guest_close(&g);
	guest_open_irqchip(&g);
	IS_N(g.vm, KVM_CREATE_IRQCHIP, 0, -EEXIST);
	IS(g.vm, KVM_GET_PIT2, &pit_state, -ENXIO);
	IS(g.vm, KVM_CREATE_PIT2, &pit, 0);
	IS(g.vm, KVM_CREATE_PIT2, &pit, -EEXIST);
	IS(g.vm, KVM_GET_PIT2, &pit_state, 0);
	IS(g.vm, KVM_SET_PIT2, &pit_state, 0);
	for (chip.chip_id = 0; chip.chip_id < 3; chip.chip_id++) {
		IS(g.vm, KVM_GET_IRQCHIP, &chip, 0);
		IS(g.vm, KVM_SET_IRQCHIP, &chip, 0);
	}
	IS(g.vm, KVM_GET_IRQCHIP, &chip, -EINVAL);
	IS(g.vcpu, KVM_GET_LAPIC, &lapic, 0);
	IS(g.vcpu, KVM_SET_LAPIC, &lapic, 0);
	IS(g.vcpu, KVM_SET_LAPIC, (void *)BAD_POINTER, -EFAULT);
	l.irq = 100; /* not routed */
	IS(g.vm, KVM_IRQ_LINE, &l, 0);
	IS(g.vm, KVM_IRQ_LINE_STATUS, &l, 0);
	assert_int_equal(l.status, -1);
	guest_close(&g);
}

/* The first forms of the PIT requests, and the one for late ticks. */
static void test_old_pit(void **state)
{
	struct guest g;
	struct kvm_pit_state pit;
	struct kvm_reinject_control late = {.pit_reinject = 0};

	guest_open(&g);
	IS_N(g.vm, KVM_CREATE_PIT, 0x77, -ENOENT);
	IS(g.vm, KVM_REINJECT_CONTROL, &late, -ENXIO);
	guest_close(&g);
	guest_open_irqchip(&g);
	IS(g.vm, KVM_GET_PIT, &pit, -ENXIO);
	IS_N(g.vm, KVM_CREATE_PIT, 0x77, 0);
	IS_N(g.vm, KVM_CREATE_PIT, 0, -EEXIST);
	IS(g.vm, KVM_GET_PIT, &pit, 0);
	IS(g.vm, KVM_SET_PIT, &pit, 0);
	IS(g.vm, KVM_GET_PIT, (void *)BAD_POINTER, -EFAULT);
	IS(g.vm, KVM_REINJECT_CONTROL, &late, 0);
	guest_close(&g);
}

static void test_tsc_khz(void **state)
{
	struct guest g;
	long khz;

	guest_open(&g);
	khz = kvm(g.vcpu, KVM_GET_TSC_KHZ, 0x55); /* garbage is ignored */
	assert_true(khz > 100000);
	IS_N(g.vcpu, KVM_SET_TSC_KHZ, khz, 0);
	IS_N(g.vcpu, KVM_SET_TSC_KHZ, 0, 0); /* the host's */
	IS_N(g.vcpu, KVM_GET_TSC_KHZ, 0, khz);
	IS_N(g.vm, KVM_GET_TSC_KHZ, 0x55, khz);
	guest_close(&g);
}

static long route(int vm, unsigned nr, u32 flags, struct kvm_irq_routing_entry e)
{
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entries[2];
	} r = {.head = {.nr = nr, .flags = flags}, .entries = {e, e}};

	return kvm_p(vm, KVM_SET_GSI_ROUTING, &r);
}

static void test_routing(void **state)
{
	struct guest g;
	struct kvm_irq_routing_entry msi = {
		.gsi = 30, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {0xfee00000, 0, 0x40}};
	struct kvm_irq_routing_entry pin = {
		.gsi = 3, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {2, 3}};

	guest_open(&g);
	assert_int_equal(route(g.vm, 0, 0, msi), -EINVAL); /* no controller */
	guest_close(&g);
	guest_open_irqchip(&g);
	assert_int_equal(route(g.vm, 0, 0, msi), 0);
	assert_int_equal(route(g.vm, 1, 0, msi), 0);
	assert_int_equal(route(g.vm, 1, 1, msi), -EINVAL);
	assert_int_equal(route(g.vm, 4097, 0, msi), -EINVAL);
	assert_int_equal(route(g.vm, 2, 0, msi), -EINVAL); /* one GSI, two MSIs */
	msi.flags = KVM_MSI_VALID_DEVID;
	assert_int_equal(route(g.vm, 1, 0, msi), 0);
	msi.flags = 2;
	assert_int_equal(route(g.vm, 1, 0, msi), -EINVAL);
	msi.flags = 0;
	msi.gsi = 4096;
	assert_int_equal(route(g.vm, 1, 0, msi), -EINVAL);
	assert_int_equal(route(g.vm, 1, 0, pin), 0);
	assert_int_equal(route(g.vm, 2, 0, pin), -EINVAL);
	pin.u.irqchip.pin = 24;
	assert_int_equal(route(g.vm, 1, 0, pin), -EINVAL);
	pin.u.irqchip.irqchip = 3;
	assert_int_equal(route(g.vm, 1, 0, pin), -EINVAL);
	pin.type = KVM_IRQ_ROUTING_S390_ADAPTER;
	assert_int_equal(route(g.vm, 1, 0, pin), -EINVAL);
	IS(g.vm, KVM_SET_GSI_ROUTING, (void *)BAD_POINTER, -EFAULT);
	guest_close(&g);
}

static void test_irqfd(void **state)
{
	struct guest g;
	int fd = eventfd(0, 0);
	struct kvm_irqfd k = {.fd = fd, .gsi = 5};

	guest_open(&g);
	IS(g.vm, KVM_IRQFD, &k, -EINVAL); /* no controller */
	guest_close(&g);
	guest_open_irqchip(&g);
	IS(g.vm, KVM_IRQFD, (void *)BAD_POINTER, -EFAULT);
	IS(g.vm, KVM_IRQFD, &k, 0);
	IS(g.vm, KVM_IRQFD, &k, -EBUSY);
	k.flags = 4;
	IS(g.vm, KVM_IRQFD, &k, -EINVAL);
	k.flags = KVM_IRQFD_FLAG_DEASSIGN;
	IS(g.vm, KVM_IRQFD, &k, 0);
	IS(g.vm, KVM_IRQFD, &k, 0); /* unknown */
	k.flags = 0;
	k.fd = g.vm;
	IS(g.vm, KVM_IRQFD, &k, -EINVAL);
	k.fd = 9999;
	IS(g.vm, KVM_IRQFD, &k, -EBADF);
	guest_close(&g);
	close(fd);
}

static void test_ioeventfd(void **state)
{
	struct guest g;
	int fd = eventfd(0, 0);
	struct kvm_ioeventfd k = {.fd = fd, .addr = 0xe0000000, .len = 4};

	guest_open(&g);
	IS(g.vm, KVM_IOEVENTFD, (void *)BAD_POINTER, -EFAULT);
	IS(g.vm, KVM_IOEVENTFD, &k, 0);
	IS(g.vm, KVM_IOEVENTFD, &k, -EEXIST);
	k.len = 3;
	IS(g.vm, KVM_IOEVENTFD, &k, -EINVAL);
	k.len = 0;
	k.flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
	IS(g.vm, KVM_IOEVENTFD, &k, -EINVAL);
	k.len = 8;
	k.addr = -4ull;
	IS(g.vm, KVM_IOEVENTFD, &k, -EINVAL);
	k.addr = 0x1f0;
	k.len = 2;
	k.flags = KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DATAMATCH;
	IS(g.vm, KVM_IOEVENTFD, &k, 0);
	k.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	IS(g.vm, KVM_IOEVENTFD, &k, 0);
	IS(g.vm, KVM_IOEVENTFD, &k, -ENOENT);
	k.flags = 0x40;
	IS(g.vm, KVM_IOEVENTFD, &k, -EINVAL);
	k.flags = 0;
	k.fd = g.vm;
	IS(g.vm, KVM_IOEVENTFD, &k, -EINVAL);
	k.fd = 9999;
	IS(g.vm, KVM_IOEVENTFD, &k, -EBADF);
	guest_close(&g);
	close(fd);
}

static struct kvm_cpuid2 *cpuid_room(u32 n)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + n * sizeof(c->entries[0]));

	c->nent = n;
	return c;
}

static void test_cpuid(void **state)
{
	struct guest g;
	struct kvm_cpuid2 *c = cpuid_room(300);
	u32 n;

	guest_open(&g);
	IS(g.sys, KVM_GET_SUPPORTED_CPUID, (void *)BAD_POINTER, -EFAULT);
	c->nent = 0;
	IS(g.sys, KVM_GET_SUPPORTED_CPUID, c, -E2BIG);
	c->nent = 3;
	IS(g.sys, KVM_GET_SUPPORTED_CPUID, c, -E2BIG);
	assert_int_equal(c->nent, 3);
	c->nent = 256;
	IS(g.sys, KVM_GET_SUPPORTED_CPUID, c, 0);
	n = c->nent;
	assert_in_range(n, 10, 100);
	assert_int_equal(c->entries[1].function, 1); /* where dosemu2 looks */
	IS(g.vcpu, KVM_SET_CPUID2, c, 0);
	IS(g.vcpu, KVM_SET_CPUID2, (void *)BAD_POINTER, -EFAULT);
	c->nent = 1;
	IS(g.vcpu, KVM_GET_CPUID2, c, -E2BIG);
	c->nent = 256;
	IS(g.vcpu, KVM_GET_CPUID2, c, 0);
	assert_int_equal(c->nent, n);
	c->nent = 257;
	IS(g.vcpu, KVM_SET_CPUID2, c, -E2BIG);
	free(c);
	guest_close(&g);
}

static struct kvm_cpuid_entry2 *entry_of(struct kvm_cpuid2 *c, u32 function, u32 index)
{
	for (u32 i = 0; i < c->nent; i++)
		if (c->entries[i].function == function && c->entries[i].index == index)
			return &c->entries[i];
	fail_msg("no CPUID leaf %x.%x", function, index);
	return NULL;
}

/* What is read back is what the guest reads; the ids in it are the caller's. */
static void test_cpuid_follows_state(void **state)
{
	struct guest g;
	struct kvm_cpuid2 *c = cpuid_room(256);
	struct kvm_sregs s;
	struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs[0].value = 7};

	guest_open_irqchip(&g);
	IS(g.vcpu, KVM_GET_SREGS, &s, 0);
	s.cr4 |= 0x310fff; /* SMAP SMEP FSGSBASE MCE PAE PSE...: before there is a CPUID */
	if (!port.real)
		IS(g.vcpu, KVM_SET_SREGS, &s, 0);
	s.cr4 = 0;
	IS(g.vcpu, KVM_SET_SREGS, &s, 0);
	IS(g.sys, KVM_GET_SUPPORTED_CPUID, c, 0);
	if (!(entry_of(c, 1, 0)->ecx & 1 << 28) || port.real) {
		print_message("AVX is not there, or taken away by the kernel's KVM\n");
		free(c);
		guest_close(&g);
		return;
	}
	entry_of(c, 1, 0)->ebx |= 9u << 24;
	entry_of(c, 0xb, 0)->edx = 9;
	IS(g.vcpu, KVM_SET_CPUID2, c, 0);
	c->nent = 256;
	IS(g.vcpu, KVM_GET_CPUID2, c, 0);
	assert_int_equal(entry_of(c, 1, 0)->ebx >> 24, 9);
	assert_int_equal(entry_of(c, 0xb, 0)->edx, 9);
	assert_int_equal(entry_of(c, 1, 0)->ecx >> 27 & 1, 0);
	assert_int_equal(entry_of(c, 1, 0)->edx >> 9 & 1, 1);
	assert_int_equal(entry_of(c, 0xd, 0)->ebx, 576);
	s.cr4 |= 1 << 18; /* OSXSAVE */
	s.apic_base &= ~(1ull << 11);
	IS(g.vcpu, KVM_SET_SREGS, &s, 0);
	IS(g.vcpu, KVM_SET_XCRS, &x, 0);
	IS(g.vcpu, KVM_GET_CPUID2, c, 0);
	assert_int_equal(entry_of(c, 1, 0)->ecx >> 27 & 1, 1);
	assert_int_equal(entry_of(c, 1, 0)->edx >> 9 & 1, 0);
	assert_int_equal(entry_of(c, 0xd, 0)->ebx, 832);
	free(c);
	guest_close(&g);
}

static void test_emulated_cpuid(void **state)
{
	int sys = kvm_open();
	struct kvm_cpuid2 *c = cpuid_room(16);

	IS(sys, KVM_GET_EMULATED_CPUID, c, 0);
	assert_int_equal(c->nent, 3);
	assert_int_equal(c->entries[0].eax, 7);
	assert_int_equal(c->entries[2].function, 7);
	c->nent = 2;
	IS(sys, KVM_GET_EMULATED_CPUID, c, -E2BIG);
	c->nent = 16;
	c->entries[9].padding[1] = 1;
	IS(sys, KVM_GET_EMULATED_CPUID, c, -EINVAL);
	free(c);
	kvm_close(sys);
}

static void test_msr_lists(void **state)
{
	static const unsigned long requests[] = {
		KVM_GET_MSR_INDEX_LIST, KVM_GET_MSR_FEATURE_INDEX_LIST};
	struct kvm_msr_list *l = calloc(1, sizeof(*l) + 1024 * sizeof(u32));
	int sys = kvm_open();
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		IS(sys, requests[i], (void *)BAD_POINTER, -EFAULT);
		l->nmsrs = 0;
		IS(sys, requests[i], l, -E2BIG);
		assert_in_range(l->nmsrs, 1, 512);
		l->nmsrs = 1024;
		IS(sys, requests[i], l, 0);
		assert_in_range(l->nmsrs, 1, 512);
	}
	free(l);
	kvm_close(sys);
}

static void test_msrs(void **state)
{
	struct guest g;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e[3];
	} m = {.head = {.nmsrs = 3},
		.e = {{.index = 0x174}, {.index = 0xdeadbeef}, {.index = 0x175}}};

	guest_open(&g);
	IS(g.vcpu, KVM_GET_MSRS, &m, 1); /* stops at the unknown one */
	IS(g.vcpu, KVM_SET_MSRS, &m, 1);
	m.head.nmsrs = 256;
	IS(g.vcpu, KVM_GET_MSRS, &m, -E2BIG);
	m.head.nmsrs = 0;
	IS(g.vcpu, KVM_GET_MSRS, &m, 0);
	IS(g.vcpu, KVM_GET_MSRS, (void *)BAD_POINTER, -EFAULT);
	IS(g.sys, KVM_GET_MSRS, (void *)BAD_POINTER, -EFAULT);
	m.head.nmsrs = 1;
	m.e[0].index = 0xdeadbeef;
	IS(g.sys, KVM_GET_MSRS, &m, 0);
	guest_close(&g);
}

static void test_msr_filter(void **state)
{
	struct guest g;
	u8 bitmap[KVM_MSR_FILTER_MAX_BITMAP_SIZE] = {0};
	struct kvm_msr_filter f = {
		.ranges[0] = {
			.flags = KVM_MSR_FILTER_READ, .nmsrs = 8, .base = 0x100, .bitmap = bitmap}};

	guest_open(&g);
	IS(g.vm, KVM_X86_SET_MSR_FILTER, (void *)BAD_POINTER, -EFAULT);
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, 0);
	f.flags = 2;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, -EINVAL);
	f.flags = KVM_MSR_FILTER_DEFAULT_DENY;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, 0);
	f.ranges[0].nmsrs = 0;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, -EINVAL); /* deny everything */
	f.flags = 0;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, 0);
	f.ranges[0].nmsrs = KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8 + 1;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, -EINVAL);
	f.ranges[0].nmsrs = 8;
	f.ranges[0].flags = 4;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, -EINVAL);
	f.ranges[0].flags = 0;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, -EINVAL);
	f.ranges[0].flags = KVM_MSR_FILTER_READ;
	f.ranges[0].bitmap = (void *)BAD_POINTER;
	IS(g.vm, KVM_X86_SET_MSR_FILTER, &f, -EFAULT);
	guest_close(&g);
}

static void test_vcpu_pointers(void **state)
{
	static const unsigned long requests[] = {KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS,
		KVM_SET_SREGS, KVM_GET_SREGS2, KVM_SET_SREGS2, KVM_GET_FPU, KVM_SET_FPU,
		KVM_GET_XSAVE, KVM_SET_XSAVE, KVM_GET_XSAVE2, KVM_GET_XCRS, KVM_SET_XCRS,
		KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
		KVM_GET_MP_STATE, KVM_SET_MP_STATE, KVM_INTERRUPT, KVM_TRANSLATE,
		KVM_SET_GUEST_DEBUG, KVM_ENABLE_CAP, KVM_X86_SETUP_MCE, KVM_TPR_ACCESS_REPORTING,
		KVM_SET_SIGNAL_MASK, KVM_SET_CPUID};
	struct guest g;
	unsigned i;

	guest_open(&g);
	for (i = 0; i < ARRAY_SIZE(requests); i++)
		IS(g.vcpu, requests[i], (void *)BAD_POINTER, -EFAULT);
	guest_close(&g);
}

static void test_vcpu_small(void **state)
{
	struct guest g;
	struct kvm_interrupt irq = {256};
	struct kvm_tpr_access_ctl tac = {.flags = 1};
	struct kvm_vapic_addr vapic = {1ull << 40};
	struct kvm_mp_state mp;
	struct {
		struct kvm_signal_mask head;
		u8 set[8];
	} mask = {.head = {.len = 4}};
	u64 mce = 0;

	guest_open_irqchip(&g);
	IS(g.vcpu, KVM_INTERRUPT, &irq, -EINVAL);
	irq.irq = 32;
	IS(g.vcpu, KVM_INTERRUPT, &irq, -ENXIO);
	IS_N(g.vcpu, KVM_NMI, 0x123, 0);
	IS_N(g.vcpu, _IO(KVMIO, 0xfe), 0, -EINVAL); /* unknown */
	IS(g.vcpu, KVM_TPR_ACCESS_REPORTING, &tac, -EINVAL);
	tac.flags = 0;
	IS(g.vcpu, KVM_TPR_ACCESS_REPORTING, &tac, 0);
	IS(g.vcpu, KVM_SET_VAPIC_ADDR, &vapic, -EINVAL);
	vapic.vapic_addr = RAM_GPA;
	IS(g.vcpu, KVM_SET_VAPIC_ADDR, &vapic, 0);
	IS(g.vcpu, KVM_SET_SIGNAL_MASK, &mask, -EINVAL);
	mask.head.len = 8;
	IS(g.vcpu, KVM_SET_SIGNAL_MASK, &mask, 0);
	IS(g.vcpu, KVM_SET_SIGNAL_MASK, NULL, 0);
	assert_true(kvm(g.vcpu, KVM_GET_TSC_KHZ, 0x55) > 100000);
	IS_N(g.vcpu, KVM_KVMCLOCK_CTRL, 0, -EINVAL); /* the guest has no kvmclock */
	for (mp.mp_state = 0; mp.mp_state < 4; mp.mp_state++)
		IS(g.vcpu, KVM_SET_MP_STATE, &mp, 0);
	for (mp.mp_state = 5; mp.mp_state < 9; mp.mp_state++)
		IS(g.vcpu, KVM_SET_MP_STATE, &mp, -EINVAL);
	IS(g.sys, KVM_X86_GET_MCE_CAP_SUPPORTED, &mce, 0);
	mce |= 10;
	IS(g.vcpu, KVM_X86_SETUP_MCE, &mce, 0);
	mce = 33;
	IS(g.vcpu, KVM_X86_SETUP_MCE, &mce, -EINVAL);
	mce = 0;
	IS(g.vcpu, KVM_X86_SETUP_MCE, &mce, -EINVAL);
	guest_close(&g);
}

#define XSAVE_MXCSR     (24 / 4)
#define XSAVE_XSTATE_BV (512 / 4)

static void test_state_checks(void **state)
{
	struct guest g;
	struct kvm_xsave xsave;
	struct kvm_debugregs d;
	struct kvm_xcrs x;
	struct kvm_vcpu_events e;
	struct kvm_sregs s;
	struct kvm_sregs2 s2;
	struct kvm_mp_state mp = {KVM_MP_STATE_HALTED};

	guest_open(&g);
	IS(g.vcpu, KVM_GET_DEBUGREGS, &d, 0);
	IS(g.vcpu, KVM_SET_DEBUGREGS, &d, 0);
	d.flags = 1;
	IS(g.vcpu, KVM_SET_DEBUGREGS, &d, -EINVAL);
	d.flags = 0;
	d.dr7 |= 1ull << 32;
	IS(g.vcpu, KVM_SET_DEBUGREGS, &d, -EINVAL);
	IS(g.vcpu, KVM_GET_XSAVE, &xsave, 0);
	IS(g.vcpu, KVM_SET_XSAVE, &xsave, 0);
	xsave.region[XSAVE_MXCSR] |= 1u << 16; /* no processor has it: loading it would fault */
	xsave.region[XSAVE_XSTATE_BV] = 0;     /* and is not looked at without its components */
	IS(g.vcpu, KVM_SET_XSAVE, &xsave, 0);
	xsave.region[XSAVE_XSTATE_BV] = 3;
	IS(g.vcpu, KVM_SET_XSAVE, &xsave, -EINVAL);
	IS(g.vcpu, KVM_GET_XCRS, &x, 0);
	assert_int_equal(x.nr_xcrs, 1);
	IS(g.vcpu, KVM_SET_XCRS, &x, 0);
	x.flags = 1;
	IS(g.vcpu, KVM_SET_XCRS, &x, -EINVAL);
	x.flags = 0;
	x.nr_xcrs = 17;
	IS(g.vcpu, KVM_SET_XCRS, &x, -EINVAL);
	IS(g.vcpu, KVM_GET_VCPU_EVENTS, &e, 0);
	assert_int_equal(e.flags, 0xd);
	IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, 0);
	e.flags = 0x80;
	IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, -EINVAL);
	e.flags = KVM_VCPUEVENT_VALID_PAYLOAD; /* not enabled */
	IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, -EINVAL);
	e.flags = 0;
	e.exception.injected = 1;
	e.exception.nr = 32;
	IS(g.vcpu, KVM_SET_VCPU_EVENTS, &e, -EINVAL);
	IS(g.vcpu, KVM_GET_SREGS, &s, 0);
	IS(g.vcpu, KVM_SET_SREGS, &s, 0);
	s.cr0 = 0x80000000; /* PG without PE */
	IS(g.vcpu, KVM_SET_SREGS, &s, -EINVAL);
	IS(g.vcpu, KVM_GET_SREGS2, &s2, 0);
	IS(g.vcpu, KVM_SET_SREGS2, &s2, 0);
	s2.flags = 2;
	IS(g.vcpu, KVM_SET_SREGS2, &s2, -EINVAL);
	IS(g.vcpu, KVM_SET_MP_STATE, &mp, -EINVAL); /* no local APIC */
	guest_close(&g);
}

static void test_clock(void **state)
{
	struct guest g;
	struct kvm_clock_data k, set = {.clock = 5000000000ull};

	guest_open(&g);
	IS(g.vm, KVM_GET_CLOCK, &k, 0);
	IS(g.vm, KVM_GET_CLOCK, (void *)BAD_POINTER, -EFAULT);
	IS(g.vm, KVM_SET_CLOCK, &set, 0);
	IS(g.vm, KVM_GET_CLOCK, &k, 0);
	assert_in_range(k.clock, 5000000000ull, 6000000000ull);
	set.flags = 2;
	IS(g.vm, KVM_SET_CLOCK, &set, 0);
	set.flags = 8;
	IS(g.vm, KVM_SET_CLOCK, &set, 0);
	set.flags = 0x10;
	IS(g.vm, KVM_SET_CLOCK, &set, -EINVAL);
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

static void test_system_attr(void **state)
{
	int sys = kvm_open();
	u64 xcr0 = 0;
	struct kvm_device_attr a = {.attr = KVM_X86_XCOMP_GUEST_SUPP, .addr = (unsigned long)&xcr0};

	IS(sys, KVM_HAS_DEVICE_ATTR, &a, 0);
	IS(sys, KVM_GET_DEVICE_ATTR, &a, 0);
	assert_int_equal(xcr0 & 3, 3);
	a.addr = BAD_POINTER;
	IS(sys, KVM_GET_DEVICE_ATTR, &a, -EFAULT);
	a.attr = 77;
	IS(sys, KVM_HAS_DEVICE_ATTR, &a, -ENXIO);
	IS(sys, KVM_GET_DEVICE_ATTR, &a, -ENXIO);
	a.group = 5;
	IS(sys, KVM_GET_DEVICE_ATTR, &a, -ENXIO);
	kvm_close(sys);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_system),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_vcpu_ids),
		cmocka_unit_test(test_vcpu_descriptors),
		cmocka_unit_test(test_memslots),
		cmocka_unit_test(test_memslots2),
		cmocka_unit_test(test_dirty_log_args),
		cmocka_unit_test(test_vm_options),
		cmocka_unit_test(test_max_vcpu_id),
		cmocka_unit_test(test_enable_cap),
		cmocka_unit_test(test_irqchip_order),
		cmocka_unit_test(test_old_pit),
		cmocka_unit_test(test_tsc_khz),
		cmocka_unit_test(test_routing),
		cmocka_unit_test(test_irqfd),
		cmocka_unit_test(test_ioeventfd),
		cmocka_unit_test(test_cpuid),
		cmocka_unit_test(test_cpuid_follows_state),
		cmocka_unit_test(test_emulated_cpuid),
		cmocka_unit_test(test_msr_lists),
		cmocka_unit_test(test_msrs),
		cmocka_unit_test(test_msr_filter),
		cmocka_unit_test(test_vcpu_pointers),
		cmocka_unit_test(test_vcpu_small),
		cmocka_unit_test(test_state_checks),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_coalesced_args),
		cmocka_unit_test(test_system_attr),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
