/* SPDX-License-Identifier: MIT */
/*
 * A vcpu that has nothing to do: halted, or waiting for INIT and SIPI. It sleeps in poll() until vcpu_request()
 * writes to its eventfd, a signal comes, or the caller's own descriptor has something to say.
 *
 * To sleep and to be woken takes some 20 us each, longer than many a device. So a vcpu whose last sleeps were short spins before it
 * sleeps, and looks at the machine's irqfds itself. For how long is learnt: as long as the last sleeps have taken, and not at
 * all after a long one. So a guest that idles costs nothing. Nor does it spin where that would take the CPU from those that
 * it waits for.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "engine/core/stat.h"
#include "engine/vcpu/loop.h"
#include "engine/pv/kvm/steal.h"
#include "engine/time/timer.h"

static bool halted(const struct vcpu *v)
{
	return atomic_load(&v->mp_state) == MP_HALTED || v->idles;
}

static bool has_wakeup(struct vcpu *v)
{
	if (init_deliverable(v) || atomic_load(&v->pending_sipi))
		return true;
	if (!halted(v))
		return false;
	return atomic_load(&v->unhalted) || smi_deliverable(v) || nmi_deliverable(v) ||
	       v->cpu.debug_pending || v->cpu.events.exception.pending ||
	       v->cpu.events.exception.injected ||
	       (v->idles ? idle_is_over(v) : (v->cpu.rflags & FL_IF) && waiting_vector(v) >= 0);
}

static void wake_up(struct vcpu *v)
{
	const struct vcpu_events *e = &v->cpu.events;

	v->smi_in_halt = smi_deliverable(v) && !v->idles && !v->cpu.debug_pending &&
			 !e->exception.pending && !e->exception.injected;
	stat_inc(&v->cpu, STAT_HALT_WAKEUP);
	atomic_store(&v->unhalted, false);
	atomic_store(&v->mp_state, MP_RUNNABLE);
	if (unlikely(v->idles))
		vcpu_answer_idle(v);
	else
		tap_insn_over(&v->cpu); /* HLT */
}

/*
 * Announce, look, sleep; those who wake set the request, then look who sleeps: one sees the other. The caller's
 * descriptor says that poll() has something to find. A vcpu that never sleeps has no descriptor of its own: a
 * process may have few, and a machine many vcpus. Where there is none left, it wakes up by itself.
 */
static void sleep_until_request(struct vcpu *v)
{
	struct timespec nap = {.tv_nsec = 1000000};
	bool polls = v->wait_fd == WAIT_BY_POLLING;
	u64 count;

	if (v->wake_fd < 0)
		v->wake_fd = fd_keep(sys_eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	struct pollfd fds[] = {
		{.fd = v->wake_fd, .events = POLLIN}, {.fd = v->wait_fd, .events = POLLIN}};

	atomic_store(&v->where, VCPU_ASLEEP);
	if (!(__atomic_load_n(&v->cpu.exit_request, __ATOMIC_SEQ_CST) & REQ_OUTER))
		sys_ppoll(fds, ARRAY_SIZE(fds), v->wake_fd < 0 || polls ? &nap : NULL);
	atomic_store(&v->where, VCPU_OUT);
	if (fds[0].revents && sys_read(v->wake_fd, &count, sizeof(count)) < 0)
		return; /* somebody was late: it is empty already */
	if (fds[1].revents || polls)
		cpu_request(&v->cpu, REQ_POLL);
}

/* ---- spinning ---- */

#define SPIN_FIRST  20000u
#define SPIN_MAX    200000u
#define SPIN_MISSED 50000u /* between two looks: somebody else has had the CPU */

/* One for the devices, when all vcpus that do not sleep have theirs. */
static bool has_spare_cpu(struct machine *m)
{
	unsigned all = atomic_load(&m->vcpu_high), asleep = atomic_load(&m->asleep);

	return all - MIN(asleep, all) < m->host_cpus;
}

static bool is_requested(struct vcpu *v)
{
	return __atomic_load_n(&v->cpu.exit_request, __ATOMIC_SEQ_CST) & REQ_OUTER;
}

/* True: there is a request, and no reason to sleep. */
static bool spin_until_request(struct vcpu *v, u64 start)
{
	u64 before = start, now = start;

	while (!is_requested(v)) {
		if (now - start >= v->spin_ns || !has_spare_cpu(v->machine))
			return false;
		if (now - before > SPIN_MISSED) {
			v->spin_ns = 0;
			return false;
		}
		fd_watch_look(v->machine);
		__builtin_ia32_pause();
		before = now;
		now = host_ns();
	}
	return true;
}

static bool spin(struct vcpu *v, u64 start)
{
	bool ret;

	stat_inc(&v->cpu, STAT_HALT_ATTEMPTED_POLL);
	fd_watch_take(v->machine);
	ret = spin_until_request(v, start);
	fd_watch_give_back(v->machine);
	if (ret)
		stat_inc(&v->cpu, STAT_HALT_SUCCESSFUL_POLL);
	return ret;
}

/* From how long it has waited, in whatever way. */
static void learn_spin(struct vcpu *v, u64 ns)
{
	if (ns > SPIN_MAX)
		v->spin_ns = 0;
	else if (ns > v->spin_ns)
		v->spin_ns = MIN(MAX(2 * v->spin_ns, SPIN_FIRST), SPIN_MAX);
}

static void sleep_counted(struct vcpu *v)
{
	atomic_fetch_add(&v->machine->asleep, 1);
	sleep_until_request(v);
	atomic_fetch_sub(&v->machine->asleep, 1);
}

/* ---- the whole ---- */

static void count_sleep(struct cpu *cpu, u64 ns)
{
	unsigned bucket = ns ? 64 - (unsigned)__builtin_clzll(ns) : 0;

	stat_add(cpu, STAT_HALT_WAIT_NS, ns);
	stat_inc(cpu, STAT_HALT_WAIT_HIST + MIN(bucket, 31u));
}

void vcpu_nap(struct vcpu *v)
{
	u64 start = host_ns(), ns;

	steal_set_asleep(v, true);
	stat_set(&v->cpu, STAT_BLOCKING, 1);
	if (!v->spin_ns || !has_spare_cpu(v->machine) || !spin(v, start))
		sleep_counted(v);
	stat_set(&v->cpu, STAT_BLOCKING, 0);
	steal_set_asleep(v, false);
	ns = host_ns() - start;
	learn_spin(v, ns);
	count_sleep(&v->cpu, ns);
}

void vcpu_sleep(struct vcpu *v)
{
	if (has_wakeup(v) && halted(v))
		wake_up(v);
	else
		vcpu_nap(v);
}
