/* SPDX-License-Identifier: MIT */
/* The memory map that the guest is told. */
#ifndef BOOT_LOAD_E820_H
#define BOOT_LOAD_E820_H

#include "boot/core/layout.h"

#define E820_MAX      8
#define E820_RAM      1
#define E820_RESERVED 2

struct e820_entry {
	u64 start, size;
	u32 type;
};

/* How many entries were written, in ascending order. */
unsigned e820_build(const struct ram *ram, struct e820_entry entries[E820_MAX]);

#endif
