/* SPDX-License-Identifier: MIT */
/* uservisor: finds the sub-command. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/without.h"
#include "cli/cli.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{"boot", cli_boot, "boot a Linux kernel in this terminal"},
	{"doctor", cli_doctor, "show what this machine offers and what uservisor uses"},
	{"exec", cli_exec, "run a program that uses /dev/kvm or /dev/mshv"},
	{"inspect", cli_inspect, "look into a running VM, or watch its guest"},
	{"trace", cli_trace, "run a program and print its requests of these devices"},
};

static int help(FILE *out)
{
	fprintf(out, "Usage: uservisor COMMAND [OPTION]...\n\n"
		     "Virtual machines without virtualization hardware.\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\n`uservisor COMMAND --help` describes a command; --version prints the "
		     "version.\n");
	return out == stdout ? 0 : EXIT_USAGE;
}

static int run_command(int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "uservisor: '%s' is not a command: see `uservisor --help`\n", argv[1]);
	return EXIT_USAGE;
}

/* A misspelt name would test nothing, and pass. */
static bool environment_is_good(void)
{
	const char *name;
	size_t n = without_unknown(&name);

	if (n)
		fprintf(stderr,
			"uservisor: %s: '%.*s' is not a feature that can be disabled: choose from "
			"%s\n",
			WITHOUT_ENV, (int)n, name, without_names());
	return !n;
}

int main(int argc, char **argv)
{
	int status;

	if (!environment_is_good())
		return EXIT_USAGE;
	if (argc < 2)
		return help(stderr);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		status = help(stdout);
	else if (!strcmp(argv[1], "--version"))
		status = printf("uservisor " UV_VERSION "\n") < 0;
	else
		status = run_command(argc, argv);
	if (fflush(stdout) != 0 && status == 0) {
		fprintf(stderr, "uservisor: output cannot be written (%s): redirect it elsewhere\n",
			strerror(errno));
		return 1;
	}
	return status;
}
