/* SPDX-License-Identifier: MIT */
/* Debugging a guest from outside: steps, breakpoints of three kinds, and exceptions put into it. */
#include <errno.h>
#include <string.h>

#include "vm.h"

static void set_debug(struct vm *vm, u32 control)
{
	struct kvm_guest_debug debug = {.control = control};

	assert_int_equal(kvm_set_guest_debug(vm->kvm, 0, &debug), 0);
}

GUEST(nop_code, "nop\nnop\nhlt");

static void single_step(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, nop_code);
	set_debug(&vm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	assert_int_equal(vm_run(&vm), 8);
	assert_int_equal(vm_run(&vm), 8);
	assert_string_equal(vm.trace, "debug:1@1001 debug:1@1002 ");
	set_debug(&vm, 0);
	assert_int_equal(vm_run(&vm), 7);
	vm_destroy(&vm);
}

GUEST(nops_code, "nop\nnop\nnop\nhlt");

static int stop_at_third(void *opaque, void *env, struct kvm_debug_exit_arch *arch)
{
	vm_note(opaque, "debug:%d@%llx ", arch->exception, (unsigned long long)arch->pc);
	return ++((struct vm *)opaque)->calls == 3 ? 9 : 0;
}

/* 0 from the callback lets the guest go on, still under debugging. */
static void steps_in_one_run(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, nops_code);
	set_debug(&vm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	vm.callbacks.debug = stop_at_third;
	assert_int_equal(vm_run(&vm), 9);
	assert_string_equal(vm.trace, "debug:1@1001 debug:1@1002 debug:1@1003 ");
	vm_destroy(&vm);
}

static void step_without_handler(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, nop_code);
	set_debug(&vm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	vm.callbacks.debug = NULL;
	assert_int_equal(vm_run(&vm), 1);
	vm_destroy(&vm);
}

static u64 seen_dr6;

static int keep_dr6(void *opaque, void *env, struct kvm_debug_exit_arch *arch)
{
	vm_note(opaque, "debug:%d@%llx ", arch->exception, (unsigned long long)arch->pc);
	seen_dr6 = arch->dr6;
	return 8;
}

/* DR7 enables DR1 for instructions: local and global enable of 1, R/W and LEN 0 (SDM 3:17.2.4). */
static void hardware_breakpoint(void **state)
{
	struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = {[1] = CODE + 1, [7] = 0x40c}};
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, nop_code);
	vm.callbacks.debug = keep_dr6;
	assert_int_equal(kvm_set_guest_debug(vm.kvm, 0, &debug), 0);
	assert_int_equal(vm_run(&vm), 8);
	assert_string_equal(vm.trace, "debug:1@1001 ");
	assert_int_equal(seen_dr6 & 0xf, 2);
	debug.arch.debugreg[7] = 0x400;
	assert_int_equal(kvm_set_guest_debug(vm.kvm, 0, &debug), 0);
	assert_int_equal(vm_run(&vm), 7);
	vm_destroy(&vm);
}

GUEST(store_code, "movb $1, 0x2000\nmovb $2, 0x2004\nhlt");

/* DR0 for writes of four bytes at 0x2004: the trap comes behind the instruction. */
static void watchpoint(void **state)
{
	struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP,
		.arch.debugreg = {[0] = 0x2004, [7] = 0xd0403}};
	struct vm vm;

	if (vm_emulates())
		vm_skip(NULL, "this KVM emulates real mode, and no watchpoints in it");
	vm_create(&vm, MEM);
	LOAD(&vm, store_code);
	vm.callbacks.debug = keep_dr6;
	assert_int_equal(kvm_set_guest_debug(vm.kvm, 0, &debug), 0);
	assert_int_equal(vm_run(&vm), 8);
	assert_string_equal(vm.trace, "debug:1@100a ");
	assert_int_equal(vm.mem[0x2004], 2);
	assert_int_equal(seen_dr6 & 0xf, 1);
	vm_destroy(&vm);
}

/* The debugger's own INT3 is shown to it, not to the guest, and before the guest's RIP moves. */
static void software_breakpoint(void **state)
{
	struct vm vm;

	if (vm_emulates())
		vm_skip(NULL, "this KVM emulates real mode, and INT3 in it is the guest's own");
	vm_create(&vm, MEM);
	LOAD(&vm, nop_code);
	vm.mem[CODE + 1] = 0xcc;
	set_debug(&vm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP);
	assert_int_equal(vm_run(&vm), 8);
	assert_string_equal(vm.trace, "debug:3@1001 ");
	vm.mem[CODE + 1] = 0x90;
	assert_int_equal(vm_run(&vm), 7);
	vm_destroy(&vm);
}

/* Vector 3 reports, and shows where it returns to. */
GUEST(int3_code, "int3\nhlt\n"
		 ".fill 0x30 - (. - int3_code), 1, 0x90\npopw %ax\noutw %ax, $0x63\nhlt\n");

/* What one vCPU is debugged with is not the other's: its INT3 and its step are the guest's. */
static void not_debugged(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, int3_code);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), 0);
	vm_start(&vm, 1, CODE);
	vm_vector(&vm, 3, CODE + 0x30);
	set_debug(&vm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_SINGLESTEP);
	assert_int_equal(kvm_run(vm.kvm, 1, &vm.env), 7);
	assert_string_equal(vm.trace, "outw:63=1001 halt:1 ");
	vm_destroy(&vm);
}

/* TF is set, and vector 1 reports. */
GUEST(trap_code, "pushfw\npopw %ax\norw $0x100, %ax\npushw %ax\npopfw\nnop\nnop\nhlt\n"
		 ".fill 0x30 - (. - trap_code), 1, 0x90\npopw %ax\noutw %ax, $0x61\nhlt\n");

static void step_of_the_guest(void **state)
{
	struct vm vm;

	if (vm_emulates())
		vm_skip(NULL, "this KVM emulates real mode, and no steps of the guest in it");
	vm_create(&vm, MEM);
	LOAD(&vm, trap_code);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), 0);
	vm_start(&vm, 1, CODE);
	vm_vector(&vm, 1, CODE + 0x30);
	set_debug(&vm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	assert_int_equal(kvm_run(vm.kvm, 1, &vm.env), 7);
	assert_string_equal(vm.trace, "outw:61=1008 halt:1 ");
	vm_destroy(&vm);
}

/* A step over an instruction that leaves for the program is one, too. */
GUEST(out_code, "outb %al, $0x10\nmovb %al, 0x2000\nhlt");

static void step_over_port(void **state)
{
	struct vm vm;

	if (vm_emulates())
		vm_skip(NULL, "this KVM emulates real mode, and steps over ports without telling");
	vm_create(&vm, MEM);
	LOAD(&vm, out_code);
	set_debug(&vm, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	assert_int_equal(vm_run(&vm), 8);
	assert_string_equal(vm.trace, "outb:10=0 debug:1@1002 ");
	assert_int_equal(vm_run(&vm), 8);
	assert_string_equal(vm.trace, "outb:10=0 debug:1@1002 debug:1@1005 ");
	vm_destroy(&vm);
}

/* Vectors 1 and 3 report what they are. */
GUEST(inject_code, "hlt\n"
		   ".fill 0x10 - (. - inject_code), 1, 0x90\noutb %al, $0x61\nhlt\n"
		   ".fill 0x30 - (. - inject_code), 1, 0x90\noutb %al, $0x63\nhlt\n");

static void inject(u32 control, const char *expected)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, inject_code);
	vm_vector(&vm, 1, CODE + 0x10);
	vm_vector(&vm, 3, CODE + 0x30);
	set_debug(&vm, KVM_GUESTDBG_ENABLE | control);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, expected);
	vm_destroy(&vm);
}

static void inject_breakpoint(void **state)
{
	inject(KVM_GUESTDBG_INJECT_BP, "outb:63=0 halt:0 ");
}

static void inject_debug(void **state)
{
	inject(KVM_GUESTDBG_INJECT_DB, "outb:61=0 halt:0 ");
}

static void refused(void **state)
{
	struct kvm_guest_debug debug = {.control = 0};
	struct vm vm;

	vm_create(&vm, MEM);
	FAILS(EINVAL, kvm_set_guest_debug(vm.kvm, 1, &debug));
	FAILS(EINVAL, kvm_set_guest_debug(vm.kvm, -1, &debug));
	FAILS(EFAULT, kvm_set_guest_debug(vm.kvm, 0, NULL));
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(single_step),
		cmocka_unit_test(steps_in_one_run),
		cmocka_unit_test(step_without_handler),
		cmocka_unit_test(hardware_breakpoint),
		cmocka_unit_test(watchpoint),
		cmocka_unit_test(software_breakpoint),
		cmocka_unit_test(not_debugged),
		cmocka_unit_test(step_of_the_guest),
		cmocka_unit_test(step_over_port),
		cmocka_unit_test(inject_breakpoint),
		cmocka_unit_test(inject_debug),
		cmocka_unit_test(refused),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
