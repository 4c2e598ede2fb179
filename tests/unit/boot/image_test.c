/* SPDX-License-Identifier: MIT */
/*
 * Kernel files: good ones, and what becomes of every truncation and of random damage. Files end at an inaccessible
 * page, so one byte read too many is a crash.
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "boot/load/bzimage.h"
#include "boot/load/pvh.h"

#define ROOM 65536u

static u8 *guard_end; /* the first byte that may not be touched */

static int make_guard(void **state)
{
	u8 *map = mmap(
		NULL, ROOM + PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED || mprotect(map + ROOM, PAGE_SIZE, PROT_NONE))
		return -1;
	guard_end = map + ROOM;
	return 0;
}

static const u8 *guarded(const u8 *data, size_t size)
{
	return memcpy(guard_end - size, data, size);
}

static void put(u8 *at, size_t size, u64 value)
{
	memcpy(at, &value, size);
}

#define IMAGE_SIZE (5 * 512 + 4096)

/* Four setup sectors and a page of code, protocol 2.15. */
static void make_bzimage(u8 *file)
{
	memset(file, 0, IMAGE_SIZE);
	put(file + 0x1f1, 1, 4);
	put(file + 0x1f4, 4, 4096 / 16);
	put(file + 0x1fe, 2, 0xaa55);
	put(file + 0x200, 2, 0x6aeb);
	memcpy(file + 0x202, "HdrS", 4);
	put(file + 0x206, 2, 0x20f);
	put(file + 0x211, 1, 1);
	put(file + 0x22c, 4, 0x7fffffff);
	put(file + 0x230, 4, 0x200000);
	put(file + 0x234, 1, 1);
	put(file + 0x236, 2, 1);
	put(file + 0x238, 4, 2047);
	put(file + 0x258, 8, 0x1000000);
	put(file + 0x260, 4, 0x300000);
}

static void bzimage_good(void **state)
{
	u8 file[IMAGE_SIZE];
	struct bzimage image;

	make_bzimage(file);
	assert_true(bzimage_recognised(file, sizeof(file)));
	assert_null(bzimage_parse(file, sizeof(file), &image));
	assert_int_equal(image.code_offset, 5 * 512);
	assert_int_equal(image.code_size, 4096);
	assert_int_equal(image.load_address, 0x1000000);
	assert_int_equal(image.init_size, 0x300000);
	assert_int_equal(image.initrd_max, 0x7fffffff);
	assert_int_equal(image.cmdline_max, 2047);
	assert_int_equal(image.header_len, 0x202 + 0x6a - 0x1f1);
	assert_true(image.relocatable);
}

/* Old protocols lack the later fields; zero setup sectors mean four. */
static void bzimage_old(void **state)
{
	u8 file[IMAGE_SIZE];
	struct bzimage image;

	make_bzimage(file);
	put(file + 0x206, 2, 0x209);
	put(file + 0x1f1, 1, 0);
	assert_null(bzimage_parse(file, sizeof(file), &image));
	assert_int_equal(image.load_address, 0x100000);
	assert_int_equal(image.init_size, image.code_size);
	assert_int_equal(image.code_offset, 5 * 512);
}

static void bzimage_refused(void **state)
{
	static const struct {
		unsigned offset, size;
		u64 value;
	} damages[] = {
		{0x1fe, 2, 0},      /* no boot flag */
		{0x202, 4, 0},      /* no magic */
		{0x206, 2, 0x205},  /* too old */
		{0x211, 1, 0},      /* a zImage */
		{0x236, 2, 0},      /* 32-bit */
		{0x1f1, 1, 255},    /* setup beyond the end */
		{0x1f4, 4, 0x1000}, /* code beyond the end */
		{0x230, 4, 3},      /* alignment no power of two */
		{0x258, 8, 0},      /* would lie in low memory */
		{0x258, 8, 1ull << 40},
	};
	u8 file[IMAGE_SIZE];
	struct bzimage image;

	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		make_bzimage(file);
		put(file + damages[i].offset, damages[i].size, damages[i].value);
		assert_non_null(bzimage_parse(file, sizeof(file), &image));
	}
}

static void check_bzimage(const u8 *file, size_t size)
{
	struct bzimage image;

	if (bzimage_parse(file, size, &image))
		return;
	assert_in_range(image.code_offset, 512, size);
	assert_in_range(image.code_size, 1, size - image.code_offset);
	assert_true(image.init_size >= image.code_size);
	assert_true(image.header + image.header_len <= file + size);
	assert_true(BZIMAGE_HEADER + image.header_len <= BZIMAGE_HEADER_MAX);
}

static void bzimage_truncated(void **state)
{
	u8 file[IMAGE_SIZE];
	struct bzimage image;

	make_bzimage(file);
	for (size_t size = 0; size < IMAGE_SIZE - 15; size++)
		assert_non_null(bzimage_parse(guarded(file, size), size, &image));
	check_bzimage(guarded(file, IMAGE_SIZE), IMAGE_SIZE);
}

static void bzimage_damaged(void **state)
{
	unsigned seed = 1;

	for (unsigned i = 0; i < 20000; i++) {
		u8 file[IMAGE_SIZE];

		make_bzimage(file);
		for (unsigned n = 0; n < 4; n++)
			file[0x1f1 + (unsigned)rand_r(&seed) % 0x80] = (u8)rand_r(&seed);
		check_bzimage(guarded(file, IMAGE_SIZE), IMAGE_SIZE);
	}
}

#define ELF_SIZE (64 + 3 * 56 + 32 + 256)

/* Two segments of 128 bytes in the file, a note with the entry. */
static void make_elf(u8 *file)
{
	Elf64_Ehdr eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_phoff = 64,
		.e_phentsize = 56,
		.e_phnum = 3};
	Elf64_Phdr ph[3] = {
		{.p_type = PT_LOAD,
			.p_offset = 264,
			.p_filesz = 128,
			.p_memsz = 4096,
			.p_paddr = 0x1000000},
		{.p_type = PT_LOAD,
			.p_offset = 392,
			.p_filesz = 128,
			.p_memsz = 128,
			.p_paddr = 0x1200000},
		{.p_type = PT_NOTE, .p_offset = 232, .p_filesz = 24, .p_memsz = 24},
	};
	Elf64_Nhdr note = {.n_namesz = 4, .n_descsz = 8, .n_type = 18};

	memset(file, 0, ELF_SIZE);
	memcpy(file, &eh, sizeof(eh));
	memcpy(file + 64, ph, sizeof(ph));
	memcpy(file + 232, &note, sizeof(note));
	memcpy(file + 244, "Xen", 4);
	put(file + 248, 8, 0x1000040);
}

static void pvh_good(void **state)
{
	u8 file[ELF_SIZE];
	struct pvh_kernel kernel;

	make_elf(file);
	assert_true(pvh_recognised(file, sizeof(file)));
	assert_null(pvh_parse(file, sizeof(file), &kernel));
	assert_int_equal(kernel.entry, 0x1000040);
	assert_int_equal(kernel.nr_segments, 2);
	assert_int_equal(kernel.segments[0].size, 4096);
	assert_int_equal(kernel.segments[1].gpa, 0x1200000);
	assert_int_equal(kernel.end, 0x1200080);
}

static void pvh_refused(void **state)
{
	static const struct {
		unsigned offset, size;
		u64 value;
	} damages[] = {
		{4, 1, ELFCLASS32}, {18, 2, EM_386}, {54, 2, 32}, /* header size */
		{56, 2, 0},                                       /* no headers */
		{56, 2, 0xffff},                                  /* more than the file has */
		{32, 8, ~0ull},                                   /* headers far away */
		{64 + 8, 8, ~0ull},                               /* a segment's offset */
		{64 + 32, 8, ~0ull},                              /* its size in the file */
		{64 + 40, 8, 1},           /* smaller in memory than in the file */
		{64 + 24, 8, ~0ull - 100}, /* wraps around */
		{240, 4, 17},              /* another note */
		{232, 4, 0xffffffff},      /* a name without end */
		{236, 4, 0xffffffff},      /* a descriptor without end */
		{244, 4, 0},               /* another name */
		{64 + 2 * 56 + 32, 8, 23}, /* the note cut */
	};
	u8 file[ELF_SIZE];
	struct pvh_kernel kernel;

	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		make_elf(file);
		put(file + damages[i].offset, damages[i].size, damages[i].value);
		assert_non_null(pvh_parse(guarded(file, ELF_SIZE), ELF_SIZE, &kernel));
	}
}

static void check_pvh(const u8 *file, size_t size)
{
	struct pvh_kernel kernel;

	if (pvh_parse(file, size, &kernel))
		return;
	for (unsigned i = 0; i < kernel.nr_segments; i++) {
		const struct pvh_segment *s = &kernel.segments[i];

		assert_true(s->offset <= size && s->file_size <= size - s->offset);
		assert_true(s->file_size <= s->size && s->gpa + s->size <= kernel.end);
	}
}

static void pvh_truncated(void **state)
{
	u8 file[ELF_SIZE];
	struct pvh_kernel kernel;

	make_elf(file);
	for (size_t size = 0; size < ELF_SIZE; size++) {
		if (size < 520)
			assert_non_null(pvh_parse(guarded(file, size), size, &kernel));
		else
			check_pvh(guarded(file, size), size);
	}
}

static void pvh_damaged(void **state)
{
	unsigned seed = 2;

	for (unsigned i = 0; i < 20000; i++) {
		u8 file[ELF_SIZE];

		make_elf(file);
		for (unsigned n = 0; n < 4; n++)
			file[16 + (unsigned)rand_r(&seed) % 240] = (u8)rand_r(&seed);
		check_pvh(guarded(file, ELF_SIZE), ELF_SIZE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bzimage_good),
		cmocka_unit_test(bzimage_old),
		cmocka_unit_test(bzimage_refused),
		cmocka_unit_test(bzimage_truncated),
		cmocka_unit_test(bzimage_damaged),
		cmocka_unit_test(pvh_good),
		cmocka_unit_test(pvh_refused),
		cmocka_unit_test(pvh_truncated),
		cmocka_unit_test(pvh_damaged),
	};

	return cmocka_run_group_tests(tests, make_guard, NULL) ? 1 : 0;
}
