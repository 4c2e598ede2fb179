/* SPDX-License-Identifier: MIT */
/* The `uservisor` tool: one file for each sub-command, one table in main.c. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/types.h"

#define EXIT_USAGE 2

/* argv[0] is the sub-command. The result is the exit status. */
int cli_boot(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_exec(int argc, char **argv);
int cli_inspect(int argc, char **argv);
int cli_trace(int argc, char **argv);

/* --only NAME of a sub-command: 0, or an error that was told. */
int cli_only(const char *command, const char *name);
/* The machines of what this process becomes or starts look for this tool. 0, or something was said. */
int cli_introspect(const char *command, const char *tool);
/* Become the program args[0], with our /dev/kvm (exec.c). The result is an exit status. */
int exec_program(char **args);

/* "uservisor COMMAND: sentence" on stderr. */
void cli_say(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A number of bytes with an optional suffix K, M, G or T; a plain number of things. False: it is neither. */
bool cli_parse_size(const char *text, u64 *bytes);
bool cli_parse_count(const char *text, unsigned *count);

#endif
