/* SPDX-License-Identifier: MIT */
/* Files given by the user: opened with every mistake told apart, read completely or not at all. */
#ifndef BOOT_LOAD_FILE_H
#define BOOT_LOAD_FILE_H

#include "base/types.h"
#include "boot/core/failure.h"

struct file {
	const char *option; /* the option that named it */
	const char *path;
	int fd;
	u64 size;
};

/* A regular, readable, non-empty file. */
int file_open(struct file *file, const char *option, const char *path, struct failure *f);
/* All of it to `to`. */
int file_read(const struct file *file, void *to, struct failure *f);
void file_close(struct file *file);

#endif
