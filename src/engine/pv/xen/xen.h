/* SPDX-License-Identifier: MIT */
/* Xen's hypercalls: which they are. What they do is the VMM's business (EXIT_XEN). */
#ifndef ENGINE_PV_XEN_XEN_H
#define ENGINE_PV_XEN_XEN_H

#include "engine/core/machine.h"
#include "engine/core/vcpu.h"
#include "x86/xen.h"

/* The MSR that places the hypercall page: the VMM chooses its number (machine_set_xen()). */
static inline bool xen_is_msr(const struct machine *m, u32 index)
{
	return index && m->xen_msr == index;
}

static inline bool xen_enabled(const struct machine *m)
{
	return m->xen_msr;
}

/* The guest has written that MSR. 0 or -EINVAL. */
int xen_write_page(struct vcpu *v, u64 value);

#endif
