/* SPDX-License-Identifier: MIT */
/*
 * Steal time: how long a vcpu's thread could have run and was not let, which the guest finds in a page of its own
 * (Linux: Documentation/virt/kvm/x86/msr.rst, MSR_KVM_STEAL_TIME).
 *
 * The host's scheduler tells it per thread, in /proc, for the price of a system call: a microsecond. So it is asked
 * when KVM_RUN begins, but not more than every 50 microseconds, and every ten milliseconds of running. `preempted` is
 * set while the vcpu sleeps; outside KVM_RUN it is not, since the VMM is back before that could be of use.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core/stat.h"
#include "base/sys.h"
#include "engine/core/vcpu.h"
#include "engine/pv/kvm/steal.h"
#include "engine/time/timer.h"

#define INTERVAL_NS         50000ull
#define RUNNING_INTERVAL_NS 10000000ull

static u64 steal_gpa(const struct vcpu *v)
{
	return v->cpu.msr.kvm_steal_time & ~(u64)STEAL_ENABLED;
}

/* The file of the thread that runs the vcpu now. */
static void open_schedstat(struct steal *s, int tid)
{
	if (s->tid == tid)
		return;
	steal_close(s);
	s->tid = tid;
	s->fd = sys_open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC) + 1;
	s->have_last = false;
}

/* "time on the processor, time waiting for one, time slices". False: the host does not tell. */
static bool read_delay(const struct steal *s, u64 *ret)
{
	char text[96];
	struct iovec iov = {text, sizeof(text) - 1};
	ssize_t n = s->fd > 0 ? sys_preadv2(s->fd - 1, &iov, 1, 0, 0) : -1;
	char *second;

	if (n <= 0)
		return false;
	text[n] = 0;
	second = strchr(text, ' ');
	if (!second)
		return false;
	*ret = strtoull(second + 1, NULL, 10);
	return true;
}

static int write_version(struct vcpu *v, u32 version)
{
	v->steal.version = version;
	return machine_write(v->machine, steal_gpa(v) + offsetof(struct steal_page, version),
		&version, sizeof(version));
}

/* Odd version, the new value, even version. */
static void publish(struct vcpu *v, u64 stolen)
{
	struct steal_page p;

	if (machine_read(v->machine, steal_gpa(v), &p, sizeof(p)))
		return;
	p.steal += stolen;
	if (write_version(v, p.version | 1))
		return;
	machine_write(v->machine, steal_gpa(v), &p.steal, sizeof(p.steal));
	write_version(v, (p.version | 1) + 1);
}

static void update(struct vcpu *v)
{
	struct steal *s = &v->steal;
	u64 now = host_ns(), delay;

	s->asked = now;
	open_schedstat(s, v->cpu.away.thread);
	if (!read_delay(s, &delay))
		return;
	publish(v, s->have_last && delay > s->last ? delay - s->last : 0);
	s->last = delay;
	s->have_last = true;
}

void steal_enter(struct vcpu *v)
{
	struct steal *s = &v->steal;

	/* The guest may count on a new version whenever it has been away. */
	if (s->have_last && host_ns() - s->asked < INTERVAL_NS)
		write_version(v, s->version + 2);
	else
		update(v);
}

void steal_tick(struct vcpu *v)
{
	if (!v->steal.have_last || host_ns() - v->steal.asked >= RUNNING_INTERVAL_NS)
		update(v);
}

void steal_set_asleep(struct vcpu *v, bool asleep)
{
	u8 preempted = asleep ? STEAL_PREEMPTED : 0;

	if (!(v->cpu.msr.kvm_steal_time & STEAL_ENABLED))
		return;
	machine_write(v->machine, steal_gpa(v) + offsetof(struct steal_page, preempted), &preempted,
		sizeof(preempted));
	if (asleep)
		stat_inc(&v->cpu, STAT_PREEMPTION_REPORTED);
}

void steal_close(struct steal *s)
{
	if (s->fd > 0)
		sys_close(s->fd - 1);
	*s = (struct steal){0};
}
