/* SPDX-License-Identifier: MIT */
/* Intercepts that the VMM has asked for: HVCALL_INSTALL_INTERCEPT. What has no owner in the engine is intercepted always. */
#ifndef ABI_MSHV_INTERCEPT_H
#define ABI_MSHV_INTERCEPT_H

#include "abi/mshv/mshv.h"

int intercepts_init(struct mshv_partition *p);
void intercepts_free(struct mshv_partition *p);

/* An exit that the engine makes for an intercept, but that this one does not concern: is it so, and has it been done? */
bool intercept_unwanted(struct mshv_vp *v);

#endif
