/* SPDX-License-Identifier: MIT */
/* Guest memory: what kvm_create lays out, and regions that come, give way and go. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vm.h"

/* Stores at 0x9ffff (memory), 0xa0000 (hole), 0xc0000 (memory). */
GUEST(layout_code, "movw $0x9000, %ax; movw %ax, %ds; movb $1, 0xffff\n"
		   "movw $0xa000, %ax; movw %ax, %ds; movb $2, 0\n"
		   "movw $0xc000, %ax; movw %ax, %ds; movb $3, 0\n"
		   "hlt");

static void create_layout(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, layout_code);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "write:a0000/1=2 halt:0 ");
	assert_int_equal(vm.mem[0x9ffff], 1);
	assert_int_equal(vm.mem[0xc0000], 3);
	assert_true(kvm_is_containing_region(vm.kvm, 0, 0xa0000));
	assert_false(kvm_is_containing_region(vm.kvm, 0, 0xa0001));
	assert_false(kvm_is_containing_region(vm.kvm, 0xa0000, 1));
	assert_true(kvm_is_containing_region(vm.kvm, 0xc0000, MEM - 0xc0000));
	assert_false(kvm_is_containing_region(vm.kvm, MEM, 1));
	vm_destroy(&vm);
}

/* What does not fit below 0xe0000000 lies at 4 GiB; the host address is still base plus guest address. */
static void create_large(void **state)
{
	const unsigned long size = 4ul << 30;
	struct vm vm;

	vm_create(&vm, size);
	assert_true(kvm_is_containing_region(vm.kvm, 0xc0000, 0xe0000000 - 0xc0000));
	assert_false(kvm_is_containing_region(vm.kvm, 0xe0000000, 1));
	assert_true(kvm_is_containing_region(vm.kvm, 1ul << 32, 0x20000000));
	assert_false(kvm_is_containing_region(vm.kvm, (1ul << 32) + 0x20000000, 1));
	vm.mem[(1ul << 32) + 0x1fffffff] = 1;
	vm_destroy(&vm);
}

static void create_small(void **state)
{
	struct vm vm;

	vm_create(&vm, 5000);
	assert_true(kvm_is_containing_region(vm.kvm, 0, 0x2000));
	assert_false(kvm_is_containing_region(vm.kvm, 0, 0x2001));
	vm_destroy(&vm);
	vm_create(&vm, 0);
	assert_false(kvm_is_containing_region(vm.kvm, 0, 1));
	vm_destroy(&vm);
}

/* Old programs put their own memory over what kvm_create made. */
static void provisional_gives_way(void **state)
{
	struct vm vm;
	void *own;

	vm_create(&vm, MEM);
	own = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(kvm_register_phys_mem(vm.kvm, 0x8000, own, 0x4000, 0), 0);
	assert_true(kvm_is_containing_region(vm.kvm, 0, 0x8000));
	assert_true(kvm_is_containing_region(vm.kvm, 0x8000, 0x4000));
	assert_false(kvm_is_containing_region(vm.kvm, 0x7fff, 2));
	assert_true(kvm_is_containing_region(vm.kvm, 0xc000, 0xa0000 - 0xc000));
	assert_int_equal(kvm_register_phys_mem(vm.kvm, 0x9000, own, 0x1000, 0), -EEXIST);
	assert_null(kvm_create_phys_mem(vm.kvm, 0, MEM, 0, 1));
	assert_int_equal(errno, EEXIST);
	kvm_destroy_phys_mem(vm.kvm, 0x8000, 0);
	vm.mem = kvm_create_phys_mem(vm.kvm, 0, MEM, 0, 1);
	assert_non_null(vm.mem);
	LOAD(&vm, layout_code);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "halt:0 "); /* no hole any more */
	assert_int_equal(vm.mem[0xa0000], 2);
	vm_destroy(&vm);
	munmap(own, 0x4000);
}

static void bad_regions(void **state)
{
	static u8 page[2 * 4096] __attribute__((aligned(4096)));
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_register_phys_mem(vm.kvm, 0x1000001, page, 0x1000, 0), -EINVAL);
	assert_int_equal(kvm_register_phys_mem(vm.kvm, 0x1000000, page, 0x1001, 0), -EINVAL);
	assert_int_equal(kvm_register_phys_mem(vm.kvm, 0x1000000, page + 1, 0x1000, 0), -EINVAL);
	assert_int_equal(kvm_register_phys_mem(vm.kvm, 0x1000000, page, 0, 0), -EINVAL);
	assert_int_equal(kvm_register_phys_mem(vm.kvm, -0x1000ul, page, 0x2000, 0), -EINVAL);
	assert_null(kvm_create_phys_mem(vm.kvm, 0x1000001, 0x1000, 0, 1));
	kvm_destroy_phys_mem(vm.kvm, 0x5000000, 0x1000); /* nothing there: nothing happens */
	kvm_unregister_memory_area(vm.kvm, 0x5000000, 0x1000);
	vm_destroy(&vm);
}

GUEST(rom_code, "movw $0x8000, %ax; movw %ax, %ds\n"
		"movb 0, %bl; movb $0x99, 1; movb %bl, %cs:0x2000\nhlt");

static void read_only_memory(void **state)
{
	struct vm vm;
	u8 *rom;

	vm_create(&vm, 0x80000);
	rom = kvm_create_phys_mem(vm.kvm, 0x80000, 0x1000, 0, 0);
	assert_non_null(rom);
	rom[0] = 0x42;
	LOAD(&vm, rom_code);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "write:80001/1=99 halt:0 ");
	assert_int_equal(vm.mem[0x2000], 0x42);
	assert_int_equal(rom[1], 0);
	vm_destroy(&vm);
}

/* A load from the page at 0x90000, and a string that goes from there to a device. */
GUEST(load_code, "movw $0x9000, %ax\nmovw %ax, %ds\nmovb 0, %bl\nhlt");
GUEST(movs_code, "movw $0x9000, %ax\nmovw %ax, %ds\nmovw $0xa000, %ax\nmovw %ax, %es\n"
		 "xorw %si, %si\nxorw %di, %di\nmovsb\nhlt");

/* Memory that the program has taken away is missing when the guest comes to it, however it does. */
static void taken_from_guest(void **state)
{
	static const struct {
		const u8 *code, *end;
	} codes[] = {{load_code, load_code_end}, {movs_code, movs_code_end}};
	struct vm vm;
	void *page;

	if (vm_emulates())
		vm_skip(NULL, "this KVM emulates real mode, and takes memory without rights for a "
			      "device");
	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
		vm_create(&vm, MEM);
		page = mmap(
			NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		assert_true(page != MAP_FAILED);
		assert_int_equal(kvm_register_phys_mem(vm.kvm, 0x90000, page, PAGE_SIZE, 0), 0);
		assert_int_equal(mprotect(page, PAGE_SIZE, PROT_NONE), 0);
		vm_load(&vm, codes[i].code, (size_t)(codes[i].end - codes[i].code));
		FAILS(EFAULT, vm_run(&vm));
		assert_string_equal(vm.trace, "");
		vm_destroy(&vm);
		munmap(page, PAGE_SIZE);
	}
}

/* The file in which memory for the guest is, if it is in one: of all descriptors' names. */
static bool ram_file(char path[64], struct stat *ret)
{
	char link[64];
	ssize_t n;

	for (int fd = 0; fd < 2048; fd++) {
		snprintf(path, 64, "/proc/self/fd/%d", fd);
		n = readlink(path, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = 0;
		if (!strncmp(link, "/memfd:guest-ram", 16))
			return !stat(path, ret);
	}
	return false;
}

static bool engine_is_ours(void)
{
	return !strcmp(vm_engine, "soft") || !strcmp(vm_engine, "mshv");
}

static void begin_with_tool(struct vm *vm, unsigned long bytes)
{
	setenv("USERVISOR_INTROSPECT", "unix:/nonexistent/tool", 1);
	vm_create(vm, bytes);
}

static void end_with_tool(struct vm *vm)
{
	vm_destroy(vm);
	unsetenv("USERVISOR_INTROSPECT");
}

/* A tool can map what is in a file. What a region had is given back with it. */
static void tool_gets_file(void **state)
{
	char path[64];
	struct stat st;
	struct vm vm;
	u8 *more;

	vm_create(&vm, MEM);
	assert_false(ram_file(path, &st));
	vm_destroy(&vm);
	begin_with_tool(&vm, MEM);
	assert_int_equal(ram_file(path, &st), engine_is_ours());
	LOAD(&vm, layout_code);
	assert_int_equal(vm_run(&vm), 7);
	assert_int_equal(vm.mem[0x9ffff], 1);
	more = kvm_create_phys_mem(vm.kvm, 16 << 20, MEM, 0, 1);
	assert_non_null(more);
	if (engine_is_ours()) {
		blkcnt_t before;

		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, 2 * MEM);
		assert_int_equal(st.st_mode & 0777, 0400);
		before = st.st_blocks;
		memset(more, 1, MEM);
		assert_int_equal(stat(path, &st), 0);
		assert_true(st.st_blocks >= before + (blkcnt_t)(MEM / 512));
		kvm_destroy_phys_mem(vm.kvm, 16 << 20, MEM);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_blocks, before);
	}
	end_with_tool(&vm);
	assert_false(ram_file(path, &st));
}

/* Files may not become so large: then the memory is in none, and nobody gets SIGXFSZ. */
static void tool_gets_no_file(void **state)
{
	struct rlimit limit, small;
	char path[64];
	struct stat st;
	struct vm vm;
	u8 *more;

	begin_with_tool(&vm, MEM);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = MEM;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	more = kvm_create_phys_mem(vm.kvm, 16 << 20, MEM, 0, 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_non_null(more);
	memset(more, 1, MEM);
	if (ram_file(path, &st))
		assert_int_equal(st.st_size, MEM);
	end_with_tool(&vm);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(taken_from_guest),
		cmocka_unit_test(create_layout),
		cmocka_unit_test(create_large),
		cmocka_unit_test(create_small),
		cmocka_unit_test(provisional_gives_way),
		cmocka_unit_test(bad_regions),
		cmocka_unit_test(read_only_memory),
		cmocka_unit_test(tool_gets_file),
		cmocka_unit_test(tool_gets_no_file),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
