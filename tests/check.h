/* SPDX-License-Identifier: MIT */
/* What a test that is no cmocka test checks with. Each program says in its harness what a check that fails does. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

/* Ends the test. */
_Noreturn void test_failed(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			test_failed(__FILE__, __LINE__, "%s", #condition);                         \
	} while (0)

#define CHECK_EQ(value, want)                                                                      \
	do {                                                                                       \
		const long long value_ = (long long)(value), want_ = (long long)(want);            \
		if (value_ != want_)                                                               \
			test_failed(__FILE__, __LINE__, "%s is 0x%llx (%lld), not 0x%llx (%lld)",  \
				#value, value_, value_, want_, want_);                             \
	} while (0)

#endif
