/* SPDX-License-Identifier: MIT */
/* See box.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "box.h"

static int create(struct box *b)
{
	struct cage_ram ram;

	b->ram = mmap(NULL, BOX_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b->ram == MAP_FAILED)
		return -errno;
	ram = (struct cage_ram){b->ram, BOX_BYTES};
	return cage_create(&b->cage, &ram, 1);
}

void box_open(struct box *b)
{
	assert_int_equal(create(b), 0);
	assert_int_equal(box_map(b, CODE, 0, CAGE_READ | CAGE_EXEC), 0);
	assert_int_equal(box_map(b, DATA, 1, CAGE_READ | CAGE_WRITE), 0);
	assert_int_equal(box_map(b, STACK, 2, CAGE_READ | CAGE_WRITE), 0);
}

void box_close(struct box *b)
{
	cage_destroy(b->cage);
	munmap(b->ram, BOX_BYTES);
}

int box_setup(void **state)
{
	struct box *b = calloc(1, sizeof(*b));

	box_open(b);
	*state = b;
	return 0;
}

int box_teardown(void **state)
{
	box_close(*state);
	free(*state);
	return 0;
}

void box_code(struct box *b, const void *code, size_t n)
{
	memcpy(b->ram, code, n);
	b->regs = (struct cage_regs){.rip = CODE, .rflags = 0x202};
	b->regs.gpr[4] = STACK + 0xf00;
}

int box_map(struct box *b, u64 gva, unsigned page, u32 access)
{
	const struct cage_page p = {gva, b->ram + page * PAGE_SIZE, access};

	return cage_map(b->cage, &p, 1);
}

enum cage_stop box_run(struct box *b)
{
	return cage_run(b->cage, &b->regs, &b->event);
}

int box_main(const struct CMUnitTest *tests, size_t n)
{
	struct box b;
	int r = create(&b);

	if (r == -EOPNOTSUPP) {
		printf("no cage here: FSGSBASE or seccomp's user notification is missing or "
		       "forbidden, or the "
		       "thread sanitizer has taken its place\n");
		return 77;
	}
	if (r) {
		printf("cage_create: %d\n", r);
		return 1;
	}
	box_close(&b);
	return _cmocka_run_group_tests("cage", tests, n, NULL, NULL);
}
