/* SPDX-License-Identifier: MIT */
/* A dev with /dev/fake open (fake.h), for each test. */
#ifndef TESTS_UNIT_ABI_WORLD_H
#define TESTS_UNIT_ABI_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake.h"

struct fixture {
	struct dev *dev;
	int sys;
};

int world_setup(void **state);
int world_teardown(void **state);
#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

struct dev *dev_new(void);
/* What the request makes, which must not fail. */
int make(struct dev *d, int fd, unsigned long request, unsigned long number);
int make_box(struct fixture *f, unsigned long number);
int make_part(struct fixture *f, int box, unsigned long number);

bool was_released(int number);
/* It fails so, and says why. */
void expect_refused(struct dev *d, int fd, unsigned long request, long error);

#endif
