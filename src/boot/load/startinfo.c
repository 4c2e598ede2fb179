/* SPDX-License-Identifier: MIT */
/*
 * boot_params: offsets from the Linux boot protocol and "zero page" documents. hvm_start_info: Xen's public interface,
 * arch-x86/hvm/start_info.h.
 */
#include <string.h>

#include "boot/load/bzimage.h"
#include "boot/load/e820.h"
#include "boot/load/startinfo.h"

#define ZP_RSDP           0x070
#define ZP_E820_ENTRIES   0x1e8
#define ZP_TYPE_OF_LOADER 0x210
#define ZP_RAMDISK_IMAGE  0x218
#define ZP_RAMDISK_SIZE   0x21c
#define ZP_CMD_LINE_PTR   0x228
#define ZP_E820_TABLE     0x2d0
#define ZP_E820_STRIDE    20

#define LOADER_UNDEFINED 0xff

#define PVH_MAGIC     0x336ec578
#define PVH_MODULES   (GPA_PVH_INFO + 0x100)
#define PVH_MEMORY    (GPA_PVH_INFO + 0x200)
#define PVH_MAP_ENTRY 24

#define PTE_PRESENT BIT64(0)
#define PTE_WRITE   BIT64(1)
#define PTE_LARGE   BIT64(7)

static void put(const struct ram *ram, u64 gpa, size_t bytes, u64 value)
{
	memcpy(ram->base + gpa, &value, bytes);
}

/* 4 GiB mapped one to one with 2 MiB pages: the 64-bit protocol asks for the kernel, boot_params and command line. */
static void write_page_tables(const struct ram *ram)
{
	const u64 pml4 = GPA_PAGE_TABLES, pdpt = pml4 + PAGE_SIZE, pd = pdpt + PAGE_SIZE;

	put(ram, pml4, 8, pdpt | PTE_PRESENT | PTE_WRITE);
	for (u64 i = 0; i < 4; i++)
		put(ram, pdpt + i * 8, 8, (pd + i * PAGE_SIZE) | PTE_PRESENT | PTE_WRITE);
	for (u64 i = 0; i < 4 * 512; i++)
		put(ram, pd + i * 8, 8, i << 21 | PTE_PRESENT | PTE_WRITE | PTE_LARGE);
}

/* Flat segments where the protocol wants them: __BOOT_CS 0x10, __BOOT_DS 0x18. */
static void write_gdt(const struct ram *ram, bool long_mode)
{
	put(ram, GPA_GDT, 8, 0);
	put(ram, GPA_GDT + 0x10, 8, long_mode ? 0x00af9b000000ffffull : 0x00cf9b000000ffffull);
	put(ram, GPA_GDT + 0x18, 8, 0x00cf93000000ffffull);
}

void startinfo_long_mode(const struct ram *ram)
{
	write_page_tables(ram);
	write_gdt(ram, true);
}

static void write_zero_page_map(const struct ram *ram)
{
	struct e820_entry map[E820_MAX];
	unsigned n = e820_build(ram, map);

	put(ram, GPA_ZERO_PAGE + ZP_E820_ENTRIES, 1, n);
	for (unsigned i = 0; i < n; i++) {
		u64 at = GPA_ZERO_PAGE + ZP_E820_TABLE + i * ZP_E820_STRIDE;

		put(ram, at, 8, map[i].start);
		put(ram, at + 8, 8, map[i].size);
		put(ram, at + 16, 4, map[i].type);
	}
}

void startinfo_linux64(const struct ram *ram, const struct start_info *info)
{
	u8 *zero_page = ram->base + GPA_ZERO_PAGE;

	memset(zero_page, 0, PAGE_SIZE);
	memcpy(zero_page + BZIMAGE_HEADER, info->header, info->header_len);
	write_zero_page_map(ram);
	put(ram, GPA_ZERO_PAGE + ZP_RSDP, 8, GPA_ACPI);
	put(ram, GPA_ZERO_PAGE + ZP_TYPE_OF_LOADER, 1, LOADER_UNDEFINED);
	put(ram, GPA_ZERO_PAGE + ZP_CMD_LINE_PTR, 4, GPA_CMDLINE);
	put(ram, GPA_ZERO_PAGE + ZP_RAMDISK_IMAGE, 4, info->initrd);
	put(ram, GPA_ZERO_PAGE + ZP_RAMDISK_SIZE, 4, info->initrd_size);
	startinfo_long_mode(ram);
}

static unsigned write_pvh_map(const struct ram *ram)
{
	struct e820_entry map[E820_MAX];
	unsigned n = e820_build(ram, map);

	for (unsigned i = 0; i < n; i++) {
		u64 at = PVH_MEMORY + i * PVH_MAP_ENTRY;

		put(ram, at, 8, map[i].start);
		put(ram, at + 8, 8, map[i].size);
		put(ram, at + 16, 4, map[i].type);
	}
	return n;
}

void startinfo_pvh(const struct ram *ram, const struct start_info *info)
{
	memset(ram->base + GPA_PVH_INFO, 0, PAGE_SIZE);
	put(ram, GPA_PVH_INFO, 4, PVH_MAGIC);
	put(ram, GPA_PVH_INFO + 4, 4, 1); /* version: with a memory map */
	if (info->initrd_size) {
		put(ram, GPA_PVH_INFO + 12, 4, 1);
		put(ram, GPA_PVH_INFO + 16, 8, PVH_MODULES);
		put(ram, PVH_MODULES, 8, info->initrd);
		put(ram, PVH_MODULES + 8, 8, info->initrd_size);
	}
	put(ram, GPA_PVH_INFO + 24, 8, GPA_CMDLINE);
	put(ram, GPA_PVH_INFO + 32, 8, GPA_ACPI);
	put(ram, GPA_PVH_INFO + 40, 8, PVH_MEMORY);
	put(ram, GPA_PVH_INFO + 48, 4, write_pvh_map(ram));
	write_gdt(ram, false);
}
