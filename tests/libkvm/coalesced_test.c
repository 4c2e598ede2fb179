/* SPDX-License-Identifier: MIT */
/* Writes that are collected and delivered later. */
#include <errno.h>

#include "vm.h"

GUEST(mmio_code, "movw $0xa000, %ax; movw %ax, %ds\n"
		 "movb $0x77, 0x10\n"
		 "movw 0x20, %bx\n"
		 "movw %bx, %cs:0x2000\n"
		 "hlt");

/* Collected writes arrive before the exit that follows them. */
static void coalesced_writes(void **state)
{
	struct vm vm;
	int r;

	vm_create(&vm, MEM);
	LOAD(&vm, mmio_code);
	r = kvm_register_coalesced_mmio(vm.kvm, 0xa0000, 0x18);
	if (r == -ENOSYS)
		vm_skip(&vm, "KVM_CAP_COALESCED_MMIO is not there");
	assert_int_equal(r, 0);
	vm.in_value = 0xbeef;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "write:a0010/1=77 read:a0020/2 halt:0 ");
	assert_int_equal(kvm_unregister_coalesced_mmio(vm.kvm, 0xa0000, 0x18), 0);
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(coalesced_writes),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
