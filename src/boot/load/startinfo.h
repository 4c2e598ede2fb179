/* SPDX-License-Identifier: MIT */
/* What the kernel is told: Linux's boot_params or PVH's hvm_start_info, page tables and GDT. Pure memory writing. */
#ifndef BOOT_LOAD_STARTINFO_H
#define BOOT_LOAD_STARTINFO_H

#include "boot/core/layout.h"

struct start_info {
	const u8 *header; /* the bzImage's setup header */
	size_t header_len;
	u64 initrd, initrd_size; /* 0 without */
};

/* What a start in long mode needs: GDT and page tables. */
void startinfo_long_mode(const struct ram *ram);
void startinfo_linux64(const struct ram *ram, const struct start_info *info);
void startinfo_pvh(const struct ram *ram, const struct start_info *info);

#endif
