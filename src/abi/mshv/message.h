/* SPDX-License-Identifier: MIT */
/* Intercept messages: an exit of the engine's, as the hypervisor tells it. */
#ifndef ABI_MSHV_MESSAGE_H
#define ABI_MSHV_MESSAGE_H

#include "abi/mshv/mshv.h"

/* What vcpu_exit() says becomes *ret. False: the exit is nobody's business, and the VP goes on. */
bool message_make(struct mshv_vp *v, struct hv_message *ret);
/* The registers cannot be a processor's: the VP has not run. */
void message_invalid_registers(struct mshv_vp *v, struct hv_message *ret);

/* ---- for those who make some (message.c, intercept.c) ---- */

/* The groups of *ret_state that the header is made from. */
#define HEADER_STATE (ST_REGS | ST_SREGS | ST_DEBUG | ST_EVENT)
/* access: HV_INTERCEPT_*. */
void message_header(
	struct mshv_vp *v, struct hv_intercept_header *h, u8 access, struct vcpu_state *ret_state);
/* Of the instruction; returns how many. */
u8 message_bytes(const struct mshv_vp *v, u8 *bytes);
/* The payload, to be filled: all of it is 0. */
void *message_begin(struct hv_message *m, u32 type, size_t bytes);
#define MESSAGE(m, type, structure)                                                                \
	({                                                                                         \
		_Static_assert(sizeof(structure) <= sizeof((m)->payload), "fits");                 \
		(structure *)message_begin(m, type, sizeof(structure));                            \
	})

#endif
