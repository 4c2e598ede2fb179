/* SPDX-License-Identifier: MIT */
/* The program's file: what kind it is, and loading it beside us. */
#ifndef SHIM_INJECT_IMAGE_H
#define SHIM_INJECT_IMAGE_H

#include <limits.h>

#include "base/types.h"

enum image_kind {
	IMAGE_FOREIGN, /* the kernel's business: 32-bit, another machine, no program at all */
	IMAGE_STATIC,  /* x86-64, no interpreter */
	IMAGE_DYNAMIC,
	IMAGE_SCRIPT, /* starts with #! */
};

struct image {
	u64 base; /* added to all addresses in the file */
	u64 entry, phdrs;
	u16 phdr_count, phdr_size;
	bool exec_stack;
	char interpreter[PATH_MAX]; /* of a dynamic program, or empty */
};

/* Looks at the beginning of the file. */
enum image_kind image_kind(int fd);
/*
 * Map the file's segments. -ENOEXEC: no x86-64 program; -EEXIST: its fixed addresses are taken.
 */
int image_load(int fd, struct image *ret);

#endif
