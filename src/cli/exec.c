/* SPDX-License-Identifier: MIT */
/* uservisor exec: run a program with our /dev/kvm. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define LIBRARY "libuservisor-preload.so"

static const char help_text[] =
	"Usage: uservisor exec [--] PROGRAM [ARGUMENT]...\n"
	"\n"
	"Runs an unmodified program that uses /dev/kvm on the soft engine, whether or not\n"
	"this machine has a /dev/kvm of its own.\n"
	"\n"
	"Exit status: the program's; 126 it cannot be run, 127 it was not found, 2 wrong "
	"options.\n";

static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

/* Beside the executable, as in the build tree, or where it was installed. */
static bool find_library(char *path, size_t size)
{
	char self[PATH_MAX - sizeof("/" LIBRARY)];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n < 0 ? 0 : n] = 0;
	slash = strrchr(self, '/');
	if (slash) {
		*slash = 0;
		snprintf(path, size, "%s/" LIBRARY, self);
		if (!access(path, R_OK))
			return true;
	}
	snprintf(path, size, "%s/" LIBRARY, UV_LIBDIR);
	return !access(path, R_OK);
}

static int preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	char *value;

	if (asprintf(&value, "%s%s%s", library, old && *old ? ":" : "", old ? old : "") < 0)
		return -ENOMEM;
	return setenv("LD_PRELOAD", value, 1);
}

int cli_exec(int argc, char **argv)
{
	char library[PATH_MAX];
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (option == 'h')
			return fputs(help_text, stdout) < 0;
		return EXIT_USAGE;
	}
	if (optind == argc) {
		cli_say("exec", "no program was given: see `uservisor exec --help`");
		return EXIT_USAGE;
	}
	if (!find_library(library, sizeof(library))) {
		cli_say("exec", "%s is neither beside this executable nor in %s: install it again",
			LIBRARY, UV_LIBDIR);
		return 126;
	}
	if (preload(library))
		return 126;
	execvp(argv[optind], argv + optind);
	cli_say("exec", "%s cannot be run: %s", argv[optind], strerror(errno));
	return errno == ENOENT ? 127 : 126;
}
