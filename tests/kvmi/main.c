/* SPDX-License-Identifier: MIT */
/* What the introspection server does, one behaviour a test: see harness.h for the command line. */
#include "tests/kvmi/groups.h"

int main(int argc, char **argv)
{
	static const struct test_group groups[] = {
		{"frame", frame_tests},
		{"allow", allow_tests},
		{"args", args_tests},
		{"hook", hook_tests},
		{"memory", memory_tests},
		{"regs", regs_tests},
		{"pause", pause_tests},
		{"register", register_tests},
		{"insn", insn_tests},
		{"pf", pf_tests},
		{"ctx", ctx_tests},
		{"inject", inject_tests},
		{"reply", reply_tests},
		{"v6", v6_tests},
		{"view", view_tests},
		{"greet", greet_tests},
		{"maps", maps_tests},
		{"maps-end", maps_end_tests},
		{"clients", clients_tests},
		{"partition", partition_tests},
		{0},
	};

	return harness_main(argc, argv, groups);
}
