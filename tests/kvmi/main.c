/* SPDX-License-Identifier: MIT */
/* What the introspection server does, one behaviour a test: see harness.h for the command line. */
#include "tests/kvmi/groups.h"

int main(int argc, char **argv)
{
	static const struct test_group groups[] = {
		{"frame", frame_tests},
		{0},
	};

	return harness_main(argc, argv, groups);
}
