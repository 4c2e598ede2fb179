/* SPDX-License-Identifier: MIT */
/* What today's kernels no longer have or no longer ask. */
#include <errno.h>

#include "vm.h"

static void gone_and_small(void **state)
{
	unsigned int pages = 99;
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_assign_pci_device(vm.kvm, NULL), -ENOTTY);
	assert_int_equal(kvm_assign_irq(vm.kvm, NULL), -ENOTTY);
	assert_int_equal(kvm_destroy_memory_region_works(vm.kvm), 1);
	assert_int_equal(kvm_has_sync_mmu(vm.kvm), 1);
	if (kvm_check_extension(vm.kvm, KVM_CAP_MMU_SHADOW_CACHE_CONTROL)) {
		assert_int_equal(kvm_set_shadow_pages(vm.kvm, 200), 0);
		assert_int_equal(kvm_get_shadow_pages(vm.kvm, &pages), 0);
		assert_int_equal(pages, 200);
	}
	kvm_set_cr8(vm.kvm, 0, 5);
	assert_int_equal(kvm_get_cr8(vm.kvm, 0), 5);
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(gone_and_small),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
