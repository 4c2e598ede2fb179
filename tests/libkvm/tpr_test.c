/* SPDX-License-Identifier: MIT */
/* The guest's accesses to its task priority: told to the program, or served from a page of the guest. */
#include <errno.h>
#include <string.h>

#include "vm.h"

#define LAPIC_AT 0xfee00000

/* A write, a read, and a port. */
GUEST(tpr_code, "nop\nmovl %eax, 0x80\nmovl 0x80, %eax\noutl %eax, $0x10\nmovl 0x80, %eax\n"
		"outl %eax, $0x11\n1: jmp 1b");

static int on_tpr(void *opaque, int vcpu, uint64_t rip, int is_write)
{
	struct vm *vm = opaque;

	vm_note(vm, "tpr:%d@%llx%s ", vcpu, (unsigned long long)rip, is_write ? "w" : "r");
	return vm->ret_shutdown;
}

static int on_outl(void *opaque, uint16_t addr, uint32_t data)
{
	struct vm *vm = opaque;

	vm_note(vm, "outl:%x=%x ", addr, data);
	if (addr == 0x10 && kvm_check_extension(vm->kvm, KVM_CAP_VAPIC))
		assert_int_equal(kvm_disable_tpr_access_reporting(vm->kvm, 0), 0);
	return addr == 0x11 ? 9 : 0;
}

/* DS reaches the local APIC. ret_tpr < 0: no access is to be told. */
static void load_tpr(struct vm *vm, int ret_tpr)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (ret_tpr >= 0 && vm_emulates())
		vm_skip(NULL, "this KVM emulates real mode, and tells of the TPR too late");
	vm_create_with_irqchip(vm, MEM);
	LOAD(vm, tpr_code);
	assert_int_equal(kvm_get_sregs(vm->kvm, 0, &sregs), 0);
	sregs.ds.base = LAPIC_AT;
	assert_int_equal(kvm_set_sregs(vm->kvm, 0, &sregs), 0);
	assert_int_equal(kvm_get_regs(vm->kvm, 0, &regs), 0);
	regs.rax = 0x30;
	assert_int_equal(kvm_set_regs(vm->kvm, 0, &regs), 0);
	vm->callbacks.outl = on_outl;
	vm->callbacks.tpr_access = on_tpr;
	vm->ret_shutdown = ret_tpr;
}

static void enable(struct vm *vm)
{
	NEEDS(vm, KVM_CAP_VAPIC);
	assert_int_equal(kvm_enable_tpr_access_reporting(vm->kvm, 0), 0);
}

/* Told after the access, with the address of the instruction; 0 goes on behind it. */
static void reported(void **state)
{
	struct vm vm;

	load_tpr(&vm, 0);
	enable(&vm);
	assert_int_equal(vm_run(&vm), 9);
	if (!strncmp(vm.trace, "outl", 4))
		vm_skip(&vm, "the processor serves the TPR without KVM");
	assert_string_equal(vm.trace, "tpr:0@1001w tpr:0@1005r outl:10=30 outl:11=30 ");
	vm_destroy(&vm);
}

static void report_ends_run(void **state)
{
	struct vm vm;
	int r;

	load_tpr(&vm, 6);
	enable(&vm);
	r = vm_run(&vm);
	if (r == 9)
		vm_skip(&vm, "the processor serves the TPR without KVM");
	assert_int_equal(r, 6);
	assert_string_equal(vm.trace, "tpr:0@1001w ");
	vm_forget(&vm);
	vm.callbacks.tpr_access = NULL;
	assert_int_equal(vm_run(&vm), 1);
	assert_int_equal(vm_run(&vm), 9);
	assert_string_equal(vm.trace, "outl:10=30 outl:11=30 ");
	vm_destroy(&vm);
}

static void not_asked_for(void **state)
{
	struct vm vm;

	load_tpr(&vm, -1);
	assert_int_equal(vm_run(&vm), 9);
	assert_string_equal(vm.trace, "outl:10=30 outl:11=30 ");
	vm_destroy(&vm);
}

static void reporting_refused(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	FAILS(EINVAL, kvm_enable_tpr_access_reporting(vm.kvm, 1));
	FAILS(EINVAL, kvm_disable_tpr_access_reporting(vm.kvm, -1));
	vm_destroy(&vm);
}

#define VAPIC_AT 0x4000

/* On exit the word is the TPR, on entry the TPR becomes what the guest wrote there. */
GUEST(vapic_code, "outb %al, $0x10\nmovb $0x20, 0x4000\noutb %al, $0x11\noutb %al, $0x12");

static void vapic(void **state)
{
	struct kvm_lapic_state lapic;
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	NEEDS(&vm, KVM_CAP_VAPIC);
	LOAD(&vm, vapic_code);
	assert_int_equal(kvm_enable_vapic(vm.kvm, 0, VAPIC_AT), 0);
	assert_int_equal(kvm_get_lapic(vm.kvm, 0, &lapic), 0);
	lapic.regs[0x80] = 0x40;
	lapic.regs[0xf1] = 1; /* enabled in SVR (SDM 3:11.9) */
	assert_int_equal(kvm_set_lapic(vm.kvm, 0, &lapic), 0);
	vm.ret_io = 9;
	assert_int_equal(vm_run(&vm), 9);
	assert_int_equal(vm.mem[VAPIC_AT], 0x40);
	assert_int_equal(vm_run(&vm), 9);
	assert_int_equal(vm_run(&vm), 9);
	assert_int_equal(kvm_get_cr8(vm.kvm, 0), 2);
	assert_int_equal(kvm_enable_vapic(vm.kvm, 0, 0), 0);
	vm_destroy(&vm);
}

/* No local APIC, or no memory there. */
static void vapic_refused(void **state)
{
	struct vm vm;
	int error;

	vm_create(&vm, MEM);
	error = kvm_check_extension(vm.kvm, KVM_CAP_VAPIC) ? EINVAL : ENOSYS;
	FAILS(error, kvm_enable_vapic(vm.kvm, 0, VAPIC_AT));
	vm_destroy(&vm);
	vm_create_with_irqchip(&vm, MEM);
	FAILS(error, kvm_enable_vapic(vm.kvm, 0, 0x80000000));
	FAILS(EINVAL, kvm_enable_vapic(vm.kvm, 1, VAPIC_AT));
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(reported),
		cmocka_unit_test(report_ends_run),
		cmocka_unit_test(not_asked_for),
		cmocka_unit_test(reporting_refused),
		cmocka_unit_test(vapic),
		cmocka_unit_test(vapic_refused),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
