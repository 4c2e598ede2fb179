/* SPDX-License-Identifier: MIT */
/* The host's processors, by the kernel's numbers. */
#ifndef ABI_MSHV_HOSTCPUS_H
#define ABI_MSHV_HOSTCPUS_H

#include "base/types.h"

/* All numbers are below this one; at least 1. */
unsigned hostcpus_possible(void);
bool hostcpu_is_online(unsigned cpu);
/* On which the calling thread runs; who does not stay there may be elsewhere by now. */
unsigned hostcpu_here(void);

#endif
