/* SPDX-License-Identifier: MIT */
/* The VMM moves a clock: what guests read of it in their own memory follows. */
#include "engine/pv/clock.h"
#include "engine/irqchip.h"
#include "engine/pv/hyperv/hv.h"
#include "engine/pv/kvm/pvclock.h"
#include "engine/time/clock.h"
#include "engine/core/vcpus.h"

void machine_set_clock(struct machine *m, u64 ns)
{
	struct vcpus all;
	struct vcpu *v;

	clock_set(m, ns);
	all = vcpus_lock(m);
	for_each_vcpu(all, v)
	{
		pvclock_update(v);
		hv_timers_clock_set(v);
	}
	vcpus_unlock(all);
	hv_clock_changed(m);
}

void vcpu_set_tsc(struct vcpu *v, u64 value)
{
	tsc_set(v, value);
	pvclock_update(v);
	hv_clock_changed(v->machine);
}

void vcpu_set_tsc_offset(struct vcpu *v, s64 offset)
{
	tsc_set_offset(v, offset);
	pvclock_update(v);
	hv_clock_changed(v->machine);
}
