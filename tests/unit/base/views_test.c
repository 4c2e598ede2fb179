/* SPDX-License-Identifier: MIT */
/* views.h: what is written through one view is run through the other, by each way to have two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/views.h"
#include "base/without.h"

#define BYTES (64 * PAGE_SIZE)

static int run(const u8 *code)
{
	return ((int (*)(void))code)();
}

static void check(bool memfd)
{
	static const u8 one[] = {0xb8, 1, 0, 0, 0, 0xc3},
			two[] = {0xb8, 2, 0, 0, 0, 0xc3}; /* mov eax, n; ret */
	const size_t at[] = {0, BYTES - sizeof(one)};
	struct views v;

	assert_int_equal(views_map(&v, BYTES), 0);
	assert_int_equal(v.memfd, memfd);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		memcpy(v.write + at[i], one, sizeof(one));
		assert_int_equal(run(v.exec + at[i]), 1);
		memcpy(v.write + at[i], two, sizeof(two));
		assert_int_equal(run(v.exec + at[i]), 2);
	}
	views_unmap(&v, BYTES);
}

static void test_memfd(void **state)
{
	struct views v;

	unsetenv(WITHOUT_ENV);
	assert_int_equal(views_map(&v, BYTES), 0);
	views_unmap(&v, BYTES);
	if (!v.memfd) {
		print_message("this host has no executable memfds\n");
		skip();
	}
	check(true);
}

static void test_anonymous(void **state)
{
	setenv(WITHOUT_ENV, "execmem", 1);
	check(false);
	unsetenv(WITHOUT_ENV);
}

/* Nothing that size is to be had: an error, and nothing is left. */
static void test_too_much(void **state)
{
	struct views v = {.write = NULL};

	assert_true(views_map(&v, 1ull << 60) < 0);
	assert_null(v.write);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memfd),
		cmocka_unit_test(test_anonymous),
		cmocka_unit_test(test_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
