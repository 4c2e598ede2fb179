/* SPDX-License-Identifier: MIT */
/*
 * A partition as OpenVMM makes one: features that were not asked for first, CPUID results for all processors at once through
 * the partition, hypercalls forwarded.
 */
#ifndef TESTS_MSHV_OPENVMM_BRINGUP_H
#define TESTS_MSHV_OPENVMM_BRINGUP_H

#include "tests/mshv/machine.h"

/* In the order of its requests; a struct machine for all that machine.h does with one. machine_unmake() ends it. */
void bringup(struct machine *m, unsigned vps);

extern const struct test bringup_tests[], forward_tests[], inject_tests[], vmbus_tests[],
	save_tests[];

#endif
