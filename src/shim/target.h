/* SPDX-License-Identifier: MIT */
/* What executing a file will really execute: the interpreter of a script, and of that... */
#ifndef SHIM_TARGET_H
#define SHIM_TARGET_H

#include <limits.h>

#include "shim/elffile.h"

#define SCRIPT_DEPTH 5 /* as many as the kernel follows */
#define SCRIPT_LINE  256

struct target {
	enum image_kind kind; /* never IMAGE_SCRIPT */
	int fd;               /* of the program, close-on-exec; -1 if IMAGE_FOREIGN */
	char name[PATH_MAX];  /* it was found by */
	/* Instead of argv[0], if it is a script: interpreter, its argument, script; innermost first. */
	unsigned count;
	char *args[3 * SCRIPT_DEPTH];
	char text[SCRIPT_DEPTH][SCRIPT_LINE + PATH_MAX];
};

/*
 * fd is an open descriptor of the file called name, which is closed or handed over in ret. Whether it may
 * be executed at all is for the kernel to say: what cannot be read or followed is IMAGE_FOREIGN.
 * Allocates nothing, so that a child of vfork() may ask.
 */
void target_find(const char *name, int fd, struct target *ret);

#endif
