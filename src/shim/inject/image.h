/* SPDX-License-Identifier: MIT */
/* Loading the program's file beside us. */
#ifndef SHIM_INJECT_IMAGE_H
#define SHIM_INJECT_IMAGE_H

#include <limits.h>

#include "shim/elffile.h"

#define IMAGE_TEXTS_MAX 4

struct image {
	u64 base; /* added to all addresses in the file */
	u64 entry, phdrs;
	u16 phdr_count, phdr_size;
	bool exec_stack;
	unsigned texts; /* segments that are executed and not written: start and end */
	u64 text[IMAGE_TEXTS_MAX][2];
	unsigned reads; /* and what is only read, or executed: the constants */
	u64 read[IMAGE_TEXTS_MAX][2];
	char interpreter[PATH_MAX]; /* of a dynamic program, or empty */
};

/*
 * Map the file's segments. -ENOEXEC: no x86-64 program; -EEXIST: its fixed addresses are taken.
 */
int image_load(int fd, struct image *ret);

#endif
