/* SPDX-License-Identifier: MIT */
/* Accesses to addresses without memory, of every size. */
#include <errno.h>
#include <string.h>

#include "vm.h"

GUEST(mmio_code, "movw $0xa000, %ax; movw %ax, %ds\n"
		 "movb $0x77, 0x10\n"
		 "movw $0x1234, 0x12\n"
		 "movl $0x12345678, 0x14\n"
		 "movb 0x20, %bl\nmovb %bl, %cs:0x2000\n"
		 "movw 0x22, %bx\nmovw %bx, %cs:0x2002\n"
		 "movl 0x24, %ebx\nmovl %ebx, %cs:0x2004\n"
		 "hlt");

static void mmio(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, mmio_code);
	vm.in_value = 0x89abcdef;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "write:a0010/1=77 write:a0012/2=1234 write:a0014/4=12345678 "
				      "read:a0020/1 read:a0022/2 read:a0024/4 halt:0 ");
	assert_memory_equal(vm.mem + 0x2000, "\xef\0\xef\xcd\xef\xcd\xab\x89", 8);
	vm_destroy(&vm);
}

GUEST(mmio_quad_code, "movw $0xa000, %ax; movw %ax, %ds\n"
		      "movq 0x20, %mm0\nmovq %mm0, 0x10\nmovq %mm0, %cs:0x2000\nhlt");

static void mmio_quad(void **state)
{
	struct vm vm;
	int r;

	vm_create(&vm, MEM);
	LOAD(&vm, mmio_quad_code);
	vm.in_value = 0x1122334455667788;
	r = vm_run(&vm);
	if (r == -EIO)
		vm_skip(&vm, "no MMX instruction can be emulated");
	assert_int_equal(r, 7);
	assert_string_equal(vm.trace, "read:a0020/8 write:a0010/8=1122334455667788 halt:0 ");
	assert_memory_equal(vm.mem + 0x2000, &vm.in_value, 8);
	vm_destroy(&vm);
}

static void mmio_ends_run(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, mmio_code);
	vm.ret_mmio = 44;
	vm.in_value = 0x89abcdef;
	for (int i = 0; i < 6; i++)
		assert_int_equal(vm_run(&vm), 44);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "write:a0010/1=77 write:a0012/2=1234 write:a0014/4=12345678 "
				      "read:a0020/1 read:a0022/2 read:a0024/4 halt:0 ");
	assert_memory_equal(vm.mem + 0x2000, "\xef\0\xef\xcd\xef\xcd\xab\x89", 8);
	vm_destroy(&vm);
}

/*
 * Four bytes with the page's last one in memory: the other three arrive as an access of their own. Where video memory
 * begins nobody is told of it; at its end, the handler is.
 */
GUEST(three_code, "movw $0x9f00, %ax; movw %ax, %ds\n"
		  "movl $0x12345678, 0xfff\n"
		  "movl 0xfff, %ebx\n"
		  "movw $0xbf00, %ax; movw %ax, %ds\n"
		  "movl 0xffd, %ebx\n"
		  "movl $0x12345678, 0xffd\n"
		  "hlt");

static void mmio_three_bytes(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, three_code);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "read:bfffd/3 write:bfffd/3=345678 halt:0 ");
	assert_int_equal(vm.mem[0x9ffff], 0x78);
	assert_int_equal(vm.mem[0xc0000], 0x12);
	vm_destroy(&vm);
}

/* The same with three bytes below the edge: memory ends a page earlier and begins again at the edge. */
GUEST(three_below_code, "movw $0x9f00, %ax; movw %ax, %ds\n"
			"movl $0x12345678, 0xffd\n"
			"movl 0xffd, %ebx\n"
			"movb 0xffc, %bl\n"
			"hlt");

static void mmio_three_below(void **state)
{
	struct vm vm;
	u8 *above;

	vm_create(&vm, 0x9f000);
	above = kvm_create_phys_mem(vm.kvm, 0xa0000, PAGE_SIZE, 0, 1);
	assert_non_null(above);
	LOAD(&vm, three_below_code);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "read:9fffc/1 halt:0 ");
	assert_int_equal(above[0], 0x12);
	vm_destroy(&vm);
}

/* Without handlers reads are all ones and writes vanish. */
static void mmio_unhandled(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, mmio_code);
	vm.callbacks.mmio_read = NULL;
	vm.callbacks.mmio_write = NULL;
	assert_int_equal(vm_run(&vm), 7);
	assert_memory_equal(vm.mem + 0x2000, "\xff\0\xff\xff\xff\xff\xff\xff", 8);
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(mmio),
		cmocka_unit_test(mmio_quad),
		cmocka_unit_test(mmio_ends_run),
		cmocka_unit_test(mmio_three_bytes),
		cmocka_unit_test(mmio_three_below),
		cmocka_unit_test(mmio_unhandled),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
