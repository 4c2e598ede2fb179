/* SPDX-License-Identifier: MIT */
/* State that is set reaches the guest, and what the guest leaves is read. */
#include <errno.h>
#include <string.h>

#include "vm.h"

GUEST(regs_code, "outl %eax, $0x10\nmovl $0x55667788, %ebx\nincl %esi\nhlt");

static void regs_reach_guest(void **state)
{
	struct kvm_regs regs;
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, regs_code);
	assert_int_equal(kvm_get_regs(vm.kvm, 0, &regs), 0);
	assert_int_equal(regs.rip, CODE);
	regs.rax = 0x11223344;
	regs.rsi = 0xffffffff;
	regs.r15 = 0x8877665544332211;
	assert_int_equal(kvm_set_regs(vm.kvm, 0, &regs), 0);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "outl:10=11223344 halt:0 ");
	assert_int_equal(kvm_get_regs(vm.kvm, 0, &regs), 0);
	assert_int_equal(regs.rbx, 0x55667788);
	assert_int_equal(regs.rsi, 0);
	assert_true(regs.r15 == 0x8877665544332211);
	assert_int_equal(regs.rip, CODE + (regs_code_end - regs_code));
	assert_int_equal(regs.rflags & 0x44, 0x44); /* ZF and PF of the increment */
	vm_destroy(&vm);
}

/* ES:0 is at 0x3000, and the interrupt table at 0x5000. */
GUEST(sregs_code, "movb $0x77, %es:0x10\nint $0x30\nhlt\n"
		  ".fill 0x40 - (. - sregs_code), 1, 0x90\n"
		  "movw $0x600, %ax\nmovw %ax, %fs\noutb %al, $0x30\niretw");

static void sregs_reach_guest(void **state)
{
	static const u16 entry[2] = {CODE + 0x40, 0};
	struct kvm_sregs sregs;
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, sregs_code);
	memcpy(vm.mem + 0x5000 + 4 * 0x30, entry, sizeof(entry));
	assert_int_equal(kvm_get_sregs(vm.kvm, 0, &sregs), 0);
	sregs.es.base = 0x3000;
	sregs.es.selector = 0x300;
	sregs.idt.base = 0x5000;
	assert_int_equal(kvm_set_sregs(vm.kvm, 0, &sregs), 0);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "outb:30=0 halt:0 ");
	assert_int_equal(vm.mem[0x3010], 0x77);
	assert_int_equal(kvm_get_sregs(vm.kvm, 0, &sregs), 0);
	assert_int_equal(sregs.fs.base, 0x6000);
	assert_int_equal(sregs.idt.base, 0x5000);
	vm_destroy(&vm);
}

/* Paging without protection is no state of a processor (SDM 3:2.5). */
static void sregs_refused(void **state)
{
	struct kvm_sregs sregs, after;
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, sregs_code);
	assert_int_equal(kvm_get_sregs(vm.kvm, 0, &sregs), 0);
	sregs.cr0 |= 0x80000000;
	FAILS(EINVAL, kvm_set_sregs(vm.kvm, 0, &sregs));
	assert_int_equal(kvm_get_sregs(vm.kvm, 0, &after), 0);
	assert_int_equal(after.cr0, sregs.cr0 & ~0x80000000);
	FAILS(EINVAL, kvm_get_sregs(vm.kvm, 1, &sregs));
	FAILS(EINVAL, kvm_set_sregs(vm.kvm, -1, &sregs));
	FAILS(EINVAL, kvm_get_regs(vm.kvm, 1, &(struct kvm_regs){.rax = 0}));
	FAILS(EINVAL, kvm_set_regs(vm.kvm, -1, &(struct kvm_regs){.rax = 0}));
	vm_destroy(&vm);
}

/* CR8 is taken over at entry, and shown after it. */
static void cr8_is_taken_over(void **state)
{
	struct kvm_sregs sregs;
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, regs_code);
	kvm_set_cr8(vm.kvm, 0, 5);
	assert_int_equal(kvm_get_cr8(vm.kvm, 0), 5);
	assert_int_equal(vm_run(&vm), 7);
	assert_int_equal(kvm_get_cr8(vm.kvm, 0), 5);
	assert_int_equal(kvm_get_sregs(vm.kvm, 0, &sregs), 0);
	assert_int_equal(sregs.cr8, 5);
	vm_destroy(&vm);
}

/* STAR is read, LSTAR written. */
GUEST(msr_code,
	"movl $0xc0000081, %ecx\nrdmsr\noutl %eax, $0x10\nmovl %edx, %eax\noutl %eax, $0x11\n"
	"incl %ecx\nmovl $0x1234, %eax\nxorl %edx, %edx\nwrmsr\nhlt");

static void msrs_reach_guest(void **state)
{
	struct kvm_msr_entry star = {.index = 0xc0000081, .data = 0x1122334455667788};
	struct kvm_msr_entry lstar = {.index = 0xc0000082};
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, msr_code);
	assert_int_equal(kvm_set_msrs(vm.kvm, 0, &star, 1), 1);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "outl:10=55667788 outl:11=11223344 halt:0 ");
	assert_int_equal(kvm_get_msrs(vm.kvm, 0, &lstar, 1), 1);
	assert_int_equal(lstar.data, 0x1234);
	vm_destroy(&vm);
}

static void set_mp(struct vm *vm, u32 mp_state, int expected)
{
	struct kvm_mp_state mp = {mp_state};

	errno = 0;
	assert_int_equal(kvm_set_mpstate(vm->kvm, 0, &mp), expected);
	assert_int_equal(errno, -expected);
}

/* A halted vCPU stays so until something comes; with the local APIC in the kernel it does so there. */
GUEST(halted_code, "outb %al, $0x10\n.fill 0x20 - (. - halted_code), 1, 0x90\noutb %al, $0x72");

static void halted_until_nmi(void **state)
{
	struct kvm_mp_state mp;
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	LOAD(&vm, halted_code);
	vm_vector(&vm, 2, CODE + 0x20);
	assert_int_equal(kvm_get_mpstate(vm.kvm, 0, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	set_mp(&vm, KVM_MP_STATE_HALTED, 0);
	assert_int_equal(kvm_get_mpstate(vm.kvm, 0, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_HALTED);
	assert_int_equal(kvm_inject_nmi(vm.kvm, 0), 0);
	vm.ret_io = 9;
	assert_int_equal(vm_run(&vm), 9);
	assert_string_equal(vm.trace, "outb:72=0 ");
	assert_int_equal(kvm_get_mpstate(vm.kvm, 0, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_RUNNABLE);
	vm_destroy(&vm);
}

static void mpstate_refused(void **state)
{
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	set_mp(&vm, 77, -EINVAL);
	FAILS(EINVAL, kvm_reset_mpstate(vm.kvm, 1));
	vm_destroy(&vm);
	vm_create(&vm, MEM); /* no local APIC: nothing else to be in */
	set_mp(&vm, KVM_MP_STATE_RUNNABLE, 0);
	set_mp(&vm, KVM_MP_STATE_HALTED, -EINVAL);
	FAILS(EINVAL, kvm_reset_mpstate(vm.kvm, 0));
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(regs_reach_guest),
		cmocka_unit_test(sregs_reach_guest),
		cmocka_unit_test(sregs_refused),
		cmocka_unit_test(cr8_is_taken_over),
		cmocka_unit_test(msrs_reach_guest),
		cmocka_unit_test(halted_until_nmi),
		cmocka_unit_test(mpstate_refused),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
