/* SPDX-License-Identifier: MIT */
/* Pages of a cage: what is mapped is there, with these rights and no others, and nothing else is. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "box.h"
#include "cage/cage_priv.h"

static void load(struct box *b, u64 at)
{
	BOX_LOAD(b, accesses);
	b->regs.gpr[6] = at;
	b->regs.gpr[7] = DATA;
	b->regs.gpr[2] = 0x700000; /* which is not there: the end */
}

static void assert_readable(struct box *b, u64 at, u64 value)
{
	load(b, at);
	assert_fault(b, 0x700000, 0x14);
	assert_int_equal(b->regs.gpr[0], value);
}

static void assert_absent(struct box *b, u64 at)
{
	load(b, at);
	assert_fault(b, at, 4);
	assert_int_equal(b->regs.rip, CODE);
}

static void mark(struct box *b, unsigned page, u64 value)
{
	memcpy(b->ram + page * PAGE_SIZE, &value, sizeof(value));
}

static void unmap(void **state)
{
	struct box *b = *state;

	for (unsigned i = 0; i < 4; i++) {
		mark(b, 10 + i, 100 + i);
		assert_int_equal(box_map(b, 0x600000 + i * PAGE_SIZE, 10 + i, CAGE_READ), 0);
	}
	assert_int_equal(cage_unmap(b->cage, 0x601000, 2 * PAGE_SIZE), 0);
	assert_readable(b, 0x600000, 100);
	assert_absent(b, 0x601000);
	assert_absent(b, 0x602000);
	assert_readable(b, 0x603000, 103);
	/* Nothing is there: no error, and none around the cage's own area. */
	assert_int_equal(cage_unmap(b->cage, 0x601000, 2 * PAGE_SIZE), 0);
	assert_int_equal(cage_unmap(b->cage, CAGE_AREA - PAGE_SIZE, BOX_BYTES * 2), 0);
	assert_int_equal(cage_unmap(b->cage, 0xffff800000000000, PAGE_SIZE), 0);
	assert_int_equal(cage_unmap(b->cage, 1, PAGE_SIZE), -EINVAL);
	assert_readable(b, 0x603000, 103);
}

/* Code, too: after this not one instruction can be fetched. */
static void clear(void **state)
{
	struct box *b = *state;

	mark(b, 10, 100);
	assert_int_equal(box_map(b, 0x600000, 10, CAGE_READ), 0);
	assert_readable(b, 0x600000, 100);
	assert_int_equal(cage_clear(b->cage), 0);
	load(b, 0x600000);
	assert_fault(b, CODE, 0x14);
	assert_int_equal(box_map(b, CODE, 0, CAGE_READ | CAGE_EXEC), 0);
	assert_fault(b, 0x600000, 4);
}

/* Values of the last user's registers are nowhere in the region. */
static void clear_wipes_registers(void **state)
{
	struct box *b = *state;
	const u64 secret = 0x5ec2e7005ec2e7;

	BOX_LOAD(b, registers);
	for (unsigned i = 0; i < 16; i++)
		b->regs.gpr[i] = secret;
	b->regs.fs_base = b->regs.gs_base = secret & 0xffffffffffff;
	assert_int_equal(box_run(b), CAGE_TRAP);
	assert_int_equal(cage_clear(b->cage), 0);
	for (u64 at = CAGE_CONTROL; at < CAGE_REGION_SIZE; at += 8) {
		u64 word = *(u64 *)(b->cage->region + at);

		if (at < CAGE_COMMANDS || at >= CAGE_FRAME)
			assert_not_in_range(word, secret - 64, secret + 64);
		assert_not_in_range(word, secret & 0xffffffffffff, secret & 0xffffffffffff);
	}
}

static void rights(void **state)
{
	struct box *b = *state;

	mark(b, 10, 0xc3);
	BOX_LOAD(b, accesses);
	b->regs.gpr[6] = b->regs.gpr[7] = b->regs.gpr[2] = 0x600000;
	b->regs.gpr[3] = 0xc3;
	assert_int_equal(box_map(b, 0x600000, 10, CAGE_READ), 0);
	assert_fault(b, 0x600000, 7);
	assert_int_equal(b->regs.rip, CODE + 3);
	assert_int_equal(box_map(b, 0x600000, 10, CAGE_READ | CAGE_EXEC), 0);
	assert_fault(b, 0x600000, 7);
	assert_int_equal(box_map(b, 0x600000, 10, CAGE_WRITE), 0);
	assert_fault(b, 0x600000, 0x15);
	assert_int_equal(box_map(b, 0x600000, 10, CAGE_EXEC), 0);
	assert_int_equal(box_run(b), CAGE_TRAP);
	/* And taken away again. */
	assert_int_equal(box_map(b, 0x600000, 10, CAGE_READ), 0);
	b->regs.rip = CODE + 3;
	assert_fault(b, 0x600000, 7);
}

/* Two addresses for one page, and a page that is replaced by another. */
static void one_page_twice(void **state)
{
	struct box *b = *state;

	mark(b, 10, 1);
	mark(b, 11, 2);
	assert_int_equal(box_map(b, 0x600000, 10, ALL), 0);
	assert_int_equal(box_map(b, 0x7000000000, 10, CAGE_READ), 0);
	assert_readable(b, 0x7000000000, 1);
	mark(b, 10, 3);
	assert_readable(b, 0x7000000000, 3);
	assert_readable(b, 0x600000, 3);
	assert_int_equal(box_map(b, 0x600000, 11, CAGE_READ), 0);
	assert_readable(b, 0x600000, 2);
	assert_readable(b, 0x7000000000, 3);
}

/* In the same list as others, in order. */
static void taken_away(void **state)
{
	struct box *b = *state;
	const struct cage_page pages[] = {
		{0x600000, b->ram + 10 * PAGE_SIZE, CAGE_READ},
		{0x601000, b->ram + 11 * PAGE_SIZE, CAGE_READ},
		{0x602000, b->ram + 12 * PAGE_SIZE, CAGE_READ},
		{0x600000, NULL, 0},
		{0x601000, NULL, 0},
		{0x601000, b->ram + 13 * PAGE_SIZE, CAGE_READ},
	};
	const struct cage_page own = {CAGE_AREA, NULL, 0};

	for (unsigned i = 10; i < 14; i++)
		mark(b, i, 100 + i);
	assert_int_equal(cage_map(b->cage, pages, ARRAY_SIZE(pages)), 0);
	assert_absent(b, 0x600000);
	assert_readable(b, 0x601000, 113);
	assert_readable(b, 0x602000, 112);
	assert_int_equal(cage_map(b->cage, &own, 1), -EADDRINUSE);
}

static void wrong_pages(void **state)
{
	struct box *b = *state;
	const struct {
		struct cage_page page;
		int error;
	} cases[] = {
		{{CAGE_AREA, b->ram, CAGE_READ}, -EADDRINUSE},
		{{CAGE_AREA + CAGE_RAM + BOX_BYTES - PAGE_SIZE, b->ram, CAGE_READ}, -EADDRINUSE},
		{{0x600001, b->ram, CAGE_READ}, -EINVAL},
		{{0x600000, b->ram + 1, CAGE_READ}, -EINVAL},
		{{0x600000, b->ram, 8 | CAGE_READ}, -EINVAL},
		{{0x600000, b->ram - PAGE_SIZE, CAGE_READ}, -EINVAL},
		{{0x600000, b->ram + BOX_BYTES, CAGE_READ}, -EINVAL},
		{{0x600000, NULL, CAGE_READ}, -EINVAL},
	};
	const struct cage_page kernel = {0xffff800000000000, b->ram, CAGE_READ};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(cage_map(b->cage, &cases[i].page, 1), cases[i].error);
	assert_true(cage_map(b->cage, &kernel, 1) < 0);
	assert_int_equal(cage_map(b->cage, NULL, 0), 0);
	assert_int_equal(box_map(b, CAGE_AREA - PAGE_SIZE, 3, CAGE_READ), 0);
	mark(b, 3, 5);
	assert_readable(b, CAGE_AREA - PAGE_SIZE, 5);
}

/* More than the mapper is told at a time, in runs and one by one, in either order. */
static void many(void **state)
{
	enum { N = BOX_PAGES - 8 };
	struct box *b = *state;
	struct cage_page *page = calloc(N, sizeof(*page));

	for (unsigned i = 0; i < N; i++)
		mark(b, 8 + i, 1000 + i);
	for (unsigned step = 1; step <= 2; step++) {
		for (unsigned i = 0; i < N; i++)
			page[i] = (struct cage_page){0x20000000 + i * step * PAGE_SIZE,
				b->ram + (8 + i) * PAGE_SIZE, CAGE_READ};
		assert_int_equal(cage_map(b->cage, page, N), 0);
		for (unsigned i = 0; i < N; i += 11)
			assert_readable(b, page[i].gva, 1000 + i);
		assert_int_equal(cage_unmap(b->cage, 0x20000000, 2 * N * PAGE_SIZE), 0);
	}
	for (unsigned i = 0; i < N; i++)
		page[i].gva = 0x30000000 + (N - i) * PAGE_SIZE;
	assert_int_equal(cage_map(b->cage, page, N), 0);
	for (unsigned i = 0; i < N; i += 11)
		assert_readable(b, page[i].gva, 1000 + i);
	free(page);
}

/* ---- which memory ---- */

static int create_with(void *hva, u64 size)
{
	const struct cage_ram ram = {hva, size};
	struct cage *c;
	int r = cage_create(&c, &ram, 1);

	if (!r)
		cage_destroy(c);
	return r;
}

static void memory_that_is_refused(void **state)
{
	u8 *private = mmap(
		NULL, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	   *shared = mmap(
		   NULL, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_int_equal(create_with(private, 4 * PAGE_SIZE), -EOPNOTSUPP);
	assert_int_equal(create_with(shared, 4 * PAGE_SIZE), 0);
	assert_int_equal(create_with(shared + 1, PAGE_SIZE), -EINVAL);
	assert_int_equal(create_with(shared, 100), -EINVAL);
	munmap(shared + PAGE_SIZE, PAGE_SIZE); /* a hole */
	assert_int_equal(create_with(shared, 4 * PAGE_SIZE), -EOPNOTSUPP);
	assert_int_equal(create_with(shared + 2 * PAGE_SIZE, 2 * PAGE_SIZE), 0);
	setenv("USERVISOR_WITHOUT", "fsgsbase", 1);
	assert_int_equal(create_with(shared + 2 * PAGE_SIZE, 2 * PAGE_SIZE), -EOPNOTSUPP);
	unsetenv("USERVISOR_WITHOUT");
	munmap(private, 4 * PAGE_SIZE);
	munmap(shared, 4 * PAGE_SIZE);
}

/* Files of two ranges, one in two mappings; MADV_DONTFORK stays where it is. */
static bool is_not_inherited(const u8 *p)
{
	char line[256], at[32];
	bool here = false, found = false;
	FILE *f = fopen("/proc/self/smaps", "r");

	snprintf(at, sizeof(at), "%lx-", (unsigned long)p);
	while (fgets(line, sizeof(line), f)) {
		if (strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
			here = !strncmp(line, at, strlen(at));
		if (here && !strncmp(line, "VmFlags:", 8))
			found = strstr(line, " dc") != NULL;
	}
	fclose(f);
	return found;
}

static void memory_of_files(void **state)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);
	struct cage_ram ram[2];
	struct box b = {.ram = NULL};
	u8 *one, *two;

	assert_int_equal(ftruncate(fd, 16 * PAGE_SIZE), 0);
	one = mmap(NULL, 8 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	two = mmap(NULL, 8 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 8 * PAGE_SIZE);
	assert_int_equal(madvise(one, 4 * PAGE_SIZE, MADV_DONTFORK), 0);
	assert_int_equal(mprotect(two, 2 * PAGE_SIZE, PROT_READ), 0);
	ram[0] = (struct cage_ram){one, 8 * PAGE_SIZE};
	ram[1] = (struct cage_ram){two, 8 * PAGE_SIZE};
	assert_int_equal(cage_create(&b.cage, ram, 2), 0);
	assert_true(is_not_inherited(one));
	assert_false(is_not_inherited(one + 4 * PAGE_SIZE));
	b.ram = one;
	assert_int_equal(box_map(&b, CODE, 0, CAGE_READ | CAGE_EXEC), 0);
	assert_int_equal(box_map(&b, DATA, 5, CAGE_READ | CAGE_WRITE), 0);
	assert_int_equal(box_map(&b, STACK, 6, CAGE_READ | CAGE_WRITE), 0);
	b.ram = two;
	memcpy(two + 7 * PAGE_SIZE, &(u64){99}, 8);
	assert_int_equal(box_map(&b, 0x600000, 7, CAGE_READ), 0);
	b.ram = one;
	assert_readable(&b, 0x600000, 99);
	cage_destroy(b.cage);
	close(fd);
	munmap(one, 8 * PAGE_SIZE);
	munmap(two, 8 * PAGE_SIZE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(unmap), TEST(clear), TEST(clear_wipes_registers),
		TEST(rights), TEST(one_page_twice), TEST(taken_away), TEST(wrong_pages), TEST(many),
		cmocka_unit_test(memory_that_is_refused), cmocka_unit_test(memory_of_files)};

	return box_main(tests, ARRAY_SIZE(tests));
}
