/* SPDX-License-Identifier: MIT */
/* uservisor trace: uservisor exec, and every request in a line. The work is done in the program (shim/trace.c). */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "shim/trace.h"

static const char help_text[] =
	"Usage: uservisor trace [--json] [--kernel] [--only NAME] [-o FILE] [--] PROGRAM "
	"[ARGUMENT]...\n"
	"\n"
	"Runs a program as `uservisor exec` does, and prints a line for every request that it\n"
	"makes of /dev/kvm or /dev/mshv: seconds since the first open, thread, descriptor, "
	"request, the data\n"
	"that its argument points to, the result, and the exit of KVM_RUN.\n"
	"\n"
	"  -o, --output FILE  write the lines to FILE instead of standard error\n"
	"  --json             write each line as a JSON object; hexadecimal numbers are strings\n"
	"  --kernel           let the kernel's own device serve the requests\n"
	"  --only NAME        show the program one interface only, as `uservisor exec` does\n"
	"\n"
	"Exit status: that of `uservisor exec`.\n";

static const struct option options[] = {{"help", no_argument, NULL, 'h'},
	{"json", no_argument, NULL, 'j'}, {"kernel", no_argument, NULL, 'k'},
	{"output", required_argument, NULL, 'o'}, {"only", required_argument, NULL, 'y'},
	{NULL, 0, NULL, 0}};

/* Empties the file, and names it so that the program finds it from anywhere. */
static int use_file(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	char *path = fd < 0 ? NULL : realpath(name, NULL);
	int r = path ? setenv(TRACE_FILE_ENV, path, 1) : -1;

	if (r)
		cli_say("trace", "%s cannot be written: %s", name, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(path);
	return r ? EXIT_USAGE : 0;
}

static int take_option(int option, const char **format)
{
	switch (option) {
	case 'j': *format = "json"; return 0;
	case 'k': return setenv(TRACE_KERNEL_ENV, "1", 1) ? EXIT_USAGE : 0;
	case 'o': return use_file(optarg);
	case 'y': return cli_only("trace", optarg) ? EXIT_USAGE : 0;
	default: return EXIT_USAGE;
	}
}

int cli_trace(int argc, char **argv)
{
	const char *format = "text";
	int option, r;

	unsetenv(TRACE_FILE_ENV);
	unsetenv(TRACE_KERNEL_ENV);
	while ((option = getopt_long(argc, argv, "+o:", options, NULL)) != -1) {
		if (option == 'h')
			return fputs(help_text, stdout) < 0;
		r = take_option(option, &format);
		if (r)
			return r;
	}
	if (optind == argc) {
		cli_say("trace", "there is no program to run: see `uservisor trace --help`");
		return EXIT_USAGE;
	}
	if (setenv(TRACE_FORMAT_ENV, format, 1))
		return EXIT_USAGE;
	return exec_program(argv + optind);
}
