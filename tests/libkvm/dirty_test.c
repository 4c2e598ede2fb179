/* SPDX-License-Identifier: MIT */
/* Which pages were written, and which exist. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm.h"

/* Pages 2 and 3 of the first region, from CODE in page 1. */
GUEST(dirty_code, "movb $1, 0x2000\nmovb $1, 0x3fff\nhlt");

static u64 dirty_bits(struct vm *vm)
{
	static u64 bitmap[64];

	memset(bitmap, 0, sizeof(bitmap));
	assert_int_equal(kvm_get_dirty_pages(vm->kvm, 0x1234, bitmap), 0);
	return bitmap[0] & 0xc;
}

static void run_dirty(struct vm *vm)
{
	LOAD(vm, dirty_code);
	assert_int_equal(vm_run(vm), 7);
}

/* Counted per region; off at zero, never below. */
static void dirty_log_counts(void **state)
{
	u64 bitmap[64];
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0, bitmap), -ENOENT);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 1ul << 40, bitmap), -ENOENT);
	assert_int_equal(kvm_dirty_pages_log_enable_slot(vm.kvm, 1ul << 40, 1), -EINVAL);
	assert_int_equal(kvm_dirty_pages_log_disable_slot(vm.kvm, 0, 1), 0);
	assert_int_equal(kvm_dirty_pages_log_enable_slot(vm.kvm, 0, 1), 0);
	assert_int_equal(kvm_dirty_pages_log_enable_slot(vm.kvm, 0x1000, 1), 0);
	dirty_bits(&vm);
	run_dirty(&vm);
	assert_int_equal(dirty_bits(&vm), 0xc);
	assert_int_equal(dirty_bits(&vm), 0);
	assert_int_equal(kvm_dirty_pages_log_disable_slot(vm.kvm, 0, 1), 0);
	run_dirty(&vm);
	assert_int_equal(dirty_bits(&vm), 0xc);
	assert_int_equal(kvm_dirty_pages_log_disable_slot(vm.kvm, 0, 1), 0);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0, bitmap), -ENOENT);
	vm_destroy(&vm);
}

/* enable_all covers regions made later; reset leaves those that were created with logging. */
static void dirty_log_all(void **state)
{
	u64 bitmap[64];
	struct vm vm;

	vm_create(&vm, 0x80000);
	assert_non_null(kvm_create_phys_mem(vm.kvm, 0x1000000, 0x10000, 1, 1));
	assert_int_equal(kvm_dirty_pages_log_enable_all(vm.kvm), 0);
	assert_non_null(kvm_create_phys_mem(vm.kvm, 0x2000000, 0x10000, 0, 1));
	run_dirty(&vm);
	assert_int_equal(dirty_bits(&vm), 0xc);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0x2000000, bitmap), 0);
	assert_int_equal(kvm_dirty_pages_log_reset(vm.kvm), 0);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0, bitmap), -ENOENT);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0x2000000, bitmap), -ENOENT);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0x1000000, bitmap), 0);
	vm_destroy(&vm);
}

struct regions {
	unsigned n;
	unsigned long start[8], len[8];
	int stop_after;
};

static int on_region(unsigned long start, unsigned long len, void *bitmap, void *opaque)
{
	struct regions *r = opaque;

	r->start[r->n] = start;
	r->len[r->n] = len;
	return ++r->n == (unsigned)r->stop_after ? 55 : 0;
}

static void dirty_range(void **state)
{
	u64 *bitmap = calloc(64, 8);
	struct regions all = {.n = 0}, first = {.stop_after = 1}, inner = {.n = 0}, map = {.n = 0};
	struct vm vm;

	vm_create(&vm, MEM);
	kvm_dirty_pages_log_enable_all(vm.kvm);
	assert_int_equal(kvm_get_dirty_pages_range(vm.kvm, 0, ~0ul, bitmap, &all, on_region), 0);
	assert_int_equal(all.n, 2);
	assert_int_equal(all.len[0], 0xa0000);
	assert_int_equal(all.start[1], 0xc0000);
	assert_int_equal(kvm_get_dirty_pages_range(vm.kvm, 0, ~0ul, bitmap, &first, on_region), 55);
	assert_int_equal(first.n, 1);
	kvm_get_dirty_pages_range(vm.kvm, 0xc0000, MEM, bitmap, &inner, on_region);
	assert_int_equal(inner.n, 1); /* an end, not a length */
	vm.mem[0x5000] = 1;
	assert_int_equal(kvm_get_mem_map(vm.kvm, 0, bitmap), 0);
	assert_true(bitmap[0] & BIT64(5));
	assert_int_equal(kvm_get_mem_map(vm.kvm, 0xa0000, bitmap), -EINVAL);
	assert_int_equal(kvm_get_mem_map_range(vm.kvm, 0, MEM, bitmap, &map, on_region), 0);
	assert_int_equal(map.n, 2);
	vm_destroy(&vm);
	free(bitmap);
}

/* Memory that the hypervisor does not take leaves everything as it was: also what is known of the memory below it. */
static void refused_keeps_record(void **state)
{
	void *const nowhere = (void *)(1ul << 63); /* the kernel's half */
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_create_memory_alias(vm.kvm, 0xa0000, 0x10000, 0), 0);
	assert_int_equal(kvm_dirty_pages_log_enable_all(vm.kvm), 0);
	dirty_bits(&vm);
	run_dirty(&vm);
	FAILS(EINVAL, kvm_register_phys_mem(vm.kvm, 0x3000, nowhere, 0x2000, 0));
	assert_int_equal(dirty_bits(&vm), 0xc);
	assert_int_equal(kvm_destroy_memory_alias(vm.kvm, 0xa0000), 0);
	run_dirty(&vm);
	FAILS(EINVAL, kvm_register_phys_mem(vm.kvm, 0x3000, nowhere, 0x2000, 0));
	assert_int_equal(dirty_bits(&vm), 0xc);
	vm_destroy(&vm);
}

/* From a device and from a port to page 2, by instructions whose writes somebody does for the guest. */
GUEST(string_code,
	"movw $0xa000, %ax\nmovw %ax, %ds\nxorw %si, %si\nmovw $0x2010, %di\nmovsb\nhlt");
GUEST(port_code, "movw $0x2020, %di\nmovw $0x55, %dx\nmovw $3, %cx\nrep insb\nhlt");

static void written_for_guest(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_dirty_pages_log_enable_slot(vm.kvm, 0, 1), 0);
	vm.in_value = 0x66;
	LOAD(&vm, string_code);
	dirty_bits(&vm);
	assert_int_equal(vm_run(&vm), 7);
	assert_int_equal(vm.mem[0x2010], 0x66);
	assert_int_equal(dirty_bits(&vm), 4);
	LOAD(&vm, port_code);
	dirty_bits(&vm);
	assert_int_equal(vm_run(&vm), 7);
	assert_memory_equal(vm.mem + 0x2020, "\x66\x67\x68", 3);
	assert_int_equal(dirty_bits(&vm), 4);
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(written_for_guest),
		cmocka_unit_test(dirty_log_counts),
		cmocka_unit_test(dirty_log_all),
		cmocka_unit_test(dirty_range),
		cmocka_unit_test(refused_keeps_record),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
