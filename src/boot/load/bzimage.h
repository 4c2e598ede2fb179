/* SPDX-License-Identifier: MIT */
/* The Linux boot protocol's kernel file (Documentation/arch/x86/boot.rst), 64-bit entry. Pure parsing. */
#ifndef BOOT_LOAD_BZIMAGE_H
#define BOOT_LOAD_BZIMAGE_H

#include "base/types.h"

#define BZIMAGE_HEADER      0x1f1 /* where the setup header lies, in the file and in boot_params */
#define BZIMAGE_HEADER_MAX  0x290
#define BZIMAGE_ENTRY_64    0x200 /* offset of the 64-bit entry from the loaded code */
#define BZIMAGE_LOAD_LEGACY 0x100000ull

struct bzimage {
	const u8 *header; /* inside the file, header_len bytes */
	size_t header_len;
	u64 code_offset, code_size; /* of the protected-mode code in the file */
	u64 load_address;           /* where it wants to be */
	u64 init_size; /* memory it needs from there on before it has read the memory map */
	u64 alignment;
	bool relocatable;
	u64 initrd_max;  /* highest address of the initrd's last byte */
	u64 cmdline_max; /* without the final NUL */
};

bool bzimage_recognised(const u8 *file, size_t size);
/* NULL when it can be booted, else what is wrong and what to do. */
const char *bzimage_parse(const u8 *file, size_t size, struct bzimage *out);

#endif
