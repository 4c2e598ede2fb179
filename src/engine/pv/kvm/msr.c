/* SPDX-License-Identifier: MIT */
/* See msr.h. What the pages hold is in pvclock.c and eoi.c; that of steal time is found when the vcpu runs next. */
#include "engine/pv/kvm/msr.h"

#include <errno.h>

#include "engine/mem/memory.h"
#include "engine/pv/kvm/eoi.h"
#include "engine/pv/kvm/pvclock.h"
#include "x86/kvm_guest.h"

/*
 * Asynchronous page faults (Linux: Documentation/virt/kvm/x86/msr.rst): what may be written. The guest is told of
 * none; it waits for its pages, as it must be ready to do. Linux stores the value even if there is no memory.
 */
static int set_async_pf(struct vcpu *v, u64 value)
{
	if (value & ASYNC_PF_RESERVED || (value && !v->lapic))
		return -EINVAL;
	v->cpu.msr.kvm_async_pf = value;
	if ((value & ASYNC_PF_ON) == ASYNC_PF_ON &&
		!machine_has_ram(v->machine, value & ASYNC_PF_PAGE, sizeof(u64)))
		return -EINVAL;
	return 0;
}

/* Linux refuses 0, too, where there is no local APIC; VMMs that restore all they know write it. */
static int set_async_pf_vector(struct vcpu *v, u64 value)
{
	if (value > 0xff || (value && !v->lapic))
		return -EINVAL;
	v->cpu.msr.kvm_async_pf_int = value;
	return 0;
}

static int set_wall_clock(struct vcpu *v, u64 value)
{
	v->cpu.msr.kvm_wall_clock = value;
	if (value) /* 0 is no address: VMMs write it at resets */
		pvclock_write_wall_clock(v->machine, value);
	return 0;
}

static int set_system_time(struct vcpu *v, u64 value)
{
	v->cpu.msr.kvm_system_time = value;
	pvclock_update(v);
	return 0;
}

int kvm_msr_set(struct vcpu *v, u32 index, u64 value, bool host)
{
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW: return set_wall_clock(v, value);
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW: return set_system_time(v, value);
	case MSR_KVM_ASYNC_PF_EN: return set_async_pf(v, value);
	case MSR_KVM_ASYNC_PF_INT: return set_async_pf_vector(v, value);
	case MSR_KVM_PV_EOI_EN: return pv_eoi_set(v, value);
	default: return -EINVAL;
	}
}
