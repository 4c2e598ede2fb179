/* SPDX-License-Identifier: MIT */
/* Boots a Linux kernel in the user's terminal: a small VMM on libkvm. The door of src/boot for the command line. */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "base/types.h"

struct boot_config {
	const char *engine; /* a name that boot_knows_engine() */
	const char *kernel;
	const char *initrd; /* may be NULL */
	const char *append; /* may be NULL */
	u64 memory;
	unsigned cpus;
	void (*say)(const char *sentence); /* for the person at the terminal */
};

/* What the program's exit status says about the guest. */
enum boot_status {
	BOOT_POWERED_OFF = 0,
	BOOT_USAGE = 2, /* wrong options, or files that cannot be booted */
	BOOT_PANICKED = 3,
	BOOT_RESET = 4, /* a reset without a panic, or a triple fault */
	BOOT_FAILED = 5,
	BOOT_QUIT = 130,      /* Ctrl-A x */
	BOOT_SIGNALLED = 128, /* plus the signal's number */
};

int boot_run(const struct boot_config *config);

/* "auto", "kvm", "soft", "mshv" or "mshv-kernel". */
bool boot_knows_engine(const char *name);

#endif
