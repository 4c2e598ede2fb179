/* SPDX-License-Identifier: MIT */
/*
 * Arguments: which the requests take, which they refuse and with what error. Every line holds for
 * the kernel's KVM too. Here are those on /dev/kvm and about a vm as a whole; memory, interrupts and a vcpu's state are
 * in args_memory_test.c, args_irq_test.c and args_vcpu_test.c.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <sys/resource.h>

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
		cmocka_unit_test(test_vm_options),
		cmocka_unit_test(test_max_vcpu_id),
		cmocka_unit_test(test_enable_cap),
		cmocka_unit_test(test_tsc_khz),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_system_attr),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
