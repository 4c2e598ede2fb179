/* SPDX-License-Identifier: MIT */
/* The tests of each file. */
#ifndef TESTS_MSHV_IOCTLS_GROUPS_H
#define TESTS_MSHV_IOCTLS_GROUPS_H

#include "tests/mshv/harness.h"

extern const struct test device_tests[], partition_tests[], memory_tests[], vp_tests[],
	regs_tests[], page_tests[], run_tests[], message_tests[], emulate_tests[], state_tests[],
	irq_tests[], routing_tests[], event_tests[], dirty_tests[], translate_tests[],
	cpuid_tests[], synic_tests[], guest_call_tests[];

#endif
