/* SPDX-License-Identifier: MIT */
/*
 * What only the driver for the Microsoft hypervisor has: ways that other tests do not come by.
 */
#include <string.h>
#include <sys/mman.h>

#include "libkvm/mshv/mshv.h"
#include "vm.h"

static struct partition *partition_of(const struct vm *vm)
{
	return ((struct mshv *)vm->kvm->state)->vm;
}

/* Ports, a string, device memory, a vector when it can be taken, a halt. */
GUEST(all_code, "outb %al, $0x10\ninb $0x20, %al\nmovb %al, 0x2000\n"
		"movw $0x2000, %si\nmovw $2, %cx\nmovw $0x30, %dx\nrep outsb\n"
		"movw $0xa000, %ax\nmovw %ax, %ds\nmovw $0x1234, 0x10\nmovb 0x20, %bl\n"
		"sti\nnop\n1: jmp 1b\n"
		".fill 0x100 - (. - all_code), 1, 0x90\noutb %al, $0x51\nhlt");

static int push_when_ready(void *opaque)
{
	struct vm *vm = opaque;

	if (!kvm_is_ready_for_interrupt_injection(vm->kvm, 0) || vm->ret_push)
		return 1;
	vm->ret_push = 1;
	assert_int_equal(kvm_inject_irq(vm->kvm, 0, 0x21), 0);
	return 0;
}

/* A hypervisor need not have the page; registers are asked for one by one then. */
static void without_register_page(void **state)
{
	struct vm vm;
	struct vp *v;

	vm_create(&vm, MEM);
	LOAD(&vm, all_code);
	vm_vector(&vm, 0x21, CODE + 0x100);
	vm.callbacks.try_push_interrupts = push_when_ready;
	vm.in_value = 0x42;
	v = partition_of(&vm)->vps[0];
	assert_non_null(v->page);
	munmap(v->page, PAGE_SIZE);
	v->page = NULL;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "outb:10=0 inb:20 outb:30=42 outb:30=0 write:a0010/2=1234 "
				      "read:a0020/1 outb:51=0 halt:0 ");
	vm_destroy(&vm);
}

GUEST(out_code, "movb 0x2000, %al\noutb %al, $0x10");

static int stop_with_it(void *opaque, uint16_t addr, uint8_t data)
{
	return data;
}

/* A partition is made for memory, and made again with local APICs: the memory is still there, and what was asked of it. */
static void irqchip_after_memory(void **state)
{
	struct vm vm;
	u64 written[1];
	u8 *mem;

	memset(&vm, 0, sizeof(vm));
	vm.kvm = uv_kvm_init(&vm.callbacks, &vm, vm_engine, vm_quiet, NULL);
	assert_non_null(vm.kvm);
	assert_int_equal(kvm_create_vm(vm.kvm), 0);
	mem = kvm_create_phys_mem(vm.kvm, 0, 0x4000, 1, 1);
	assert_non_null(mem);
	assert_false(partition_of(&vm)->lapics);
	kvm_create_irqchip(vm.kvm);
	assert_true(kvm_irqchip_in_kernel(vm.kvm));
	assert_true(partition_of(&vm)->lapics);
	mem[0x2000] = 0x77;
	memcpy(mem + CODE, out_code, (size_t)(out_code_end - out_code));
	vm_start(&vm, 0, CODE);
	vm.callbacks.outb = stop_with_it;
	assert_int_equal(vm_run(&vm), 0x77);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0, written), 0);
	kvm_finalize(vm.kvm);
}

/* What is looked up is what the slots are. */
static void places_follow_slots(void **state)
{
	struct partition *p;
	struct vm vm;
	u8 *a, *b;

	vm_create(&vm, MEM);
	p = partition_of(&vm);
	a = kvm_create_phys_mem(vm.kvm, 0x10000000, PAGE_SIZE, 0, 1);
	b = kvm_create_phys_mem(vm.kvm, 0x20000000, PAGE_SIZE, 0, 0);
	assert_ptr_equal(memory_at(p, 0x10000123, true), a + 0x123);
	assert_ptr_equal(memory_at(p, 0x20000fff, false), b + 0xfff);
	assert_null(memory_at(p, 0x20000fff, true)); /* read-only */
	assert_null(memory_at(p, 0x10001000, false));
	kvm_destroy_phys_mem(vm.kvm, 0x10000000, 0);
	assert_null(memory_at(p, 0x10000123, false));
	vm_destroy(&vm);
}

/* ARCH_CAPABILITIES: RDCL_NO, without which guests change page tables at each system call. */
GUEST(rdcl_code, "movl $0x10a, %ecx\nrdmsr\nandb $1, %al\noutb %al, $0x10");

static void work_arounds_are_spared(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, rdcl_code);
	vm.callbacks.outb = stop_with_it;
	assert_int_equal(vm_run(&vm), 1);
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(without_register_page),
		cmocka_unit_test(irqchip_after_memory),
		cmocka_unit_test(places_follow_slots),
		cmocka_unit_test(work_arounds_are_spared),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
