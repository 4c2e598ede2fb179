/* SPDX-License-Identifier: MIT */
/* What is used of the host's processor beyond the x86-64 baseline: by generated code, but for FSGSBASE. */
#ifndef BASE_HOSTCPU_H
#define BASE_HOSTCPU_H

#include "base/types.h"

struct host_cpu {
	bool bmi2;
	bool avx;      /* with XSAVE, and switched on by the system */
	bool fsgsbase; /* switched on by the system: Linux 5.9 or later. Saves the injected form of the shim system calls. */
};

/* AMD or Hygon: VMMCALL instead of VMCALL, among other things. */
bool host_cpu_is_amd(void);
/* It has VT-x or AMD-V, and nobody has hidden it. */
bool host_cpu_virtualizes(void);
/* XCR0: the components of processor state that the host's kernel has switched on. Without XSAVE, x87 and SSE. */
u64 host_xcr0(void);
void host_cpu_look(struct host_cpu *ret);
/* The first thing that is missing, in the words of the manuals, or NULL. */
const char *host_cpu_missing(const struct host_cpu *cpu);

/* Syscall User Dispatch, Linux 5.11: the kernel can hand a program's system calls to us. */
bool host_has_dispatch(void);

#endif
