/* SPDX-License-Identifier: MIT */
/*
 * Tests of introspection, each in a process of its own: one that fails, hangs or crashes ends nothing else. A test that has
 * passed has closed what it has opened, and has left no thread. Any thread may check.
 */
#ifndef TESTS_KVMI_HARNESS_H
#define TESTS_KVMI_HARNESS_H

#include "base/types.h"
#include "tests/check.h"

/* The forms of the protocol: that of uapi/kvmi.h, and that of uapi/kvmi_v6.h. */
enum dialect { V5 = 1, V6 = 2, BOTH = 3 };

struct test {
	const char *name;
	void (*run)(enum dialect d);
	enum dialect dialects;
};
#define TEST(function, dialects)                                                                   \
	{                                                                                          \
#function, function, dialects                                                      \
	}

/* A file's tests, up to one without a name. */
struct test_group {
	const char *name;
	const struct test *tests;
};

/* usage: PROGRAM [--list] [--in-process] [NAME...]; a NAME is a part of the names of the tests to run. */
int harness_main(int argc, char **argv, const struct test_group *groups);

/* How long a test waits for anything: it only ends what hangs. */
unsigned wait_ms(void);

#endif
