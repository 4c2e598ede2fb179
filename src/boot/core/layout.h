/* SPDX-License-Identifier: MIT */
/*
 * Where things lie in guest-physical memory and in port space. Everything below 640 KiB that boot puts there is free
 * for the kernel to take once it has read it; the ACPI tables stay and are reserved.
 */
#ifndef BOOT_CORE_LAYOUT_H
#define BOOT_CORE_LAYOUT_H

#include "base/types.h"

#define GPA_GDT         0x1000ull
#define GPA_PVH_INFO    0x6000ull
#define GPA_ZERO_PAGE   0x7000ull
#define GPA_PAGE_TABLES 0x9000ull  /* six pages */
#define GPA_CMDLINE     0x20000ull /* up to 64 KiB */
#define CMDLINE_MAX     0x10000ull
#define GPA_LOW_END     0x9fc00ull /* where an extended BIOS data area would begin */
#define GPA_ACPI        0xe0000ull /* where kernels look for the RSDP */
#define GPA_ACPI_END    0x100000ull
#define GPA_HIGH        0x100000ull   /* kernels are loaded from here on */
#define GPA_HOLE        0xe0000000ull /* libkvm puts no memory between here and 4 GiB */
#define GPA_4G          0x100000000ull

#define GPA_IOAPIC 0xfec00000ull
#define GPA_LAPIC  0xfee00000ull

#define PORT_RTC       0x70
#define PORT_COM1      0x3f8
#define PORT_PM_EVENT  0x600 /* status and enable, two bytes each */
#define PORT_PM_CTRL   0x604
#define PORT_PCI_ADDR  0xcf8
#define PORT_RESET     0xcf9
#define PORT_PCI_DATA  0xcfc
#define IRQ_COM1       4
#define IRQ_SCI        9
#define SLEEP_TYPE_OFF 5 /* what \_S5 says and PM1 control takes */

#define MEMORY_MIN (16ull << 20)
#define CPUS_MAX   128

/* Guest memory as libkvm lays it out: a guest-physical address is an offset from base, with a hole. */
struct ram {
	u8 *base;
	u64 size;
};

/* End of the memory below 4 GiB, and size of what lies above. */
static inline u64 ram_low_end(const struct ram *ram)
{
	return MIN(ram->size, GPA_HOLE);
}

static inline u64 ram_above_4g(const struct ram *ram)
{
	return ram->size > GPA_HOLE ? ram->size - GPA_HOLE : 0;
}

/* The host address of [gpa, gpa + len), or NULL when it is not all in memory above 1 MiB and below 4 GiB. */
static inline void *ram_high(const struct ram *ram, u64 gpa, u64 len)
{
	const u64 end = ram_low_end(ram);

	if (gpa < GPA_HIGH || gpa > end || len > end - gpa)
		return NULL;
	return ram->base + gpa;
}

#endif
