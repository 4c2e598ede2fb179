/* SPDX-License-Identifier: MIT */
/* uservisor doctor: what this machine offers. */
#include <stdio.h>

#include "boot/probe.h"
#include "cli/cli.h"

int cli_doctor(int argc, char **argv)
{
	struct probe_result probe;

	probe_kernel_kvm(&probe);
	printf("/dev/kvm: %s\n", probe.text);
	return 0;
}
