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

#define PVCLOCK_TSC_STABLE    BIT(0)
#define PVCLOCK_GUEST_STOPPED BIT(1)

struct vcpu_time_info {
	u32 version;
	u32 pad0;
	u64 tsc_timestamp;
	u64 system_time;
	u32 tsc_to_system_mul;
	s8 tsc_shift;
	u8 flags;
	u8 pad[2];
};
_Static_assert(sizeof(struct vcpu_time_info) == 32, "part of the guest's ABI");

struct wall_clock {
	u32 version, sec, nsec;
};

/* x86 keeps stores in order, the compiler need not. */
static void order_stores(void)
{
	__asm__ volatile("" ::: "memory");
}

/* Odd version, the body, even version, in this order. */
static void publish(struct machine *m, u64 gpa, struct vcpu_time_info *info)
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
	struct vcpu_time_info info;
	int err = -EINVAL;

	if (!(msr & 1))
		return -EINVAL;
	pthread_mutex_lock(&c->lock);
	clock_settle(c);
	if (!machine_read(v->machine, msr & ~1ull, &info, sizeof(info))) {
		/* The guest clears GUEST_STOPPED when it has seen it. */
		flags |= PVCLOCK_TSC_STABLE | (info.flags & PVCLOCK_GUEST_STOPPED);
		info = (struct vcpu_time_info){
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
		publish(v->machine, msr & ~1ull, &info);
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
	struct wall_clock w = {0};
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
