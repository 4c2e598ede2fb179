/* SPDX-License-Identifier: MIT */
/* Registers, MSRs and CPUID. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm.h"

static void registers(void **state)
{
	struct kvm_regs regs = {.rax = 0x1122334455667788, .rip = 0x4321, .rflags = 2}, back;
	struct kvm_fpu fpu = {.fcw = 0x27f, .mxcsr = 0x1f80}, fpu_back;
	struct kvm_mp_state mp;
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	assert_int_equal(kvm_set_regs(vm.kvm, 0, &regs), 0);
	assert_int_equal(kvm_get_regs(vm.kvm, 0, &back), 0);
	assert_memory_equal(&regs, &back, sizeof(regs));
	fpu.xmm[15][15] = 0x77;
	assert_int_equal(kvm_set_fpu(vm.kvm, 0, &fpu), 0);
	assert_int_equal(kvm_get_fpu(vm.kvm, 0, &fpu_back), 0);
	assert_int_equal(fpu_back.fcw, 0x27f);
	assert_int_equal(fpu_back.xmm[15][15], 0x77);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), 0);
	assert_int_equal(kvm_get_mpstate(vm.kvm, 1, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	assert_int_equal(kvm_set_mpstate(vm.kvm, 1, &mp), 0);
	assert_int_equal(kvm_reset_mpstate(vm.kvm, 1), 0);
	assert_int_equal(kvm_get_mpstate(vm.kvm, 1, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	vm_destroy(&vm);
}

GUEST(fpu_code, "movl $0x200, %eax; movl %eax, %cr4\n" /* CR4.OSFXSR */
		"movups %xmm1, 0x2000\n"
		"fnstcw 0x2010\n"
		"movups 0x2020, %xmm1\n"
		"hlt");

/* Registers set before the guest ever used them are there when it does, and what it leaves in them is seen. */
static void fpu_reaches_guest(void **state)
{
	struct kvm_fpu fpu;
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, fpu_code);
	memcpy(vm.mem + 0x2020, "fedcba9876543210", 16);
	assert_int_equal(kvm_get_fpu(vm.kvm, 0, &fpu), 0);
	memcpy(fpu.xmm[1], "0123456789abcdef", 16);
	fpu.fcw = 0x27f;
	assert_int_equal(kvm_set_fpu(vm.kvm, 0, &fpu), 0);
	assert_int_equal(vm_run(&vm), 7);
	assert_memory_equal(vm.mem + 0x2000, "0123456789abcdef", 16);
	assert_memory_equal(vm.mem + 0x2010, "\x7f\x02", 2);
	assert_int_equal(kvm_get_fpu(vm.kvm, 0, &fpu), 0);
	assert_memory_equal(fpu.xmm[1], "fedcba9876543210", 16);
	assert_int_equal(kvm_get_fpu(vm.kvm, 9, &fpu), -EINVAL);
	assert_int_equal(kvm_set_fpu(vm.kvm, 9, &fpu), -EINVAL);
	vm_destroy(&vm);
}

/* A vCPU that nobody gave registers begins at the top of 4 GiB; or of 1 MiB, as in 2008, when only there is memory. */
static void reset_vector(void **state)
{
	static const u8 low[] = {0xe6, 0x11, 0xf4}, high[] = {0xe6, 0x22, 0xf4}; /* outb; hlt */
	u8 *firmware;
	struct vm vm;

	vm_create(&vm, MEM);
	memcpy(vm.mem + 0xffff0, low, sizeof(low));
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "outb:11=0 halt:0 ");
	vm_destroy(&vm);

	vm_create(&vm, MEM);
	memcpy(vm.mem + 0xffff0, low, sizeof(low));
	firmware = kvm_create_phys_mem(vm.kvm, 0xffff0000, 0x10000, 0, 1);
	assert_non_null(firmware);
	memcpy(firmware + 0xfff0, high, sizeof(high));
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "outb:22=0 halt:0 ");
	vm_destroy(&vm);
}

static void msrs(void **state)
{
	struct kvm_msr_entry entries[2] = {
		{.index = 0xc0000081, .data = 0x1234}, {.index = 0xc0000082, .data = 0x5678}};
	struct kvm_msr_list *list;
	struct vm vm;

	vm_create(&vm, MEM);
	list = kvm_get_msr_list(vm.kvm);
	assert_non_null(list);
	assert_in_range(list->nmsrs, 5, 1000);
	free(list);
	assert_int_equal(kvm_set_msrs(vm.kvm, 0, entries, 2), 2);
	entries[0].data = entries[1].data = 0;
	assert_int_equal(kvm_get_msrs(vm.kvm, 0, entries, 2), 2);
	assert_int_equal(entries[0].data, 0x1234);
	assert_int_equal(entries[1].data, 0x5678);
	entries[1].index = 0x12345; /* no such MSR: its index is the result */
	assert_int_equal(kvm_get_msrs(vm.kvm, 0, entries, 2), 1);
	assert_int_equal(kvm_get_msrs(vm.kvm, 0, NULL, 0), 0);
	assert_int_equal(kvm_set_msrs(vm.kvm, 0, NULL, -1), -EINVAL);
	vm_destroy(&vm);
}

GUEST(cpuid_code,
	"movl $0x40000000, %eax\ncpuid\n"
	"movl %eax, 0x2000\nmovl %ebx, 0x2004\nmovl %ecx, 0x2008\nmovl %edx, 0x200c\nhlt");

/* The old format without sub-leaves, and the new one. */
static void cpuid(void **state)
{
	struct kvm_cpuid_entry old = {.function = 0x40000000,
		.eax = 0x44434241,
		.ebx = 0x48474645,
		.ecx = 0x4c4b4a49,
		.edx = 0x504f4e4d};
	struct kvm_cpuid_entry2 new = {.function = 0x40000000, .ebx = 0x64636261};
	struct kvm_cpuid2 *offered;
	struct vm vm;

	vm_create(&vm, MEM);
	offered = uv_kvm_supported_cpuid(vm.kvm);
	assert_non_null(offered);
	assert_in_range(offered->nent, 5, 1000);
	LOAD(&vm, cpuid_code);
	assert_int_equal(uv_kvm_setup_cpuid2(vm.kvm, 0, 1, &new), 0);
	assert_int_equal(kvm_setup_cpuid(vm.kvm, 0, 1, &old), 0);
	assert_int_equal(vm_run(&vm), 7);
	assert_memory_equal(vm.mem + 0x2000, "ABCDEFGHIJKLMNOP", 16);
	assert_int_equal(kvm_setup_cpuid(vm.kvm, 0, 1 << 20, &old), -E2BIG);
	free(offered);
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(registers),
		cmocka_unit_test(fpu_reaches_guest),
		cmocka_unit_test(reset_vector),
		cmocka_unit_test(msrs),
		cmocka_unit_test(cpuid),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
