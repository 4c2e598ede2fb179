/* SPDX-License-Identifier: MIT */
/* Debugging a guest from outside. */

#include "vm.h"

GUEST(nop_code, "nop\nnop\nhlt");

static void single_step(void **state)
{
	struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP};
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, nop_code);
	assert_int_equal(kvm_set_guest_debug(vm.kvm, 0, &debug), 0);
	assert_int_equal(vm_run(&vm), 8);
	assert_int_equal(vm_run(&vm), 8);
	assert_string_equal(vm.trace, "debug:1@1001 debug:1@1002 ");
	debug.control = 0;
	assert_int_equal(kvm_set_guest_debug(vm.kvm, 0, &debug), 0);
	assert_int_equal(vm_run(&vm), 7);
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(single_step),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
