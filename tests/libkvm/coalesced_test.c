/* SPDX-License-Identifier: MIT */
/* Writes that are collected and delivered later. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "vm.h"

GUEST(mmio_code, "movw $0xa000, %ax; movw %ax, %ds\n"
		 "movb $0x77, 0x10\n"
		 "movw 0x20, %bx\n"
		 "movw %bx, %cs:0x2000\n"
		 "hlt");

static void collect(struct vm *vm, u64 gpa, u32 size)
{
	NEEDS(vm, KVM_CAP_COALESCED_MMIO);
	assert_int_equal(kvm_register_coalesced_mmio(vm->kvm, gpa, size), 0);
}

/* Collected writes arrive before the exit that follows them. */
static void coalesced_writes(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, mmio_code);
	collect(&vm, 0xa0000, 0x18);
	vm.in_value = 0xbeef;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "write:a0010/1=77 read:a0020/2 halt:0 ");
	assert_int_equal(kvm_unregister_coalesced_mmio(vm.kvm, 0xa0000, 0x18), 0);
	vm_destroy(&vm);
}

/* Writes of every size, in their order, between two that are not collected. */
GUEST(sizes_code, "movw $0xa000, %ax; movw %ax, %ds\n"
		  "movb $1, 0x1000\n"
		  "movb $2, 0\nmovw $0x303, 2\nmovl $0x4040404, 4\n"
		  "movb $5, 0x1000\n"
		  "hlt");

/* What is collected cannot end the run: there is no instruction to stop behind. */
static void in_order(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, sizes_code);
	collect(&vm, 0xa0000, PAGE_SIZE);
	vm.ret_mmio = 9;
	vm.stop_at = 2;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "write:a1000/1=1 write:a0000/1=2 write:a0002/2=303 "
				      "write:a0004/4=4040404 write:a1000/1=5 halt:0 ");
	vm_destroy(&vm);
}

/* More than a ring holds (KVM_COALESCED_MMIO_MAX): each arrives once, and in order. */
GUEST(many_code, "movw $0xa000, %ax; movw %ax, %ds\nxorl %eax, %eax\n"
		 "1: incl %eax\nmovl %eax, 0\ncmpl $1000, %eax\njne 1b\nhlt");

static int count_writes(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	struct vm *vm = opaque;
	u32 value;

	memcpy(&value, data, sizeof(value));
	vm->calls += value == (u32)vm->calls + 1 && addr == 0xa0000 && len == 4;
	return 0;
}

static void ring_overflows(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, many_code);
	collect(&vm, 0xa0000, 4);
	vm.callbacks.mmio_write = count_writes;
	assert_int_equal(vm_run(&vm), 7);
	assert_int_equal(vm.calls, 1000);
	vm_destroy(&vm);
}

static void without_handler(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, many_code);
	collect(&vm, 0xa0000, 4);
	vm.callbacks.mmio_write = NULL;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "halt:0 ");
	vm_destroy(&vm);
}

/* Once it ended, a handler can end the run at once again. */
static void ended(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, sizes_code);
	collect(&vm, 0xa0000, 2 * PAGE_SIZE);
	assert_int_equal(kvm_unregister_coalesced_mmio(vm.kvm, 0xa0000, 2 * PAGE_SIZE), 0);
	assert_int_equal(
		kvm_unregister_coalesced_mmio(vm.kvm, 0xa0000, 2 * PAGE_SIZE), 0); /* none there */
	vm.ret_mmio = 9;
	assert_int_equal(vm_run(&vm), 9);
	assert_string_equal(vm.trace, "write:a1000/1=1 ");
	vm_destroy(&vm);
}

static int end_thread(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	vm_note(opaque, "ends ");
	pthread_exit(opaque);
}

static void *run_in_thread(void *opaque)
{
	vm_run(opaque);
	return NULL;
}

/*
 * A thread that ends in the handler is in nobody's way: the write that it was at is handed over again. The read that
 * had brought it out is lost with it.
 */
static void thread_ends_in_handler(void **state)
{
	pthread_t thread;
	struct vm vm;
	void *result;
	int (*handler)(void *, uint64_t, uint8_t *, int);

	vm_create(&vm, MEM);
	LOAD(&vm, mmio_code);
	collect(&vm, 0xa0000, 0x18);
	handler = vm.callbacks.mmio_write;
	vm.callbacks.mmio_write = end_thread;
	assert_int_equal(pthread_create(&thread, NULL, run_in_thread, &vm), 0);
	pthread_join(thread, &result);
	assert_ptr_equal(result, &vm);
	vm.callbacks.mmio_write = handler;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "ends write:a0010/1=77 halt:0 ");
	vm_destroy(&vm);
}

static void without_vm(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm = uv_kvm_init(&cb, NULL, vm_engine, vm_quiet, NULL);

	assert_non_null(kvm);
	FAILS(EBADF, kvm_register_coalesced_mmio(kvm, 0xa0000, PAGE_SIZE));
	FAILS(EBADF, kvm_unregister_coalesced_mmio(kvm, 0xa0000, PAGE_SIZE));
	kvm_finalize(kvm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(coalesced_writes),
		cmocka_unit_test(in_order),
		cmocka_unit_test(ring_overflows),
		cmocka_unit_test(without_handler),
		cmocka_unit_test(ended),
		cmocka_unit_test(thread_ends_in_handler),
		cmocka_unit_test(without_vm),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
