/* SPDX-License-Identifier: MIT */
/* What this machine offers, as far as the engines need it. Only looks; the probe of /dev/kvm is in probe.h. */
#ifndef BOOT_HOST_H
#define BOOT_HOST_H

#include <stdbool.h>

#include "base/hostcpu.h"

struct host_facts {
	bool vmx, svm;       /* the CPU shows hardware virtualization */
	bool in_vm;          /* the CPU says that there is a hypervisor below */
	struct host_cpu cpu; /* what translated code uses */
	bool exec_memfd;     /* memory can be shared and mapped executable */
	int exec_error;      /* errno value when not */
	char kvm_group[64];  /* whose members may open /dev/kvm; empty: nobody's */
};

void host_look(struct host_facts *facts);

#endif
