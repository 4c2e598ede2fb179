/* SPDX-License-Identifier: MIT */
/*
 * Running a program inside this process: the door of shim/inject.
 *
 * For programs that make their system calls themselves, where no library can be put between:
 * static ones above all. docs/shim.md, "Static programs", tells how.
 */
#ifndef SHIM_INJECT_INJECT_H
#define SHIM_INJECT_INJECT_H

#include "shim/inject/image.h"

/* "never": the program's call sites stay as they are, also in programs that it executes. */
#define INJECT_REWRITE_ENV "USERVISOR_REWRITE"

struct inject_config {
	const char *name; /* what the program was called by, for AT_EXECFN */
	int fd;           /* its file, which is kept open */
	int self; /* an executable that does as `uservisor exec`: what is executed next starts it */
	char **argv, **envp; /* of the program */
	const char *preload; /* library for dynamic programs that it executes, or NULL */
	int filters;         /* seccomp filters from before an exec (seccomp_save()), or -1 */
};

/*
 * The calling process becomes the program. Comes back only if that cannot be: -ENOSYS (the
 * kernel has no Syscall User Dispatch), -EEXIST (the program's addresses are not free), -ENOEXEC,
 * -ENOMEM, or what loading its interpreter gave.
 */
int inject_run(const struct inject_config *config);

#endif
