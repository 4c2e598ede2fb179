/* SPDX-License-Identifier: MIT */
/* Which output a terminal answers: one sequence of each kind, and neighbours that it does not answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "boot/query.h"

static unsigned questions(const char *text)
{
	struct query q = {0};
	unsigned n = 0;

	for (size_t i = 0; text[i]; i++)
		n += query_byte(&q, (u8)text[i]);
	return n;
}

static void test_answered(void **state)
{
	static const char *const asks[] = {"\033[6n", "\033[5n", "\033[?6n", "\033[c", "\033[0c",
		"\033[>c", "\033[>0c", "\033[=c", "\033]10;?\a", "\033]11;?\033\\", "\033]4;1;?\a",
		"\033[>q", "\033[>0q", "\033[?2026$p", "\033[4$p", "\033[?u", "\033[18t",
		"\033P+q544e\033\\", "\033P$qm\033\\", "\033Z", "\005", "\033\033[6n",
		"\033[1\033[6n"};

	for (size_t i = 0; i < ARRAY_SIZE(asks); i++)
		assert_int_equal(questions(asks[i]), 1);
	assert_int_equal(questions("a\033[6nb\033[c\033[0m"), 2);
}

static void test_not_answered(void **state)
{
	static const char *const quiet[] = {"plain?", "\033[0m", "\033[2J", "\033[1;1H",
		"\033[?25l", "\033[!p", "\033[2 q", "\033]0;title\a", "\033]0;title\033\\",
		"\033Pq#0\033\\", "\033[u", "6n", "\033(B", "[6n", "\033[6"};

	for (size_t i = 0; i < ARRAY_SIZE(quiet); i++)
		assert_int_equal(questions(quiet[i]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answered),
		cmocka_unit_test(test_not_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
