/* SPDX-License-Identifier: MIT */
/* Hypercalls of a guest that the interface serves: guest_call.c. */
#ifndef ABI_MSHV_GUEST_CALL_H
#define ABI_MSHV_GUEST_CALL_H

#include "abi/mshv/mshv.h"

/* The VP has left in front of a hypercall (EXIT_HYPERV). False: it is none of these. Else it has been done. */
bool guest_call_serve(struct mshv_vp *v, const struct exit *x);
/* What a hypercall returns, put where its caller looks for it: s has ST_REGS and ST_SREGS. */
void guest_call_result(struct vcpu_state *s, u64 result);

#endif
