/* SPDX-License-Identifier: MIT */
/* Model-specific registers whose owner is not the cpu: local APIC, timer, kvmclock. */
#include "engine/vcpu_priv.h"

#define MSR_KVM_WALL_CLOCK      0x11
#define MSR_KVM_SYSTEM_TIME     0x12
#define MSR_KVM_WALL_CLOCK_NEW  0x4b564d00
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01

int outer_msr_read(struct vcpu *v, u32 index, u64 *ret)
{
	return lapic_read_msr(v, index, ret);
}

int outer_msr_write(struct vcpu *v, u32 index, u64 value)
{
	switch (index) {
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		v->cpu.msr.kvm_wall_clock = value;
		pvclock_write_wall_clock(v->machine, value);
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		v->cpu.msr.kvm_system_time = value;
		pvclock_update(v);
		return 0;
	default: return lapic_write_msr(v, index, value);
	}
}
