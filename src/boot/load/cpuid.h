/* SPDX-License-Identifier: MIT */
/* What the engine's CPUID does not say, because it is not the same for all processors or depends on us. Pure. */
#ifndef BOOT_LOAD_CPUID_H
#define BOOT_LOAD_CPUID_H

#include <libkvm.h>

/* Makes `list`, which has room for `room` entries, that of processor `cpu` of `cpus`. */
void cpuid_personalise(struct kvm_cpuid2 *list, unsigned room, unsigned cpu, unsigned cpus);
/* The local APIC's timer can be set by TSC value. */
void cpuid_add_tsc_deadline(struct kvm_cpuid2 *list);

#endif
