/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers that concern others than the cpu: local APIC, timer, kvmclock, and the TSC, which the
 * last two are made from; KVM's own that name a place in guest memory.
 */
#include <errno.h>
#include <string.h>

#include "engine/pv/hyperv/hv.h"
#include "engine/irq/lapic.h"
#include "engine/irqchip.h"
#include "engine/mem/memory.h"
#include "engine/msr/msr.h"
#include "engine/pv/kvm/eoi.h"
#include "engine/pv/kvm/pvclock.h"
#include "engine/time/clock.h"
#include "engine/cpu/mode.h"

#define MSR_TSC                 0x10
#define MSR_KVM_WALL_CLOCK      0x11
#define MSR_KVM_SYSTEM_TIME     0x12
#define MSR_TSC_ADJUST          0x3b
#define MSR_TSC_DEADLINE        0x6e0
#define MSR_KVM_WALL_CLOCK_NEW  0x4b564d00
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_KVM_ASYNC_PF_EN     0x4b564d02
#define MSR_KVM_PV_EOI_EN       0x4b564d04
#define MSR_KVM_ASYNC_PF_INT    0x4b564d06

/* The deadline is a value of the TSC: it comes at another time now. */
void outer_tsc_moved(struct vcpu *v)
{
	u64 deadline;

	pvclock_update(v);
	if (!lapic_read_msr(v, MSR_TSC_DEADLINE, &deadline) && deadline)
		lapic_write_msr(v, MSR_TSC_DEADLINE, deadline);
}

int vcpu_set_tsc_khz(struct vcpu *v, u32 khz)
{
	int r = tsc_set_khz(v, khz);

	if (r)
		return r;
	cpu_update_mode(&v->cpu); /* how RDTSC is translated depends on it */
	outer_tsc_moved(v);
	hv_clock_changed(v->machine);
	return 0;
}

/* By the guest: IA32_TSC_ADJUST and the TSC move together (SDM 3:17.17.3). */
static int move_tsc(struct vcpu *v, u64 by)
{
	struct cpu *cpu = &v->cpu;

	cpu->msr.tsc_adjust += by;
	__atomic_store_n(&cpu->tsc_offset, (s64)((u64)cpu->tsc_offset + by), __ATOMIC_RELAXED);
	outer_tsc_moved(v);
	return 0;
}

int outer_msr_read(struct vcpu *v, u32 index, u64 *ret)
{
	if (hv_is_msr(index))
		return hv_msr_get(v, index, ret, false);
	return lapic_read_msr(v, index, ret);
}

/* A page of calls, 32 bytes each: mov eax, n; vmcall or vmmcall; ret. As Xen's. */
static int write_xen_page(struct vcpu *v, u64 value)
{
	u8 page[PAGE_SIZE];

	memset(page, 0xcc, sizeof(page));
	for (u32 n = 0; n < PAGE_SIZE / 32; n++) {
		u8 *call = page + n * 32;

		call[0] = 0xb8;
		memcpy(call + 1, &n, 4);
		call[5] = 0x0f;
		call[6] = 0x01;
		call[7] = v->machine->vmmcall ? 0xd9 : 0xc1;
		call[8] = 0xc3;
	}
	return machine_write(v->machine, value & PAGE_MASK, page, sizeof(page)) ? -EINVAL : 0;
}

/*
 * Asynchronous page faults (Linux: Documentation/virt/kvm/x86/msr.rst): what may be written. The guest is told of
 * none; it waits for its pages, as it must be ready to do. Linux stores the value even if there is no memory.
 */
#define ASYNC_PF_ON       (BIT64(0) | BIT64(3)) /* enabled, "page ready" by an interrupt */
#define ASYNC_PF_RESERVED (BIT64(4) | BIT64(5))
#define ASYNC_PF_PAGE     (~(u64)0x3f)

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

int outer_msr_write(struct vcpu *v, u32 index, u64 value)
{
	if (v->machine->xen_msr && index == v->machine->xen_msr)
		return write_xen_page(v, value);
	if (hv_is_msr(index))
		return hv_msr_set(v, index, value, false);
	switch (index) {
	case MSR_TSC: return move_tsc(v, value - cpu_tsc_at(&v->cpu, host_tsc()));
	case MSR_TSC_ADJUST: return move_tsc(v, value - v->cpu.msr.tsc_adjust);
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		v->cpu.msr.kvm_wall_clock = value;
		if (value) /* 0 is no address: VMMs write it at resets */
			pvclock_write_wall_clock(v->machine, value);
		return 0;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		v->cpu.msr.kvm_system_time = value;
		pvclock_update(v);
		return 0;
	case MSR_KVM_ASYNC_PF_EN: return set_async_pf(v, value);
	case MSR_KVM_ASYNC_PF_INT: return set_async_pf_vector(v, value);
	case MSR_KVM_PV_EOI_EN: return pv_eoi_set(v, value);
	default: return lapic_write_msr(v, index, value);
	}
}
