/* SPDX-License-Identifier: MIT */
/* The one place that knows all interfaces. */
#include "abi/interface.h"
#include "abi/kvm/kinds.h"
#include "abi/mshv/kinds.h"

const struct interface *const interfaces[] = {
	&kvm_interface,
	&mshv_interface,
	NULL,
};
