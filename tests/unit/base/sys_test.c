/* SPDX-License-Identifier: MIT */
/* The key of the engine's system calls, and copying what may not be there: with and without a key, as in a sandbox or not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sys.h"

#define BYTES (3 * PAGE_SIZE + 5)

static void copies(void)
{
	u8 *from = malloc(BYTES), *to = calloc(1, BYTES);

	for (size_t i = 0; i < BYTES; i++)
		from[i] = (u8)(i * 7);
	errno = 1;
	assert_int_equal(sys_copy(to, from, BYTES), 0);
	assert_memory_equal(to, from, BYTES);
	assert_int_equal(sys_copy(to, (void *)8, 4), -EFAULT);
	assert_int_equal(sys_copy((void *)8, from, 4), -EFAULT);
	assert_int_equal(sys_copy(to, NULL, BYTES), -EFAULT);
	assert_int_equal(sys_copy(to, from, 0), 0);
	assert_int_equal(errno, 1);
	free(from);
	free(to);
}

/* The end of what is readable is in the middle. */
static void stops_at_a_hole(void)
{
	u8 *two = sys_mmap(
		   NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	   to[16];

	assert_true(two != MAP_FAILED && !sys_munmap(two + PAGE_SIZE, PAGE_SIZE));
	assert_int_equal(sys_copy(to, two + PAGE_SIZE - 8, 8), 0);
	assert_int_equal(sys_copy(to, two + PAGE_SIZE - 8, 16), -EFAULT);
	assert_int_equal(sys_copy(two + PAGE_SIZE - 8, to, 16), -EFAULT);
	sys_munmap(two, PAGE_SIZE);
}

/* One test, because there is no way back. */
static void key(void **state)
{
	u64 first;

	copies();
	stops_at_a_hole();
	assert_int_equal(sys_key, 0);
	assert_true(sys_key_make());
	first = sys_key;
	assert_true(first);
	assert_true(sys_key_make() && sys_key == first);
	copies();
	stops_at_a_hole();
	sys_key_renew();
	if (sys_key == first)
		print_message("the processor has no RDRAND: children keep the key\n");
	assert_true(sys_key);
	/* What has a fifth or sixth argument of its own, or none. */
	assert_int_equal(sys_getpid(), getpid());
	copies();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(key)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
