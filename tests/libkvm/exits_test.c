/* SPDX-License-Identifier: MIT */
/* Each exit reaches its callback, and what the callback says reaches the guest or the caller of kvm_run. */
#include <errno.h>
#include <string.h>

#include "vm.h"

GUEST(ports_code, "movb $0x5a, %al; outb %al, $0x10\n"
		  "movw $0x1234, %ax; outw %ax, $0x12\n"
		  "movl $0x12345678, %eax; outl %eax, $0x14\n"
		  "inb $0x20, %al; movb %al, 0x2000\n"
		  "inw $0x22, %ax; movw %ax, 0x2002\n"
		  "inl $0x24, %eax; movl %eax, 0x2004\n"
		  "hlt");

static void ports(void **state)
{
	struct vm vm;
	u32 dword;

	vm_create(&vm, MEM);
	LOAD(&vm, ports_code);
	vm.in_value = 0xcafe1200;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(
		vm.trace, "outb:10=5a outw:12=1234 outl:14=12345678 inb:20 inw:22 inl:24 halt:0 ");
	assert_int_equal(vm.mem[0x2000], 0x00);
	assert_int_equal(vm.mem[0x2002], 0x01);
	memcpy(&dword, vm.mem + 0x2004, 4);
	assert_int_equal(dword, 0xcafe1201);
	vm_destroy(&vm);
}

GUEST(string_code, "cld\nmovw $0x2000, %di; movw $5, %cx; movw $0x30, %dx\n"
		   "rep insb\n"
		   "movw $0x2000, %si; movw $3, %cx; movw $0x31, %dx\n"
		   "rep outsb\n"
		   "hlt");

static void strings(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, string_code);
	vm.in_value = 0x40;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "inb:30 inb:30 inb:30 inb:30 inb:30 "
				      "outb:31=40 outb:31=41 outb:31=42 halt:0 ");
	assert_memory_equal(vm.mem + 0x2000, "@ABCD", 5);
	vm_destroy(&vm);
}

/* A handler that wants out ends kvm_run with its value, and the next run goes on behind the instruction. */
static void handler_ends_run(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, ports_code);
	vm.ret_io = 33;
	assert_int_equal(vm_run(&vm), 33);
	assert_string_equal(vm.trace, "outb:10=5a ");
	vm.ret_io = 0;
	vm_forget(&vm);
	assert_int_equal(vm_run(&vm), 7);
	assert_memory_equal(vm.trace, "outw:12=1234 ", 13);
	vm_destroy(&vm);
}

GUEST(mmio_code, "movw $0xa000, %ax; movw %ax, %ds\n"
		 "movb $0x77, 0x10\n"
		 "movw 0x20, %bx\n"
		 "movw %bx, %cs:0x2000\n"
		 "hlt");

static void mmio(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, mmio_code);
	vm.in_value = 0xbeef;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "write:a0010/1=77 read:a0020/2 halt:0 ");
	assert_int_equal(vm.mem[0x2000], 0xef);
	assert_int_equal(vm.mem[0x2001], 0xbe);
	vm_destroy(&vm);
}

/* Without handlers: reads are all ones, writes vanish, halt ends the run with 1. */
static void no_handlers(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, ports_code);
	memset(&vm.callbacks, 0, sizeof(vm.callbacks));
	assert_int_equal(vm_run(&vm), 1);
	assert_int_equal(vm.mem[0x2000], 0xff);
	assert_int_equal(vm.mem[0x2007], 0xff);
	LOAD(&vm, mmio_code);
	assert_int_equal(vm_run(&vm), 1);
	assert_int_equal(vm.mem[0x2000], 0xff);
	vm_destroy(&vm);
}

/* An empty IDT and an exception: triple fault. */
GUEST(fault_code, "lidtw %cs:0x1100\nud2");

static void triple_fault(void **state)
{
	struct vm vm;
	int r;

	vm_create(&vm, MEM);
	LOAD(&vm, fault_code);
	memset(vm.mem + 0x1100, 0, 6);
	r = vm_run(&vm);
	if (r == -EIO)
		vm_skip(&vm, "this KVM emulates real mode, and not its triple faults");
	assert_int_equal(r, 7);
	assert_string_equal(vm.trace, "shutdown ");
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(ports),
		cmocka_unit_test(strings),
		cmocka_unit_test(handler_ends_run),
		cmocka_unit_test(mmio),
		cmocka_unit_test(no_handlers),
		cmocka_unit_test(triple_fault),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
