/* SPDX-License-Identifier: MIT */
/* USERVISOR_WITHOUT: which names are found, and which are reported. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/types.h"
#include "base/without.h"

static bool asked(const char *list, enum without feature)
{
	assert_int_equal(setenv(WITHOUT_ENV, list, 1), 0);
	return without(feature);
}

static void test_names(void **state)
{
	assert_true(asked("fsgsbase", WITHOUT_FSGSBASE));
	assert_false(asked("fsgsbase", WITHOUT_DISPATCH));
	assert_true(asked("userfaultfd,dispatch,execmem", WITHOUT_USERFAULTFD));
	assert_true(asked("userfaultfd,dispatch,execmem", WITHOUT_DISPATCH));
	assert_true(asked("userfaultfd,dispatch,execmem", WITHOUT_EXECMEM));
	assert_false(asked("userfaultfd,dispatch,execmem", WITHOUT_FSGSBASE));
}

static void test_whole_words(void **state)
{
	assert_false(asked("", WITHOUT_FSGSBASE));
	assert_false(asked("fsgs", WITHOUT_FSGSBASE));
	assert_false(asked("fsgsbase2", WITHOUT_FSGSBASE));
	assert_false(asked("fsgsbase execmem", WITHOUT_FSGSBASE));
	assert_true(asked(",,execmem,", WITHOUT_EXECMEM));
	unsetenv(WITHOUT_ENV);
	assert_false(without(WITHOUT_EXECMEM));
}

static bool reported(const char *list, const char *name)
{
	const char *at = "";
	size_t len;

	assert_int_equal(setenv(WITHOUT_ENV, list, 1), 0);
	len = without_unknown(&at);
	return len == strlen(name) && !memcmp(at, name, len);
}

static void test_unknown(void **state)
{
	assert_true(reported("", ""));
	assert_true(reported("fsgsbase,,dispatch,", ""));
	assert_true(reported("fsgsbase,foo,bar", "foo"));
	assert_true(reported("FSGSBASE", "FSGSBASE"));
	unsetenv(WITHOUT_ENV);
	assert_int_equal(without_unknown(NULL), 0);
}

/* What is said of the names is what is understood. */
static void test_names_told(void **state)
{
	char list[128], *to = list;

	for (const char *from = without_names(); *from; from++)
		if (*from != ' ')
			*to++ = *from;
	*to = 0;
	assert_true(reported(list, ""));
	for (unsigned i = WITHOUT_FSGSBASE; i <= WITHOUT_EXECMEM; i++)
		assert_true(asked(list, i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_whole_words),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_names_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
