/* SPDX-License-Identifier: MIT */
/* The tests of each file. */
#ifndef TESTS_KVMI_GROUPS_H
#define TESTS_KVMI_GROUPS_H

#include "tests/kvmi/harness.h"

extern const struct test frame_tests[];

#endif
