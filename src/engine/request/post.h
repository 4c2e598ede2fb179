/* SPDX-License-Identifier: MIT */
/*
 * What any thread may ask of a vcpu at any time: to take an event, to come out, to forget something.
 *
 * A request is a bit in cpu.exit_request, which the vcpu looks at before it goes into inner code and every few instructions
 * there. Who posts sets the bit first and then looks whether the vcpu sleeps; who goes to sleep does the two in the other
 * order. So one of them sees the other.
 */
#ifndef ENGINE_REQUEST_POST_H
#define ENGINE_REQUEST_POST_H

#include "engine/core/vcpu.h"

/* Something that an interrupt check would notice may have changed: come out or wake up. */
void vcpu_post_event(struct vcpu *v);
void vcpu_post_nmi(struct vcpu *v);
void vcpu_post_smi(struct vcpu *v);
void vcpu_post_init(struct vcpu *v);
void vcpu_post_sipi(struct vcpu *v, u8 vector);
void vcpu_post_unhalt(struct vcpu *v);
void vcpu_post_tap(struct vcpu *v);
/* Set REQ_* bits and make the vcpu see them; wait, with m->lock held: until it has acted on them or is out of inner code. */
void vcpu_request(struct vcpu *v, u32 req, bool wait);
/* Until it has acted on them, or is out of inner code. No lock is held: if it sleeps in guest RAM the heartbeat calls it away. */
void vcpu_await_acted(struct vcpu *v, u32 req);
/*
 * A vcpu that has not answered for so long may be held back by the host.
 *
 * The thread sanitizer takes a SIGILL that was sent for a fault, and has it interrupt its own run time, which does not bear that.
 * So there it is only for who surely sleeps.
 */
#ifdef __SANITIZE_THREAD__
#define VCPU_LATE_NS 250000000ull
#else
#define VCPU_LATE_NS 8000000ull
#endif
/* With machine.lock held: from an access to guest RAM that the host does not let it finish (host/recover.h). */
void vcpu_call_away(struct vcpu *v);

#endif
