/* SPDX-License-Identifier: MIT */
/* The ACPI tables a guest needs to find its processors and interrupt controllers and to switch off. Pure building. */
#ifndef BOOT_LOAD_ACPI_H
#define BOOT_LOAD_ACPI_H

#include "base/types.h"

/* Builds RSDP, XSDT, FADT, FACS, DSDT and MADT in the zeroed area, which the guest sees at `gpa`; the RSDP comes first.
 * False when the area is too small. */
bool acpi_build(u8 *area, size_t size, u64 gpa, unsigned cpus);

/*
 * The definition block of the DSDT: one object, the package that tells which value in PM1 control means "off".
 * Returns its length; `out` has room for ACPI_AML_MAX bytes.
 */
#define ACPI_AML_MAX 32
size_t acpi_aml(u8 out[ACPI_AML_MAX]);

#endif
