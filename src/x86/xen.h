/* SPDX-License-Identifier: MIT */
/* The numbers of Xen's interface to guests, as far as hypercalls go (Xen: public/arch-x86/xen-x86_64.h, cpuid.h). */
#ifndef X86_XEN_H
#define X86_XEN_H

#include "base/types.h"

#define XEN_CALL_BYTES  32      /* of each call in the hypercall page */
#define XEN_HYPERV_CALL BIT(31) /* in EAX, where both interfaces are: it is Hyper-V's */

#endif
