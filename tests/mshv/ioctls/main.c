/* SPDX-License-Identifier: MIT */
/* What each request of /dev/mshv does, one behaviour a test: see harness.h for the command line. */
#include "tests/mshv/ioctls/groups.h"

int main(int argc, char **argv)
{
	static const struct test_group groups[] = {
		{"device", device_tests},
		{"partition", partition_tests},
		{"memory", memory_tests},
		{"vp", vp_tests},
		{"regs", regs_tests},
		{"page", page_tests},
		{"run", run_tests},
		{"message", message_tests},
		{"emulate", emulate_tests},
		{"state", state_tests},
		{"irq", irq_tests},
		{"routing", routing_tests},
		{"event", event_tests},
		{"dirty", dirty_tests},
		{"translate", translate_tests},
		{"cpuid", cpuid_tests},
		{"synic", synic_tests},
		{"guest call", guest_call_tests},
		{0},
	};

	return harness_main(argc, argv, groups);
}
