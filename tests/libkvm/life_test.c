/* SPDX-License-Identifier: MIT */
/* A context, its VM and its vCPUs: made, refused, made twice, and gone without a trace. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "vm.h"

static void init_refuses(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};

	errno = 0;
	assert_null(uv_kvm_init(&cb, NULL, "steam", vm_quiet, NULL));
	assert_int_equal(errno, EINVAL);
	assert_null(uv_kvm_init(NULL, NULL, vm_engine, vm_quiet, NULL));
	kvm_finalize(NULL);
}

static void engine_from_environment(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm;

	setenv("LIBKVM_ENGINE", vm_engine, 1);
	kvm = kvm_init(&cb, NULL);
	unsetenv("LIBKVM_ENGINE");
	assert_non_null(kvm);
	assert_string_equal(uv_kvm_engine(kvm), vm_engine);
	kvm_finalize(kvm);
}

/* A context without a VM leaves every descriptor of the program alone. */
static void finalize_early(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm = uv_kvm_init(&cb, NULL, vm_engine, vm_quiet, NULL);
	int before = dup(0);

	assert_non_null(kvm);
	assert_int_equal(kvm_check_extension(kvm, KVM_CAP_USER_MEMORY), 1);
	assert_int_equal(kvm_check_extension(kvm, KVM_CAP_NR_MEMSLOTS), 1);
	assert_int_equal(kvm_check_extension(kvm, 99999), 0);
	assert_int_equal(kvm_get_regs(kvm, 0, &(struct kvm_regs){.rax = 0}), -EBADF);
	kvm_finalize(kvm);
	assert_int_not_equal(fcntl(0, F_GETFD), before < 0 ? 0 : -1);
	close(before);
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void finalize_closes_all(void **state)
{
	unsigned before = open_descriptors();
	struct vm vm;

	vm_create(&vm, MEM);
	for (int i = 0; i < 4; i++)
		assert_int_equal(kvm_create_vcpu(vm.kvm, i), 0);
	assert_non_null(kvm_create_phys_mem(vm.kvm, 16 << 20, PAGE_SIZE, 0, 1));
	vm_destroy(&vm);
	assert_int_equal(open_descriptors(), before);
}

static void vm_only_once(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_create_vm(vm.kvm), -EEXIST);
	assert_int_equal(errno, EEXIST);
	vm_destroy(&vm);
}

/* vCPU 0 comes with its first use and can still be asked for once. */
static void vcpu_zero(void **state)
{
	struct kvm_regs regs;
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_get_regs(vm.kvm, 0, &regs), 0);
	assert_int_equal(regs.rip, 0xfff0);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 0), 0);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 0), -EEXIST);
	assert_int_equal(kvm_get_regs(vm.kvm, 1, &regs), -EINVAL);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), 0);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), -EEXIST);
	assert_int_equal(kvm_create_vcpu(vm.kvm, -1), -EINVAL);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1 << 30), -EINVAL);
	assert_int_equal(kvm_get_regs(vm.kvm, 1, &regs), 0);
	vm_destroy(&vm);
}

static void many_vcpus(void **state)
{
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	for (int i = 0; i < 20; i++)
		assert_int_equal(kvm_create_vcpu(vm.kvm, i), 0);
	vm_destroy(&vm);
}

GUEST(in_code, "inb $0x20, %al\nhlt");
GUEST(out_code, "outb %al, $0x10\nhlt");

/* Nothing is shared between two contexts. */
static void two_contexts(void **state)
{
	struct vm a, b;

	vm_create(&a, MEM);
	vm_create(&b, 0x10000);
	LOAD(&a, in_code);
	LOAD(&b, out_code);
	assert_int_equal(vm_run(&b), 7);
	assert_int_equal(vm_run(&a), 7);
	assert_string_equal(b.trace, "outb:10=0 halt:0 ");
	assert_false(kvm_is_containing_region(b.kvm, 0x20000, 1));
	vm_destroy(&b);
	assert_true(kvm_is_containing_region(a.kvm, 0x20000, 1));
	vm_destroy(&a);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(init_refuses),
		cmocka_unit_test(engine_from_environment),
		cmocka_unit_test(finalize_early),
		cmocka_unit_test(finalize_closes_all),
		cmocka_unit_test(vm_only_once),
		cmocka_unit_test(vcpu_zero),
		cmocka_unit_test(many_vcpus),
		cmocka_unit_test(two_contexts),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
