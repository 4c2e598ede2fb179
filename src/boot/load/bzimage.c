/* SPDX-License-Identifier: MIT */
/* Offsets are those of "The Real-Mode Kernel Header" in the boot protocol. */
#include <string.h>

#include "boot/load/bzimage.h"

#define SETUP_SECTS     0x1f1
#define SYSSIZE         0x1f4
#define BOOT_FLAG       0x1fe
#define JUMP_LENGTH     0x201
#define MAGIC           0x202
#define VERSION         0x206
#define LOADFLAGS       0x211
#define INITRD_ADDR_MAX 0x22c
#define ALIGNMENT       0x230
#define RELOCATABLE     0x234
#define XLOADFLAGS      0x236
#define CMDLINE_SIZE    0x238
#define PREF_ADDRESS    0x258
#define INIT_SIZE       0x260
#define FIXED_END       0x264 /* all of the above lie below */

#define VERSION_CMDLINE 0x206 /* cmdline_size; the oldest with a safe length */
#define VERSION_PREF    0x20a /* pref_address, init_size */
#define VERSION_XLOAD   0x20c /* xloadflags */

#define LOADED_HIGH BIT(0)
#define KERNEL_64   BIT(0)

static u64 field(const u8 *file, unsigned offset, unsigned size)
{
	u64 value = 0;

	memcpy(&value, file + offset, size); /* both sides are little endian */
	return value;
}

bool bzimage_recognised(const u8 *file, size_t size)
{
	return size >= MAGIC + 4 && field(file, BOOT_FLAG, 2) == 0xaa55 &&
	       !memcmp(file + MAGIC, "HdrS", 4);
}

static const char *parse_code(const u8 *file, size_t size, struct bzimage *out)
{
	u64 sectors = field(file, SETUP_SECTS, 1);
	u64 paragraphs = field(file, SYSSIZE, 4);

	out->code_offset = ((sectors ? sectors : 4) + 1) * 512;
	if (out->code_offset >= size)
		return "is truncated: copy the whole file";
	out->code_size = size - out->code_offset;
	/* syssize counts 16-byte paragraphs; what follows (a signature) is not part of the kernel. */
	if (paragraphs * 16 >= out->code_size + 16)
		return "is truncated: copy the whole file";
	if (paragraphs)
		out->code_size = MIN(out->code_size, paragraphs * 16);
	if (out->code_size <= BZIMAGE_ENTRY_64)
		return "has no 64-bit entry point: give an x86-64 kernel";
	return NULL;
}

static const char *parse_placement(const u8 *file, unsigned version, struct bzimage *out)
{
	out->relocatable = field(file, RELOCATABLE, 1) != 0;
	out->alignment = field(file, ALIGNMENT, 4);
	out->load_address = BZIMAGE_LOAD_LEGACY;
	out->init_size = out->code_size;
	if (version >= VERSION_PREF) {
		out->load_address = field(file, PREF_ADDRESS, 8);
		out->init_size = MAX(field(file, INIT_SIZE, 4), out->code_size);
	}
	if (out->load_address < BZIMAGE_LOAD_LEGACY || out->load_address >= 1ull << 32)
		return "has a damaged header (load address): copy it again";
	if (out->relocatable && (!out->alignment || (out->alignment & (out->alignment - 1))))
		return "has a damaged header (alignment): copy it again";
	return NULL;
}

const char *bzimage_parse(const u8 *file, size_t size, struct bzimage *out)
{
	unsigned version;
	const char *wrong;

	memset(out, 0, sizeof(*out));
	if (!bzimage_recognised(file, size))
		return "is not a bzImage: give a Linux bzImage";
	if (size < FIXED_END)
		return "is truncated: copy the whole file";
	version = (unsigned)field(file, VERSION, 2);
	if (version < VERSION_CMDLINE || !(field(file, LOADFLAGS, 1) & LOADED_HIGH))
		return "is older than boot protocol 2.06: give a newer kernel";
	if (version >= VERSION_XLOAD && !(field(file, XLOADFLAGS, 2) & KERNEL_64))
		return "is a 32-bit kernel: give an x86-64 one";
	wrong = parse_code(file, size, out);
	if (!wrong)
		wrong = parse_placement(file, version, out);
	out->header = file + BZIMAGE_HEADER;
	/* The jump over the header tells where it ends. */
	out->header_len = MAGIC + field(file, JUMP_LENGTH, 1) - BZIMAGE_HEADER;
	out->header_len = MIN(out->header_len, BZIMAGE_HEADER_MAX - BZIMAGE_HEADER);
	out->header_len = MIN(out->header_len, size - BZIMAGE_HEADER);
	out->initrd_max = field(file, INITRD_ADDR_MAX, 4);
	out->cmdline_max = field(file, CMDLINE_SIZE, 4);
	return wrong;
}
