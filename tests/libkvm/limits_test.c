/* SPDX-License-Identifier: MIT */
/* Many of everything: contexts, vCPUs, regions; and nothing that grows when they come and go. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "vm.h"

GUEST(in_out_code, "inb $0x20, %al\noutb %al, $0x10\nhlt");

/* cmocka's checks jump out of the test, which a thread cannot: it counts what went wrong. */
static void *one_life(void *opaque)
{
	struct vm *vm = opaque;
	int wrong = 0;

	for (int i = 0; i < 3; i++) {
		wrong += vm_try_create(vm, MEM) != 0;
		memcpy(vm->mem + CODE, in_out_code, (size_t)(in_out_code_end - in_out_code));
		wrong += vm_try_start(vm, 0, CODE) != 0;
		vm->in_value = 0x40u + (u32)i;
		wrong += vm_run(vm) != 7;
		wrong += strncmp(vm->trace, "inb:20 outb:10=4", 16) != 0;
		vm_destroy(vm);
	}
	return (void *)(long)wrong;
}

#define CONTEXTS 8

static void contexts_in_threads(void **state)
{
	static struct vm vms[CONTEXTS];
	pthread_t threads[CONTEXTS];
	void *wrong;

	for (int i = 0; i < CONTEXTS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, one_life, &vms[i]), 0);
	for (int i = 0; i < CONTEXTS; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
}

/* All at once in one thread, and gone in another order. */
static void contexts_at_once(void **state)
{
	static struct vm vms[CONTEXTS];

	for (int i = 0; i < CONTEXTS; i++) {
		vm_create(&vms[i], MEM);
		LOAD(&vms[i], in_out_code);
		vms[i].in_value = 0x40u + (u32)i;
	}
	for (int i = 0; i < CONTEXTS; i += 2)
		vm_destroy(&vms[i]);
	for (int i = CONTEXTS - 1; i > 0; i -= 2) {
		char expected[40];

		assert_int_equal(vm_run(&vms[i]), 7);
		snprintf(expected, sizeof(expected), "inb:20 outb:10=%x halt:0 ", 0x40 + i);
		assert_string_equal(vms[i].trace, expected);
		vm_destroy(&vms[i]);
	}
}

static void set_runnable(struct vm *vm, int vcpu)
{
	struct kvm_mp_state mp = {KVM_MP_STATE_RUNNABLE};

	assert_int_equal(kvm_set_mpstate(vm->kvm, vcpu, &mp), 0);
}

#define MOST_VCPUS 5000

/* As many as there may be, and then -EINVAL; the last one runs like the first. */
static void vcpus_to_the_end(void **state)
{
	struct vm vm;
	int n = 0, last, r;

	vm_create_with_irqchip(&vm, MEM);
	while (n < MOST_VCPUS && (r = kvm_create_vcpu(vm.kvm, n)) == 0)
		n++;
	assert_in_range(n, 4, MOST_VCPUS - 1);
	assert_int_equal(errno, -r);
	if (r != -EMFILE) /* each has a descriptor, and there may be fewer */
		assert_int_equal(r, -EINVAL);
	last = n - 1;
	FAILS(EEXIST, kvm_create_vcpu(vm.kvm, last));
	memcpy(vm.mem + CODE, in_out_code, (size_t)(in_out_code_end - in_out_code));
	vm_start(&vm, last, CODE);
	set_runnable(&vm, last);
	vm.ret_io = 9;
	assert_int_equal(kvm_run(vm.kvm, last, &vm.env), 9);
	vm_destroy(&vm);
}

#define REGIONS 1000

/* Two pages at every fourth, each its own. */
static unsigned long region_at(int i)
{
	return 0x10000000ul + (unsigned long)i * 4 * PAGE_SIZE;
}

static void thousand_regions(void **state)
{
	static u8 *mem[REGIONS];
	struct vm vm;

	vm_create(&vm, MEM);
	for (int i = 0; i < REGIONS; i++) {
		mem[i] = kvm_create_phys_mem(vm.kvm, region_at(i), 2 * PAGE_SIZE, i % 2, 1);
		assert_non_null(mem[i]);
	}
	for (int i = 0; i < REGIONS; i++) {
		assert_true(kvm_is_containing_region(vm.kvm, region_at(i), 2 * PAGE_SIZE));
		assert_false(kvm_is_containing_region(vm.kvm, region_at(i), 3 * PAGE_SIZE));
	}
	for (int i = 0; i < REGIONS; i += 2)
		kvm_destroy_phys_mem(vm.kvm, region_at(i), 0);
	for (int i = 0; i < REGIONS; i++)
		assert_int_equal(kvm_is_containing_region(vm.kvm, region_at(i), 1), i % 2);
	vm_destroy(&vm);
}

static unsigned long pages_mapped(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	assert_non_null(statm);
	assert_int_equal(fscanf(statm, "%lu", &pages), 1);
	fclose(statm);
	return pages;
}

static void live_and_die(void)
{
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), 0);
	assert_non_null(kvm_create_phys_mem(vm.kvm, 0x10000000, 64 << 10, 1, 1));
	LOAD(&vm, in_out_code);
	vm.ret_io = 9;
	assert_int_equal(vm_run(&vm), 9);
	vm_destroy(&vm);
}

/* Private mappings are not counted around each test; here they are, once malloc has what it wants. */
static void nothing_grows(void **state)
{
	unsigned long before;

	if (UV_SANITIZED)
		return; /* they keep what was freed */

	for (int i = 0; i < 4; i++)
		live_and_die();
	before = pages_mapped();
	for (int i = 0; i < 12; i++)
		live_and_die();
	assert_in_range(pages_mapped(), 0, before + 64);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(contexts_in_threads),
		cmocka_unit_test(contexts_at_once),
		cmocka_unit_test(vcpus_to_the_end),
		cmocka_unit_test(thousand_regions),
		cmocka_unit_test(nothing_grows),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
