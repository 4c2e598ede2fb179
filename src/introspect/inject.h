/* SPDX-License-Identifier: MIT */
/* Exceptions that the tool has delivered, and what it is told of them (KVMI_EVENT_TRAP). On the vcpu's own thread. */
#ifndef INTROSPECT_INJECT_H
#define INTROSPECT_INJECT_H

#include "introspect/session.h"

/* It is delivered when what the vcpu does now is over. -KVM_EINVAL: it is no exception. -KVM_EBUSY: there is one on its way. */
int inject_ask(struct watched *w, u8 vector, bool has_error, u32 error, u64 address);
/* Does the processor push an error code with it? (SDM 3:6.15) */
bool inject_has_error(u8 vector);

/* The question e is over with this verdict: what waits is given to the engine. The verdict, changed if need be. */
enum tap_verdict inject_after(
	struct watched *w, const struct tap_event *e, enum tap_verdict verdict);
/* TAP_EXCEPTION: an exception is about to be delivered; is it ours? */
enum tap_verdict inject_delivers(struct watched *w, struct tap_event *e);

#endif
