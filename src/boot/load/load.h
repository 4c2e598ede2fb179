/* SPDX-License-Identifier: MIT */
/* Puts kernel, initrd, command line and everything the kernel is told into guest memory. */
#ifndef BOOT_LOAD_LOAD_H
#define BOOT_LOAD_LOAD_H

#include "boot/core/failure.h"
#include "boot/core/layout.h"

struct load_request {
	const char *kernel, *initrd; /* paths; initrd may be NULL */
	const char *cmdline;
	unsigned cpus;
};

/* How the first processor begins. */
enum start_mode {
	START_LINUX64, /* long mode, RSI = boot_params */
	START_PVH      /* 32-bit protected mode without paging, EBX = hvm_start_info */
};

struct start_state {
	enum start_mode mode;
	u64 entry;
	u64 info;
};

int load_guest(const struct load_request *request, struct ram *ram, struct start_state *start,
	struct failure *f);

#endif
