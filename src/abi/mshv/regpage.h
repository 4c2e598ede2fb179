/* SPDX-License-Identifier: MIT */
/* A VP's register page, which the VMM maps: filled after each exit, and read before the next run. The VP is the caller's. */
#ifndef ABI_MSHV_REGPAGE_H
#define ABI_MSHV_REGPAGE_H

#include "abi/mshv/mshv.h"

/* What the registers are now. */
void regpage_show(struct mshv_vp *v);
/* The same for who has looked already. */
void regpage_show_view(struct mshv_vp *v, const struct vcpu_view *look, u64 pending_interruption);
/* HV_REGISTER_PENDING_INTERRUPTION. */
u64 regpage_pending(const struct mshv_vp *v, const struct vcpu_view *look);
/* What the VMM says that it has changed. Values that no register can have are not taken. */
void regpage_take(struct mshv_vp *v);
/* The same for the thread that runs the VP, and so writes to the page itself: nothing is written there meanwhile. */
void regpage_take_own(struct mshv_vp *v);

#endif
