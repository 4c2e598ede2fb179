/* SPDX-License-Identifier: MIT */
/* The memory map follows from the amount of memory alone. */
#include "boot/load/e820.h"

unsigned e820_build(const struct ram *ram, struct e820_entry entries[E820_MAX])
{
	unsigned n = 0;

	entries[n++] = (struct e820_entry){0, GPA_LOW_END, E820_RAM};
	entries[n++] = (struct e820_entry){GPA_LOW_END, 0xa0000 - GPA_LOW_END, E820_RESERVED};
	entries[n++] = (struct e820_entry){GPA_ACPI, GPA_ACPI_END - GPA_ACPI, E820_RESERVED};
	entries[n++] = (struct e820_entry){GPA_HIGH, ram_low_end(ram) - GPA_HIGH, E820_RAM};
	if (ram_above_4g(ram))
		entries[n++] = (struct e820_entry){GPA_4G, ram_above_4g(ram), E820_RAM};
	return n;
}
