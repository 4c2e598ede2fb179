/* SPDX-License-Identifier: MIT */
/*
 * kvmclock: the pages through which a guest reads the machine's clock without an exit.
 * Layout and protocol: Documentation/virt/kvm/x86/msr.rst of Linux. The version is odd while a
 * page is being written; all writers hold the clock's lock.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "engine/core/machine.h"
#include "engine/irqchip.h"
#include "engine/pv/kvm/pvclock.h"
#include "engine/time/clock.h"
#include "x86/kvm_guest.h"

/* x86 keeps stores in order, the compiler need not. */
static void order_stores(void)
{
	__asm__ volatile("" ::: "memory");
}

/* Odd version, the body, even version, in this order. */
static void publish(struct machine *m, u64 gpa, struct pvclock_time *info)
{
	u32 version = (info->version + 1) | 1;

	if (machine_write(m, gpa, &version, sizeof(version)))
		return;
	order_stores();
	machine_write(m, gpa + sizeof(version), &info->pad0, sizeof(*info) - sizeof(version));
	order_stores();
	version++;
	machine_write(m, gpa, &version, sizeof(version));
}

static int update(struct vcpu *v, u8 flags)
{
	u64 msr = __atomic_load_n(&v->cpu.msr.kvm_system_time, __ATOMIC_RELAXED);
	struct clock *c = machine_clock(v->machine);
	struct pvclock_time info;
	int err = -EINVAL;

	if (!(msr & PVCLOCK_ON))
		return -EINVAL;
	pthread_mutex_lock(&c->lock);
	clock_settle(c);
	if (!machine_read(v->machine, msr & ~PVCLOCK_ON, &info, sizeof(info))) {
		/* The guest clears GUEST_STOPPED when it has seen it. */
		flags |= PVCLOCK_TSC_STABLE | (info.flags & PVCLOCK_GUEST_STOPPED);
		info = (struct pvclock_time){
			.version = info.version,
			.tsc_timestamp = cpu_tsc_at(&v->cpu, c->tsc),
			.system_time = c->ns,
			.tsc_to_system_mul = c->mult,
			.tsc_shift = c->shift,
			.flags = flags,
		};
		if (unlikely(v->cpu.tsc_ratio))
			clock_scale(clock_scaled_hz(c, v->cpu.tsc_ratio), &info.tsc_to_system_mul,
				&info.tsc_shift);
		publish(v->machine, msr & ~PVCLOCK_ON, &info);
		err = 0;
	}
	pthread_mutex_unlock(&c->lock);
	return err;
}

void pvclock_update(struct vcpu *v)
{
	update(v, 0);
}

int vcpu_clock_stopped(struct vcpu *v)
{
	return update(v, PVCLOCK_GUEST_STOPPED);
}

/* Time of day at which the machine's clock was 0. */
void pvclock_write_wall_clock(struct machine *m, u64 gpa)
{
	struct pvclock_wall w = {0};
	u64 realtime, clock = machine_get_clock_at(m, NULL, &realtime);

	if (machine_read(m, gpa, &w.version, sizeof(w.version)))
		return;
	w.version = (w.version + 1) | 1;
	if (machine_write(m, gpa, &w.version, sizeof(w.version)))
		return;
	w.sec = (u32)((realtime - clock) / 1000000000ull);
	w.nsec = (u32)((realtime - clock) % 1000000000ull);
	order_stores();
	machine_write(m, gpa + sizeof(w.version), &w.sec, sizeof(w) - sizeof(w.version));
	order_stores();
	w.version++;
	machine_write(m, gpa, &w.version, sizeof(w.version));
}
