/* SPDX-License-Identifier: MIT */
/* Memory aliases: what the guest sees through them, inside memory and outside, and what is recorded as written. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vm.h"

#define SEGMENT(gpa) ((gpa) >> 4)

/* Reads a byte of the page at 0x80000 into 0x2000 and writes 0x5a behind it. */
GUEST(touch_code, "movw $0x8000, %ax; movw %ax, %ds\n"
		  "movb 0, %bl; movb $0x5a, 1; movb %bl, %cs:0x2000\nhlt");

static void touch(struct vm *vm)
{
	vm_forget(vm);
	LOAD(vm, touch_code);
	assert_int_equal(vm_run(vm), 7);
}

/* Where there was nothing. */
static void outside_memory(void **state)
{
	struct vm vm;

	vm_create(&vm, 0x40000);
	vm.in_value = 0x11;
	touch(&vm);
	assert_string_equal(vm.trace, "read:80000/1 write:80001/1=5a halt:0 ");
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x2000, 0x10000), 0);
	assert_false(kvm_is_containing_region(vm.kvm, 0x80000, 1));
	vm.mem[0x10000] = 0x42;
	touch(&vm);
	assert_string_equal(vm.trace, "halt:0 ");
	assert_int_equal(vm.mem[0x2000], 0x42);
	assert_int_equal(vm.mem[0x10001], 0x5a);
	assert_int_equal(kvm_destroy_memory_alias(vm.kvm, 0x80000), 0);
	touch(&vm);
	assert_string_equal(vm.trace, "read:80000/1 write:80001/1=5a halt:0 ");
	vm_destroy(&vm);
}

/* An alias covers the memory that it lies in, which comes back as it was. */
static void inside_memory(void **state)
{
	struct vm vm;

	vm_create(&vm, 0xa0000);
	vm.mem[0x80000] = 1;
	vm.mem[0x30000] = 2;
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x1000, 0x30000), 0);
	touch(&vm);
	assert_int_equal(vm.mem[0x2000], 2);
	assert_int_equal(vm.mem[0x30001], 0x5a);
	assert_int_equal(vm.mem[0x80001], 0);
	assert_true(kvm_is_containing_region(vm.kvm, 0, 0xa0000));
	assert_int_equal(kvm_destroy_memory_alias(vm.kvm, 0x80000), 0);
	touch(&vm);
	assert_int_equal(vm.mem[0x2000], 1);
	assert_int_equal(vm.mem[0x80001], 0x5a);
	vm_destroy(&vm);
}

/* The same start again points it elsewhere, with another length; length 0 removes it. */
static void replaced(void **state)
{
	struct vm vm;

	vm_create(&vm, 0xa0000);
	vm.mem[0x80000] = 1;
	vm.mem[0x30000] = 2;
	vm.mem[0x50000] = 3;
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x4000, 0x30000), 0);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x1000, 0x50000), 0);
	touch(&vm);
	assert_int_equal(vm.mem[0x2000], 3);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x81000, 0x1000, 0x30000), 0);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x2000, 0x30000), -EEXIST);
	touch(&vm);
	assert_int_equal(vm.mem[0x2000], 3); /* the refused one changed nothing */
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0, 0), 0);
	touch(&vm);
	assert_int_equal(vm.mem[0x2000], 1);
	vm_destroy(&vm);
}

/* It shows what is at the target now, not what was there when it was made. */
static void follows_target(void **state)
{
	struct vm vm;
	u8 *first, *second;

	vm_create(&vm, 0x40000);
	vm.in_value = 0x11;
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x1000, 0x1000000), 0);
	touch(&vm);
	assert_string_equal(vm.trace, "read:80000/1 write:80001/1=5a halt:0 ");
	first = kvm_create_phys_mem(vm.kvm, 0x1000000, 0x2000, 0, 1);
	assert_non_null(first);
	first[0] = 7;
	touch(&vm);
	assert_int_equal(vm.mem[0x2000], 7);
	kvm_destroy_phys_mem(vm.kvm, 0x1000000, 0x2000);
	touch(&vm);
	assert_string_equal(vm.trace, "read:80000/1 write:80001/1=5a halt:0 ");
	second = kvm_create_phys_mem(vm.kvm, 0x1000000, 0x1000, 0, 1);
	assert_non_null(second);
	second[0] = 8;
	touch(&vm);
	assert_int_equal(vm.mem[0x2000], 8);
	assert_int_equal(second[1], 0x5a);
	vm_destroy(&vm);
}

/* A target of two regions with a hole between them: slots for the regions, MMIO for the hole. */
static void target_in_pieces(void **state)
{
	struct vm vm;
	u8 *high;

	vm_create(&vm, 0x40000);
	high = kvm_create_phys_mem(vm.kvm, 0x41000, 0x1000, 0, 1);
	assert_non_null(high);
	vm.in_value = 0x11;
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x7e000, 0x3000, 0x3f000), 0);
	high[0] = 9;
	touch(&vm); /* 0x80000 shows 0x41000 */
	assert_int_equal(vm.mem[0x2000], 9);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x7e000, 0, 0), 0);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x7f000, 0x3000, 0x3f000), 0);
	touch(&vm); /* 0x80000 shows 0x40000, where nothing is */
	assert_string_equal(vm.trace, "read:80000/1 write:80001/1=5a halt:0 ");
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x7f000, 0, 0), 0);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x3000, 0x3f000), 0);
	vm.mem[0x3f000] = 10;
	touch(&vm);
	assert_int_equal(vm.mem[0x2000], 10);
	vm_destroy(&vm);
}

/* Read-only memory is read-only through an alias as well. */
static void of_rom(void **state)
{
	struct vm vm;
	u8 *rom;

	vm_create(&vm, 0x40000);
	rom = kvm_create_phys_mem(vm.kvm, 0x50000, 0x1000, 0, 0);
	assert_non_null(rom);
	rom[0] = 0x33;
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x1000, 0x50000), 0);
	touch(&vm);
	assert_string_equal(vm.trace, "write:80001/1=5a halt:0 ");
	assert_int_equal(vm.mem[0x2000], 0x33);
	assert_int_equal(rom[1], 0);
	vm_destroy(&vm);
}

/* An alias of an alias shows the memory below the second one. */
static void one_level(void **state)
{
	struct vm vm;

	vm_create(&vm, 0xa0000);
	vm.mem[0x20000] = 2;
	vm.mem[0x30000] = 3;
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x30000, 0x1000, 0x20000), 0);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x1000, 0x30000), 0);
	touch(&vm);
	assert_int_equal(vm.mem[0x2000], 3);
	vm_destroy(&vm);
}

static u64 dirty_word(struct vm *vm, u64 gpa, unsigned word)
{
	u64 bitmap[16] = {0};

	assert_int_equal(kvm_get_dirty_pages(vm->kvm, gpa, bitmap), 0);
	return bitmap[word];
}

/* Writes through the alias are writes to the target, also those before the alias went away. */
static void recorded_at_target(void **state)
{
	struct vm vm;
	u64 bitmap[16];

	vm_create(&vm, 0xa0000);
	assert_int_equal(kvm_dirty_pages_log_enable_slot(vm.kvm, 0, 1), 0);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x1000, 0x45000), 0);
	vm_forget(&vm);
	LOAD(&vm, touch_code);
	dirty_word(&vm, 0, 0);
	assert_int_equal(vm_run(&vm), 7);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0, memset(bitmap, 0, sizeof(bitmap))), 0);
	assert_int_equal(bitmap[1], BIT64(0x45 - 64));
	assert_int_equal(bitmap[0] & BIT64(2), BIT64(2));
	assert_int_equal(bitmap[2], 0); /* 0x80: the place itself is not written */
	assert_int_equal(dirty_word(&vm, 0, 1), 0);

	touch(&vm);
	assert_int_equal(kvm_destroy_memory_alias(vm.kvm, 0x80000), 0);
	touch(&vm);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0, memset(bitmap, 0, sizeof(bitmap))), 0);
	assert_int_equal(bitmap[1], BIT64(0x45 - 64));
	assert_int_equal(bitmap[2], BIT64(0));
	vm_destroy(&vm);
}

/* Recording that begins and ends while the alias is there; the alias itself is no region. */
static void recording_on_and_off(void **state)
{
	u64 bitmap[16];
	struct vm vm;

	vm_create(&vm, 0x60000);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x1000, 0x45000), 0);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0x80000, bitmap), -ENOENT);
	assert_int_equal(kvm_dirty_pages_log_enable_slot(vm.kvm, 0x80000, 1), -EINVAL);
	assert_int_equal(kvm_dirty_pages_log_enable_all(vm.kvm), 0);
	touch(&vm);
	assert_int_equal(dirty_word(&vm, 0, 1), BIT64(0x45 - 64));
	touch(&vm);
	assert_int_equal(kvm_dirty_pages_log_reset(vm.kvm), 0);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0, bitmap), -ENOENT);
	assert_int_equal(kvm_dirty_pages_log_enable_all(vm.kvm), 0);
	assert_int_equal(
		dirty_word(&vm, 0, 1), 0); /* what was written before it began is not in it */
	vm_destroy(&vm);
}

static void refused(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80001, 0x1000, 0x1000), -EINVAL);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x1001, 0x1000), -EINVAL);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x1000, 0x1001), -EINVAL);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, -0x1000ul, 0x2000, 0), -EINVAL);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x2000, -0x1000ul), -EINVAL);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x4000, 0x1000), 0);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x82000, 0x1000, 0x1000), -EEXIST);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x7f000, 0x2000, 0x1000), -EEXIST);
	assert_int_equal(kvm_destroy_memory_alias(vm.kvm, 0x81000), 0); /* none begins there */
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x82000, 0x1000, 0x1000), -EEXIST);
	assert_int_equal(kvm_destroy_memory_alias(vm.kvm, 0x80000), 0);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x82000, 0x1000, 0x1000), 0);
	vm_destroy(&vm);
}

/* No slot is left for the pieces of a split region: nothing changes, and freeing one slot lets it happen. */
static void slots_run_out(void **state)
{
	const u64 base = 1ul << 32;
	unsigned long n = 0;
	struct vm vm;
	u8 *page;

	vm_create(&vm, 0xa0000);
	vm.mem[0x80000] = 1;
	vm.mem[0x30000] = 2;
	page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(page != MAP_FAILED);
	while (kvm_register_phys_mem(vm.kvm, base + 2 * n * PAGE_SIZE, page, PAGE_SIZE, 0) == 0)
		n++;
	assert_int_equal(errno, ENOSPC);
	assert_true(n >= 100);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x1000, 0x30000), -ENOSPC);
	assert_int_equal(errno, ENOSPC);
	touch(&vm);
	assert_int_equal(vm.mem[0x2000], 1);
	kvm_destroy_phys_mem(vm.kvm, base, 0);
	kvm_destroy_phys_mem(vm.kvm, base + 2 * PAGE_SIZE, 0);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0x80000, 0x1000, 0x30000), 0);
	touch(&vm);
	assert_int_equal(vm.mem[0x2000], 2);
	vm_destroy(&vm);
	munmap(page, PAGE_SIZE);
}

static void without_vm(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm = uv_kvm_init(&cb, NULL, vm_engine, vm_quiet, NULL);

	assert_non_null(kvm);
	assert_int_equal(kvm_create_memory_alias(kvm, 0x80000, 0x1000, 0), -EBADF);
	assert_int_equal(errno, EBADF);
	kvm_finalize(kvm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(outside_memory),
		cmocka_unit_test(inside_memory),
		cmocka_unit_test(replaced),
		cmocka_unit_test(follows_target),
		cmocka_unit_test(target_in_pieces),
		cmocka_unit_test(of_rom),
		cmocka_unit_test(one_level),
		cmocka_unit_test(recorded_at_target),
		cmocka_unit_test(recording_on_and_off),
		cmocka_unit_test(refused),
		cmocka_unit_test(slots_run_out),
		cmocka_unit_test(without_vm),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
