/* SPDX-License-Identifier: MIT */
/* KVM's hypercalls. */
#ifndef ENGINE_PV_KVM_HYPERCALL_H
#define ENGINE_PV_KVM_HYPERCALL_H

#include "engine/core/vcpu.h"

/* Answer x, an EXIT_HYPERCALL; false: it is for user space. */
bool hypercall_inside(struct vcpu *v, struct exit *x);

#endif
