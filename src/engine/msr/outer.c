/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers that concern others than the cpu: each row of the table names its owner, and here are the
 * ways to them. The TSC is at home here: others depend on it.
 */
#include <errno.h>

#include "engine/irq/lapic.h"
#include "engine/irqchip.h"
#include "engine/msr/msr.h"
#include "engine/msr/table.h"
#include "engine/pv/clock.h"
#include "engine/pv/hyperv/hv.h"
#include "engine/pv/kvm/msr.h"
#include "engine/pv/kvm/pvclock.h"
#include "engine/pv/xen/xen.h"
#include "engine/time/clock.h"
#include "engine/cpu/mode.h"
#include "x86/msr.h"

/* ---- the TSC ---- */

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

/* The VMM restores each by itself. */
static int tsc_restore(struct vcpu *v, u32 index, u64 value)
{
	if (index == MSR_TSC_ADJUST) {
		v->cpu.msr.tsc_adjust = value;
		return 0;
	}
	vcpu_set_tsc(v, value);
	outer_tsc_moved(v);
	return 0;
}

static int tsc_write(struct vcpu *v, u32 index, u64 value, bool host)
{
	if (host)
		return tsc_restore(v, index, value);
	return move_tsc(
		v, value - (index == MSR_TSC ? cpu_tsc_now(&v->cpu) : v->cpu.msr.tsc_adjust));
}

/* ---- the local APIC ---- */

static int lapic_get(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	return lapic_read_msr(v, index, ret);
}

static int lapic_set(struct vcpu *v, u32 index, u64 value, bool host)
{
	return index == MSR_APIC_BASE && host ? lapic_set_base(v, value)
					      : lapic_write_msr(v, index, value);
}

/* ---- by owner ---- */

static const struct {
	int (*get)(struct vcpu *v, u32 index, u64 *ret, bool host);
	int (*set)(struct vcpu *v, u32 index, u64 value, bool host);
} owners[MSR_OWNERS] = {
	[OWNER_CLOCK] = {NULL, tsc_write},
	[OWNER_LAPIC] = {lapic_get, lapic_set},
	[OWNER_KVM] = {NULL, kvm_msr_set},
	[OWNER_HYPERV] = {hv_msr_get, hv_msr_set},
};

int outer_msr_get(struct vcpu *v, u32 index, u64 *ret, bool host)
{
	const struct msr_desc *d = msr_find(index);

	return d && owners[d->owner].get ? owners[d->owner].get(v, index, ret, host) : -ENOENT;
}

int outer_msr_set(struct vcpu *v, u32 index, u64 value, bool host)
{
	const struct msr_desc *d = msr_find(index);

	if (!host && xen_is_msr(v->machine, index))
		return xen_write_page(v, value);
	return d && owners[d->owner].set ? owners[d->owner].set(v, index, value, host) : -ENOENT;
}
