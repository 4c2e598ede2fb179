/* SPDX-License-Identifier: MIT */
/*
 * The ACPI tables of a machine without PIC, PIT and the fixed hardware ("hardware-reduced", ACPI 6.3, 4.1): processors,
 * IOAPIC, a serial port, a PM timer, and how to switch off. Pure building.
 */
#ifndef TESTS_MSHV_VMM_ACPI_H
#define TESTS_MSHV_VMM_ACPI_H

#include "base/types.h"

#define PORT_SLEEP    0x600 /* reset, sleep control and sleep status in one */
#define SLEEP_RESET   1
#define SLEEP_S5      5
#define SLEEP_OFF     (SLEEP_S5 << 2 | 1 << 5)
#define PORT_PM_TIMER 0x608
#define PM_TIMER_HZ   3579545

struct tables_request {
	unsigned cpus;
	bool level; /* the serial port's interrupt is level-triggered */
};

/* Into the zeroed area, which the guest sees at gpa; the RSDP comes first. False: it is too small. */
bool tables_build(u8 *area, size_t size, u64 gpa, const struct tables_request *r);

#endif
