/* SPDX-License-Identifier: MIT */
/* Executing a VP. */
#ifndef ABI_MSHV_RUN_H
#define ABI_MSHV_RUN_H

#include "abi/mshv/mshv.h"

/*
 * What the VMM has written into the register page, then guest code, until there is a message, which the page shows as well: 0,
 * with *ret, always the same place and at first all 0; or -EINTR. The VP is the caller's, and its signals have begun.
 */
int vp_execute(struct mshv_vp *v, struct hv_message *ret);

#endif
