/* SPDX-License-Identifier: MIT */
/* Intercept messages: an exit of the engine's, as the hypervisor tells it. */
#ifndef ABI_MSHV_MESSAGE_H
#define ABI_MSHV_MESSAGE_H

#include "abi/mshv/mshv.h"

/* What a message is made from. */
struct intercept {
	struct mshv_vp *vp;
	const struct exit *exit;
	const struct exit_insn *insn;
	const struct vcpu_view *look;
	u64 pending_interruption;
};

/* *ret is all 0. False: the exit is nobody's business, and the VP goes on. */
bool message_make(const struct intercept *f, struct hv_message *ret);
/* The registers cannot be a processor's: the VP has not run. */
void message_invalid_registers(const struct mshv_vp *v, struct hv_message *ret);

/* ---- for those who make some (message.c, intercept_message.c) ---- */

/* access: HV_INTERCEPT_*. */
void message_header(const struct intercept *f, struct hv_intercept_header *h, u8 access);
/* Of the instruction; returns how many. */
u8 message_bytes(const struct intercept *f, u8 *bytes);
/* The payload, to be filled: all of it is 0. */
void *message_begin(struct hv_message *m, u32 type, size_t bytes);
#define MESSAGE(m, type, structure)                                                                \
	({                                                                                         \
		_Static_assert(sizeof(structure) <= sizeof((m)->payload), "fits");                 \
		(structure *)message_begin(m, type, sizeof(structure));                            \
	})

void msr_message(const struct intercept *f, struct hv_message *m);
void hypercall_message(const struct intercept *f, struct hv_message *m);
void processor_message(const struct intercept *f, struct hv_message *m);

#endif
