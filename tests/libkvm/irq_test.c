/* SPDX-License-Identifier: MIT */
/* Interrupts: injected vectors, lines, and the state of the chips. */
#include <errno.h>
#include <string.h>

#include "vm.h"

/* Vector 0x21 to 0x1100, which reports. */
GUEST(irq_code, "movw $0x1100, 0x84\nmovw $0, 0x86\n"
		"outb %al, $0x50\n"
		"sti\nnop\n1: jmp 1b\n"
		".fill 0x100 - (. - irq_code), 1, 0x90\noutb %al, $0x51\nhlt");

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

	vm_create(&vm, MEM);
	LOAD(&vm, irq_code);
	vm.callbacks.try_push_interrupts = push_when_ready;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "outb:50=0 outb:51=0 halt:0 ");
	assert_int_equal(kvm_inject_irq(vm.kvm, 0, 256), -EINVAL);
	vm_destroy(&vm);
}

static void lines(void **state)
{
	struct kvm_irqchip chip;
	struct kvm_lapic_state lapic;
	struct kvm_pit_state pit;
	struct vm vm;

	vm_create(&vm, MEM);
	assert_false(kvm_irqchip_in_kernel(vm.kvm));
	assert_false(kvm_pit_in_kernel(vm.kvm));
	assert_int_equal(kvm_set_irq_level(vm.kvm, 4, 1), 0);
	memset(&chip, 0x5a, sizeof(chip));
	assert_int_equal(kvm_get_irqchip(vm.kvm, &chip), 0);
	assert_int_equal(chip.chip_id, 0x5a5a5a5a); /* not touched */
	vm_destroy(&vm);

	vm_create_with_irqchip(&vm, MEM);
	assert_true(kvm_irqchip_in_kernel(vm.kvm));
	assert_true(kvm_pit_in_kernel(vm.kvm));
	assert_int_equal(kvm_set_irq_level(vm.kvm, 4, 1), 1);
	chip.chip_id = KVM_IRQCHIP_PIC_MASTER;
	assert_int_equal(kvm_get_irqchip(vm.kvm, &chip), 0);
	assert_int_equal(chip.chip.pic.irr & 0x10, 0x10);
	assert_int_equal(kvm_set_irqchip(vm.kvm, &chip), 0);
	chip.chip_id = 3;
	assert_int_equal(kvm_get_irqchip(vm.kvm, &chip), -EINVAL);
	assert_int_equal(kvm_get_lapic(vm.kvm, 0, &lapic), 0);
	assert_int_equal(kvm_set_lapic(vm.kvm, 0, &lapic), 0);
	assert_int_equal(kvm_get_pit(vm.kvm, &pit), 0);
	assert_int_equal(kvm_set_pit(vm.kvm, &pit), 0);
	assert_int_equal(kvm_inject_irq(vm.kvm, 0, 0x20), -ENXIO);
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(injection),
		cmocka_unit_test(lines),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
