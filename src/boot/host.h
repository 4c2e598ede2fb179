/* SPDX-License-Identifier: MIT */
/* What this machine offers, as far as the engines and the shim use it, less what USERVISOR_WITHOUT says. Only looks; the probe of /dev/kvm is in probe.h. */
#ifndef BOOT_HOST_H
#define BOOT_HOST_H

#include <stdbool.h>

#include "base/hostcpu.h"

struct host_facts {
	bool vmx, svm;       /* the CPU shows hardware virtualization */
	bool in_vm;          /* the CPU says that there is a hypervisor below */
	struct host_cpu cpu; /* what translated code uses */
	int exec_error;      /* errno value when no memory can be mapped writable and executable */
	bool exec_memfd;     /* a memfd can */
	int direct_error;    /* errno value when user code of guests cannot run as it is */
	bool dispatch;       /* Syscall User Dispatch, Linux 5.11 */
	bool cpuid_faulting; /* a program's CPUID instruction can be made to trap */
	char kvm_group[64];  /* whose members may open /dev/kvm; empty: nobody's */
};

void host_look(struct host_facts *facts);

#endif
