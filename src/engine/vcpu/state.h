/* SPDX-License-Identifier: MIT */
/* What the files that are the door's view of a vcpu share: state.c, cpuid.c. */
#ifndef ENGINE_VCPU_STATE_H
#define ENGINE_VCPU_STATE_H

#include "engine/core/vcpu.h"

/* Where a request begins: what was said about an earlier one, or about the guest's own instructions, is over. */
static inline struct refusal *refusal_begin(struct vcpu *v)
{
	v->cpu.refusal.why = NULL;
	return &v->cpu.refusal;
}

#endif
