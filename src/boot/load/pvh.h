/* SPDX-License-Identifier: MIT */
/* An ELF kernel (vmlinux) with a PVH entry. Pure parsing: every offset in the file is checked. */
#ifndef BOOT_LOAD_PVH_H
#define BOOT_LOAD_PVH_H

#include "base/types.h"

#define PVH_SEGMENTS_MAX 16

struct pvh_segment {
	u64 offset, file_size; /* in the file */
	u64 gpa, size;         /* in memory; zeros after file_size */
};

struct pvh_kernel {
	u32 entry; /* XEN_ELFNOTE_PHYS32_ENTRY: 32-bit protected mode, paging off */
	unsigned nr_segments;
	struct pvh_segment segments[PVH_SEGMENTS_MAX];
	u64 end; /* of the highest segment */
};

bool pvh_recognised(const u8 *file, size_t size);
/* NULL when it can be booted, else what is wrong and what to do. */
const char *pvh_parse(const u8 *file, size_t size, struct pvh_kernel *out);

#endif
