/* SPDX-License-Identifier: MIT */
/* The tests of each file. */
#ifndef TESTS_KVMI_GROUPS_H
#define TESTS_KVMI_GROUPS_H

#include "tests/kvmi/harness.h"

extern const struct test frame_tests[], allow_tests[], args_tests[], hook_tests[], memory_tests[],
	regs_tests[], pause_tests[], register_tests[], insn_tests[], pf_tests[], ctx_tests[],
	inject_tests[], reply_tests[], v6_tests[], clients_tests[], view_tests[], greet_tests[],
	maps_tests[], maps_end_tests[], partition_tests[];

#endif
