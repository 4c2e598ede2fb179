/* SPDX-License-Identifier: MIT */
/* How a guest stops: HLT, triple fault, and asking for it. */
#include <errno.h>
#include <string.h>

#include "vm.h"

GUEST(halts_code, "hlt\noutb %al, $0x10\nhlt");

static int halt_once(void *opaque, int vcpu)
{
	struct vm *vm = opaque;

	vm_note(vm, "halt:%d ", vcpu);
	return vm->ret_halt++;
}

/* 0 goes on behind the instruction at once, anything else ends the run. */
static void halt(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, halts_code);
	vm.callbacks.halt = halt_once;
	vm.ret_halt = 0;
	assert_int_equal(vm_run(&vm), 1);
	assert_string_equal(vm.trace, "halt:0 outb:10=0 halt:0 ");
	vm_destroy(&vm);
}

static void halt_other_vcpu(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, halts_code);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 3), 0);
	vm_start(&vm, 3, CODE);
	vm.ret_halt = -5;
	assert_int_equal(kvm_run(vm.kvm, 3, &vm.env), -5);
	assert_string_equal(vm.trace, "halt:3 ");
	vm_destroy(&vm);
}

static void fault(struct vm *vm, int expected)
{
	vm_load_fault(vm);
	assert_int_equal(vm_run(vm), expected);
}

static void create_for_fault(struct vm *vm)
{
	if (vm_emulates())
		vm_skip(NULL, "this KVM emulates real mode, and not its triple faults");
	vm_create(vm, MEM);
}

static void triple_fault(void **state)
{
	struct vm vm;

	create_for_fault(&vm);
	fault(&vm, 7);
	assert_string_equal(vm.trace, "shutdown ");
	vm_destroy(&vm);
}

GUEST(restarted_code, "outb %al, $0x10\nhlt");

static int restart(void *opaque, void *env)
{
	struct vm *vm = opaque;

	vm_note(vm, "restart ");
	assert_ptr_equal(env, &vm->env);
	LOAD(vm, restarted_code);
	return 0;
}

/* As a machine does that begins anew: the callback sets the registers, 0 goes on with them. */
static void shutdown_restarts(void **state)
{
	struct vm vm;

	create_for_fault(&vm);
	vm.callbacks.shutdown = restart;
	fault(&vm, 7);
	assert_string_equal(vm.trace, "restart outb:10=0 halt:0 ");
	vm_destroy(&vm);
}

static void shutdown_without_handler(void **state)
{
	struct vm vm;

	create_for_fault(&vm);
	vm.callbacks.shutdown = NULL;
	fault(&vm, 1);
	vm_destroy(&vm);
}

/* A guest that sees Hyper-V asks for a reset: MSR 0x40000003 (TLFS 4.2). */
GUEST(reset_code, "movl $0x40000003, %ecx\nmovl $1, %eax\nxorl %edx, %edx\nwrmsr\nhlt");

static void guest_asks_for_reset(void **state)
{
	struct kvm_cpuid_entry entries[] = {
		{.function = 0, .eax = 1}, {.function = 1, .edx = 0x20}, /* MSR */
		{.function = 0x40000000,
			.eax = 0x40000005,
			.ebx = 0x7263694d,
			.ecx = 0x666f736f,
			.edx = 0x76482074},
		{.function = 0x40000001, .eax = 0x31237648},
		{.function = 0x40000003, .eax = 0x80}, /* may use the MSR */
	};
	struct vm vm;

	vm_create(&vm, MEM);
	NEEDS(&vm, KVM_CAP_HYPERV);
	assert_int_equal(kvm_setup_cpuid(vm.kvm, 0, ARRAY_SIZE(entries), entries), 0);
	LOAD(&vm, reset_code);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "shutdown ");
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(halt),
		cmocka_unit_test(halt_other_vcpu),
		cmocka_unit_test(triple_fault),
		cmocka_unit_test(shutdown_restarts),
		cmocka_unit_test(shutdown_without_handler),
		cmocka_unit_test(guest_asks_for_reset),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
