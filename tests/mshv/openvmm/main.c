/* SPDX-License-Identifier: MIT */
/* What OpenVMM wants of /dev/mshv beyond what every client wants: see ../harness.h for the command line. */
#include "tests/mshv/openvmm/bringup.h"

int main(int argc, char **argv)
{
	static const struct test_group groups[] = {
		{"bringup", bringup_tests},
		{"forward", forward_tests},
		{"inject", inject_tests},
		{"vmbus", vmbus_tests},
		{"save", save_tests},
		{0},
	};

	return harness_main(argc, argv, groups);
}
