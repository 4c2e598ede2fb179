/* SPDX-License-Identifier: MIT */
/* Port accesses reach their callbacks, and what these say reaches the guest or the caller of kvm_run. */
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

/* Backwards, in words; addresses go down, the order of the ports' bytes does not. */
GUEST(string_down_code, "std\nmovw $0x2008, %di; movw $3, %cx; movw $0x30, %dx\n"
			"rep insl\n"
			"movw $0x2008, %si; movw $2, %cx; movw $0x31, %dx\n"
			"rep outsw\n"
			"hlt");

static void strings_down(void **state)
{
	static const u32 thrice[3] = {0x44332211, 0x44332211, 0x44332211};
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, string_down_code);
	vm.in_value = 0x44332211;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "inl:30 inl:30 inl:30 outw:31=2211 outw:31=4433 halt:0 ");
	assert_memory_equal(vm.mem + 0x2000, thrice, sizeof(thrice));
	vm_destroy(&vm);
}

/* No element is lost or seen twice, whichever one wants out; the guest's own memory is as without it. */
static void strings_stopped(void **state)
{
	struct vm vm;
	int r, stops = 0;

	vm_create(&vm, MEM);
	for (int at = 1; at <= 8; at++) {
		LOAD(&vm, string_code);
		memset(vm.mem + 0x2000, 0, 5);
		vm_forget(&vm);
		vm.in_value = 0x40;
		vm.ret_io = 20 + at;
		vm.stop_at = at;
		while ((r = vm_run(&vm)) != 7) {
			assert_int_equal(r, 20 + at);
			stops++;
		}
		assert_string_equal(vm.trace, "inb:30 inb:30 inb:30 inb:30 inb:30 "
					      "outb:31=40 outb:31=41 outb:31=42 halt:0 ");
		assert_memory_equal(vm.mem + 0x2000, "@ABCD", 5);
	}
	assert_int_equal(stops, 8);
	vm_destroy(&vm);
}

/* A handler that wants out ends kvm_run with its value, and the next run goes on behind the instruction. */
static void handler_ends_run(void **state)
{
	static const char *const words[] = {"outb:10=5a ", "outw:12=1234 ", "outl:14=12345678 ",
		"inb:20 ", "inw:22 ", "inl:24 "};
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, ports_code);
	vm.ret_io = 33;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		vm_forget(&vm);
		assert_int_equal(vm_run(&vm), 33);
		assert_string_equal(vm.trace, words[i]);
	}
	assert_int_equal(vm_run(&vm), 7);
	vm_destroy(&vm);
}

/* So does a negative one, whatever it stands for. */
static void handler_fails(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, ports_code);
	vm.ret_io = -EILSEQ;
	assert_int_equal(vm_run(&vm), -EILSEQ);
	assert_int_equal(errno, EILSEQ);
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
	assert_memory_equal(vm.mem + 0x2000, "\xff\0\xff\xff\xff\xff\xff\xff", 8);
	vm_destroy(&vm);
}

static int other_outb(void *opaque, uint16_t addr, uint8_t data)
{
	vm_note(opaque, "other:%x=%x ", addr, data);
	return 0;
}

/* The structure is looked at anew for each exit, also within a run. */
static int changing_inb(void *opaque, uint16_t addr, uint8_t *data)
{
	struct vm *vm = opaque;

	vm->callbacks.outb = other_outb;
	*data = 0x66;
	return 0;
}

GUEST(change_code, "outb %al, $0x10\ninb $0x20, %al\noutb %al, $0x10\nhlt");

static void callbacks_change(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, change_code);
	vm.callbacks.inb = changing_inb;
	assert_int_equal(vm_run(&vm), 7);
	vm.callbacks.outb = NULL;
	vm.callbacks.inb = NULL;
	LOAD(&vm, change_code);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "outb:10=0 other:10=66 halt:0 halt:0 ");
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(ports),
		cmocka_unit_test(strings),
		cmocka_unit_test(strings_down),
		cmocka_unit_test(strings_stopped),
		cmocka_unit_test(handler_ends_run),
		cmocka_unit_test(handler_fails),
		cmocka_unit_test(no_handlers),
		cmocka_unit_test(callbacks_change),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
