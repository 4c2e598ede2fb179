/* SPDX-License-Identifier: MIT */
/*
 * uservisor-loader: `uservisor exec` alone, linked statically. Injected programs start it when they execute
 * others, from a descriptor: so it also works where there are no libraries, in a chroot.
 */
#include "cli/cli.h"

int main(int argc, char **argv)
{
	if (argc < 2)
		return EXIT_USAGE;
	return cli_exec(argc - 1, argv + 1);
}
