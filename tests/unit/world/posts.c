/* SPDX-License-Identifier: MIT */
#include "posts.h"

#include "engine/core/vcpu.h"

static _Atomic unsigned posts[MACHINE_MAX_VCPUS];

void __real_vcpu_post_event(struct vcpu *v);
void __wrap_vcpu_post_event(struct vcpu *v);

void __wrap_vcpu_post_event(struct vcpu *v)
{
	atomic_fetch_add(&posts[v->id % MACHINE_MAX_VCPUS], 1);
	__real_vcpu_post_event(v);
}

unsigned world_posts(struct vcpu *v)
{
	return atomic_exchange(&posts[v->id % MACHINE_MAX_VCPUS], 0);
}
