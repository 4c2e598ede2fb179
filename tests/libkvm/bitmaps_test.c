/* SPDX-License-Identifier: MIT */
/* What the functions with bitmaps refuse, and how ranges of them end. */
#include <errno.h>
#include <string.h>

#include "vm.h"

#define A 0x10000000ul /* three pages */
#define B 0x20000000ul /* one page, not recorded */

static void begin(struct vm *vm)
{
	vm_create(vm, 0);
	assert_non_null(kvm_create_phys_mem(vm->kvm, A, 3 * PAGE_SIZE, 1, 1));
	assert_non_null(kvm_create_phys_mem(vm->kvm, B, PAGE_SIZE, 0, 1));
}

struct seen {
	struct vm *vm;
	unsigned n;
	int result;
	unsigned long last;
};

/* May call the library. */
static int on_region(unsigned long start, unsigned long len, void *bitmap, void *opaque)
{
	struct seen *seen = opaque;

	assert_true(kvm_is_containing_region(seen->vm->kvm, start, len));
	seen->n++;
	seen->last = start;
	return seen->result;
}

static void map_of_touched_pages(void **state)
{
	u64 bitmap[64];
	struct vm vm;
	u8 *mem;

	vm_create(&vm, 0);
	mem = kvm_create_phys_mem(vm.kvm, A, 3 * PAGE_SIZE, 0, 1);
	assert_non_null(mem);
	mem[0] = mem[2 * PAGE_SIZE] = 1;
	memset(bitmap, 0xff, sizeof(bitmap));
	assert_int_equal(kvm_get_mem_map(vm.kvm, A + PAGE_SIZE, bitmap), 0);
	assert_int_equal(bitmap[0] & ~2ull,
		5); /* the lowest bit is the first page; no page behind the last */
	FAILS(EINVAL, kvm_get_mem_map(vm.kvm, A + 3 * PAGE_SIZE, bitmap));
	vm_destroy(&vm);
}

static void ranges_end(void **state)
{
	u64 bitmap[64];
	struct vm vm;
	struct seen seen = {.vm = &vm};

	begin(&vm);
	assert_int_equal(kvm_get_mem_map_range(vm.kvm, 0, ~0ul, bitmap, &seen, on_region), 0);
	assert_int_equal(seen.n, 2);
	/* A length beyond the end of addresses is up to there. */
	assert_int_equal(kvm_get_mem_map_range(vm.kvm, A, ~0ul, bitmap, &seen, on_region), 0);
	assert_int_equal(seen.n, 4);
	/* Not wholly inside. */
	seen.n = 0;
	assert_int_equal(
		kvm_get_mem_map_range(vm.kvm, A, 2 * PAGE_SIZE, bitmap, &seen, on_region), 0);
	assert_int_equal(kvm_get_mem_map_range(vm.kvm, A + 1, ~0ul, bitmap, &seen, on_region), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.last, B);
	/* An end before the start. */
	seen.n = 0;
	assert_int_equal(kvm_get_dirty_pages_range(vm.kvm, B, A, bitmap, &seen, on_region), 0);
	assert_int_equal(seen.n, 0);
	vm_destroy(&vm);
}

static void callback_ends_range(void **state)
{
	u64 bitmap[64];
	struct vm vm;
	struct seen seen = {.vm = &vm, .result = -EILSEQ};

	begin(&vm);
	FAILS(EILSEQ, kvm_get_mem_map_range(vm.kvm, 0, ~0ul, bitmap, &seen, on_region));
	FAILS(EILSEQ, kvm_get_dirty_pages_range(vm.kvm, 0, ~0ul, bitmap, &seen, on_region));
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.last, A);
	vm_destroy(&vm);
}

/* The recorded region is delivered before the other is found not to be. */
static void not_recorded(void **state)
{
	u64 bitmap[64];
	struct vm vm;
	struct seen seen = {.vm = &vm};

	begin(&vm);
	FAILS(ENOENT, kvm_get_dirty_pages(vm.kvm, B, bitmap));
	FAILS(ENOENT, kvm_get_dirty_pages_range(vm.kvm, 0, ~0ul, bitmap, &seen, on_region));
	assert_int_equal(seen.n, 1);
	vm_destroy(&vm);
}

static void nowhere(void **state)
{
	u64 bitmap[64];
	struct vm vm;
	struct seen seen = {.vm = &vm};

	begin(&vm);
	FAILS(EFAULT, kvm_get_dirty_pages(vm.kvm, A, NULL));
	FAILS(EFAULT, kvm_get_mem_map(vm.kvm, A, NULL));
	FAILS(EFAULT, kvm_get_dirty_pages_range(vm.kvm, 0, ~0ul, NULL, &seen, on_region));
	FAILS(EFAULT, kvm_get_mem_map_range(vm.kvm, 0, ~0ul, NULL, &seen, on_region));
	FAILS(EFAULT, kvm_get_dirty_pages_range(vm.kvm, 0, ~0ul, bitmap, &seen, NULL));
	FAILS(EFAULT, kvm_get_mem_map_range(vm.kvm, 0, ~0ul, bitmap, &seen, NULL));
	vm_destroy(&vm);
}

/* What has no result says it in errno. */
static void nothing_there(void **state)
{
	struct vm vm;

	begin(&vm);
	FAILS(EINVAL, kvm_dirty_pages_log_enable_slot(vm.kvm, A - 1, 1));
	FAILS(EINVAL, kvm_dirty_pages_log_disable_slot(vm.kvm, A + 3 * PAGE_SIZE, 1));
	FAILS(ENOENT, (kvm_destroy_phys_mem(vm.kvm, A - 1, PAGE_SIZE), -errno));
	FAILS(ENOENT, (kvm_unregister_memory_area(vm.kvm, A, 4 * PAGE_SIZE), -errno));
	assert_true(kvm_is_containing_region(vm.kvm, A, 3 * PAGE_SIZE));
	vm_destroy(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(map_of_touched_pages),
		cmocka_unit_test(ranges_end),
		cmocka_unit_test(callback_ends_range),
		cmocka_unit_test(not_recorded),
		cmocka_unit_test(nowhere),
		cmocka_unit_test(nothing_there),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
