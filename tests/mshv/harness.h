/* SPDX-License-Identifier: MIT */
/*
 * Tests of one program, each on a thread of its own, as the test programs of bindings in other languages run them: a
 * processor that one thread has made is used by another, and two machines live at the same time.
 *
 * A check that fails ends its test, and what the test had made stays. After a test that passed the process has as many
 * descriptors as before, where tests run one after the other.
 */
#ifndef TESTS_MSHV_HARNESS_H
#define TESTS_MSHV_HARNESS_H

#include "base/types.h"
#include "tests/check.h"

struct test {
	const char *name;
	void (*run)(void);
};

/* A file's tests, up to one without a name. */
struct test_group {
	const char *name;
	const struct test *tests;
};

/*
 * usage: PROGRAM [--must] [--parallel N] [NAME...]; a NAME is a part of the names of the tests to run. Without a device
 * the exit status is 77, but with --must 1.
 */
int harness_main(int argc, char **argv, const struct test_group *groups);

/* Ends the test. */
_Noreturn void test_skip(const char *why);
/* A remark in the output. */
void test_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A request, or a hypercall that the hypervisor refuses with this status. */
#define CHECK_OK(call) CHECK(check_ok_(#call, call))
#define CHECK_STATUS(call, want_error, want_status)                                                \
	do {                                                                                       \
		CHECK_EQ(call, want_error);                                                        \
		CHECK_EQ(root_last.status, want_status);                                           \
	} while (0)
bool check_ok_(const char *what, long result);

#endif
