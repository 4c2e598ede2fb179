/* SPDX-License-Identifier: MIT */
/*
 * Interrupts that the program puts into a vCPU itself: vectors when the guest can take them, for which
 * try_push_interrupts asks and waits, and NMIs from push_nmi.
 */
#include <errno.h>
#include <string.h>

#include "vm.h"

/* Vector 0x21 to 0x1100, which reports. */
GUEST(irq_code, "outb %al, $0x50\n"
		"sti\nnop\n1: jmp 1b\n"
		".fill 0x100 - (. - irq_code), 1, 0x90\noutb %al, $0x51\nhlt");

static void load_irq(struct vm *vm)
{
	vm_create(vm, MEM);
	LOAD(vm, irq_code);
	vm_vector(vm, 0x21, CODE + 0x100);
}

/* Injection waits for the guest to be ready, which try_push_interrupts finds out. */
static int push_when_ready(void *opaque)
{
	struct vm *vm = opaque;

	if (!kvm_is_ready_for_interrupt_injection(vm->kvm, 0) || vm->ret_push)
		return 1;
	vm->ret_push = 1;
	assert_int_equal(kvm_get_interrupt_flag(vm->kvm, 0), 1);
	assert_int_equal(kvm_inject_irq(vm->kvm, 0, 0x21), 0);
	return 0;
}

static void injection(void **state)
{
	struct vm vm;

	load_irq(&vm);
	vm.callbacks.try_push_interrupts = push_when_ready;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "outb:50=0 outb:51=0 halt:0 ");
	vm_destroy(&vm);
}

/*
 * Not in the shadow of STI, which covers one instruction. The moment after it is the first, but a KVM that emulates real
 * mode looks for interrupts one instruction later.
 */
GUEST(shadow_code, "cli\nmovb $1, 0x2000\nsti\nmovb $2, 0x2000\nmovb $3, 0x2000\n1: jmp 1b\n"
		   ".fill 0x100 - (. - shadow_code), 1, 0x90\n"
		   "movb 0x2000, %al\noutb %al, $0x51\nhlt");

static void window_behind_sti(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, shadow_code);
	vm_vector(&vm, 0x21, CODE + 0x100);
	vm.callbacks.try_push_interrupts = push_when_ready;
	assert_int_equal(vm_run(&vm), 7);
	if (strcmp(vm.trace, "outb:51=3 halt:0 "))
		assert_string_equal(vm.trace, "outb:51=2 halt:0 ");
	vm_destroy(&vm);
}

/* Nobody asks for the window: the guest runs on undisturbed. */
GUEST(flags_code, "outb %al, $0x50\nsti\nnop\noutb %al, $0x51\ncli\noutb %al, $0x52\nhlt");

static int note_flags(void *opaque, uint16_t addr, uint8_t data)
{
	struct vm *vm = opaque;

	vm_note(vm, "%x:%d%d ", addr, kvm_get_interrupt_flag(vm->kvm, 0),
		kvm_is_ready_for_interrupt_injection(vm->kvm, 0));
	return 0;
}

static void flags_of_the_exit(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, flags_code);
	vm.callbacks.outb = note_flags;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "50:00 51:11 52:00 halt:0 ");
	vm_destroy(&vm);
}

/* Only one is held, and it is the last. */
static int push_twice(void *opaque)
{
	struct vm *vm = opaque;

	if (!kvm_is_ready_for_interrupt_injection(vm->kvm, 0) || vm->ret_push)
		return 1;
	vm->ret_push = 1;
	assert_int_equal(kvm_inject_irq(vm->kvm, 0, 0x22), 0);
	assert_int_equal(kvm_inject_irq(vm->kvm, 0, 0x21), 0);
	return 0;
}

static void second_replaces_first(void **state)
{
	struct vm vm;

	load_irq(&vm);
	vm.callbacks.try_push_interrupts = push_twice;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "outb:50=0 outb:51=0 halt:0 ");
	vm_destroy(&vm);
}

static void injection_refused(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	FAILS(EINVAL, kvm_inject_irq(vm.kvm, 0, 256));
	FAILS(EINVAL, kvm_inject_irq(vm.kvm, 0, -1u));
	FAILS(EINVAL, kvm_inject_irq(vm.kvm, 1, 0x21));
	FAILS(EINVAL, kvm_inject_irq(vm.kvm, -1, 0x21));
	FAILS(EINVAL, kvm_inject_nmi(vm.kvm, 1));
	FAILS(EINVAL, kvm_inject_nmi(vm.kvm, 1 << 30));
	vm_destroy(&vm);
	vm_create_with_irqchip(&vm, MEM);
	FAILS(ENXIO, kvm_inject_irq(vm.kvm, 0, 0x20));
	vm_destroy(&vm);
}

/* ---- NMI ---------------------------------------------------------------------------------------------- */

/* Vector 2 to 0x1100. Interrupts are off. */
GUEST(nmi_code, "outb %al, $0x50\noutb %al, $0x51\nhlt\n"
		".fill 0x100 - (. - nmi_code), 1, 0x90\n"
		"outb %al, $0x72\noutb %al, $0x73\niretw");

static void push_one_nmi(void *opaque)
{
	struct vm *vm = opaque;

	if (vm->ret_push++ == 0)
		assert_int_equal(kvm_inject_nmi(vm->kvm, 0), 0);
}

static void run_nmi(struct vm *vm, void (*push)(void *opaque))
{
	vm_create(vm, MEM);
	LOAD(vm, nmi_code);
	vm_vector(vm, 2, CODE + 0x100);
	vm->callbacks.push_nmi = push;
	assert_int_equal(vm_run(vm), 7);
}

static void nmi(void **state)
{
	struct vm vm;

	run_nmi(&vm, push_one_nmi);
	assert_string_equal(vm.trace, "outb:72=0 outb:73=0 outb:50=0 outb:51=0 halt:0 ");
	vm_destroy(&vm);
}

static void push_two_nmis(void *opaque)
{
	struct vm *vm = opaque;

	if (vm->ret_push++ < 2)
		assert_int_equal(kvm_inject_nmi(vm->kvm, 0), 0);
}

/* The second comes while the first is served, and waits for IRET (SDM 3:6.7.1), or for one more as above. */
static void nmi_in_nmi(void **state)
{
	struct vm vm;

	run_nmi(&vm, push_two_nmis);
	if (strcmp(vm.trace, "outb:72=0 outb:73=0 outb:50=0 outb:72=0 outb:73=0 outb:51=0 halt:0 "))
		assert_string_equal(vm.trace,
			"outb:72=0 outb:73=0 outb:72=0 outb:73=0 outb:50=0 outb:51=0 halt:0 ");
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(injection),
		cmocka_unit_test(window_behind_sti),
		cmocka_unit_test(flags_of_the_exit),
		cmocka_unit_test(second_replaces_first),
		cmocka_unit_test(injection_refused),
		cmocka_unit_test(nmi),
		cmocka_unit_test(nmi_in_nmi),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
