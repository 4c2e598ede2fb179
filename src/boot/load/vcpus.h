/* SPDX-License-Identifier: MIT */
/* The vCPUs' first state: CPUID with each one's identity, the local APIC as firmware leaves it, the entry state. */
#ifndef BOOT_LOAD_VCPUS_H
#define BOOT_LOAD_VCPUS_H

#include <libkvm.h>

#include "boot/core/failure.h"
#include "boot/load/load.h"

/* Makes vCPUs 0 to cpus - 1; the others wait for the first one's SIPI. */
int cpus_create(kvm_context_t kvm, unsigned cpus, struct failure *f);
/* vCPU 0's registers. */
int cpu_set_start(kvm_context_t kvm, const struct start_state *start, struct failure *f);

#endif
