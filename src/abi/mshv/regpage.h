/* SPDX-License-Identifier: MIT */
/* A VP's register page, which the VMM maps: filled after each exit, and read before the next run. The VP is the caller's. */
#ifndef ABI_MSHV_REGPAGE_H
#define ABI_MSHV_REGPAGE_H

#include "abi/mshv/mshv.h"

/* What the registers are now. */
void regpage_show(struct mshv_vp *v);
/* The same for who has looked already, at these groups. */
#define REGPAGE_STATE (ST_REGS | ST_SREGS | ST_XCR | ST_DEBUG | ST_EVENT)
void regpage_show_state(struct mshv_vp *v, const struct vcpu_state *s);
/* What the VMM says that it has changed. Values that no register can have are not taken. */
void regpage_take(struct mshv_vp *v);

#endif
