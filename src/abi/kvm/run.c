/* SPDX-License-Identifier: MIT */
/*
 * KVM_RUN: hand the answer to the last exit to the engine, run, and show the next exit in kvm_run (exits.c).
 *
 * Signals. A signal must make KVM_RUN return -EINTR, and its handler must not run before that
 * return; with KVM_SET_SIGNAL_MASK it may even have to stay pending. Asynchronous signals are
 * blocked for the time of the call (abi/ioctl.c), and the engine asks us now and then (run_poll)
 * whether one is pending that the effective mask lets through. It is delivered when the mask is
 * restored, after all locks were released. Synchronous signals stay unblocked: a blocked one would
 * kill the process.
 * Or they are held (base/hold.h): then a signal that the mask lets through stops the vcpu itself, and none is
 * looked for. A mask for KVM_RUN alone is not what the kernel would go by then, so they are blocked after all.
 *
 * kvm_run is shared with the caller, who may scribble on it at any time: nothing in it is
 * believed twice, and what the answer belongs to is taken from the engine's exit.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

#include "abi/kvm/run.h"
#include "abi/kvm/state.h"
#include "base/fd.h"
#include "base/sys.h"

/* ---- signals ---- */

#define DEFAULT_IGNORES (SIG_BIT(SIGCHLD) | SIG_BIT(SIGCONT) | SIG_BIT(SIGURG) | SIG_BIT(SIGWINCH))

/*
 * The kernel drops an ignored signal when it is sent, unless it is blocked; blocked by us, it
 * must not look like one that interrupts.
 */
static bool signal_ignored(int sig)
{
	struct sys_sigaction a;

	if (sys_sigaction(sig, NULL, &a))
		return false;
	return a.handler == SIG_IGN || (a.handler == SIG_DFL && (DEFAULT_IGNORES & SIG_BIT(sig)));
}

/* What the kernel would have dropped, had we not blocked it; left pending it would end every sleep. */
static void signal_drop(int sig)
{
	const struct timespec now = {0};

	sys_sigtimedwait(SIG_BIT(sig), NULL, &now);
}

static u64 blocked_signals(const struct kvm_vcpu *v)
{
	return v->sigset_active ? v->sigset : v->caller_mask;
}

static bool signal_waits(const struct kvm_vcpu *v)
{
	u64 pending = 0;

	if (likely(v->hold))
		return atomic_load_explicit(&v->hold->waiting, memory_order_acquire);
	sys_sigpending(&pending);
	pending |= v->noted;
	for (pending &= ~blocked_signals(v); pending; pending &= pending - 1) {
		int sig = __builtin_ctzll(pending) + 1;

		if (!signal_ignored(sig))
			return true;
		signal_drop(sig);
	}
	return false;
}

static bool run_poll(void *kvm_vcpu)
{
	struct kvm_vcpu *v = kvm_vcpu;

	return __atomic_load_n(&v->run->immediate_exit, __ATOMIC_RELAXED) || signal_waits(v);
}

/* A line of /proc/.../status, in hexadecimal; all signals if it is not there: waking for nothing is the lesser evil. */
static u64 status_signals(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtoull(line + strlen(name), NULL, 16) : ~0ull;
}

/* What sigpending(2) says in that thread. */
static u64 pending_in(int thread)
{
	char path[64], text[4096];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", thread);
	fd = sys_open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = sys_read(fd, text, sizeof(text) - 1);
		sys_close(fd);
	}
	text[MAX(n, 0)] = 0;
	return status_signals(text, "\nSigPnd:") | status_signals(text, "\nShdPnd:");
}

/* The engine has seen to it that the vcpu's thread stays in KVM_RUN. */
static bool run_asked_for(void *kvm_vcpu, int thread)
{
	const struct kvm_vcpu *v = kvm_vcpu;

	if (v->hold)
		return atomic_load_explicit(&v->hold->waiting, memory_order_acquire);
	return pending_in(thread) & ~blocked_signals(kvm_vcpu) & ~SIG_IN_SYNC;
}

/*
 * A signalfd tells that a signal is pending without taking it; poll(2) with a mask would run its handler. KVM_RUN does
 * not fail where the process has no descriptor left for it.
 */
static void signal_fd_look_for(struct kvm_vcpu *v, u64 set)
{
	int fd;

	if (v->signal_fd >= 0 && v->signal_fd_set == set)
		return;
	fd = sys_signalfd(v->signal_fd, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0) {
		vcpu_set_wait_fd(v->cpu, WAIT_BY_POLLING);
		return;
	}
	v->signal_fd = v->signal_fd < 0 ? fd_keep(fd) : fd;
	v->signal_fd_set = set;
	vcpu_set_wait_fd(v->cpu, v->signal_fd);
}

static void stop_vcpu(void *kvm_vcpu)
{
	struct kvm_vcpu *v = kvm_vcpu;

	vcpu_poll_soon(v->cpu);
}

static void signals_begin(struct kvm_vcpu *v, const struct call *c)
{
	v->hold = v->sigset_active ? NULL : c->hold;
	if (likely(v->hold)) {
		vcpu_set_wait_fd(v->cpu, -1);
		hold_stops(v->hold, stop_vcpu, v);
		return;
	}
	v->caller_mask = c->hold ? hold_block(c->hold) : c->caller_mask;
	v->noted = c->hold ? hold_noted(c->hold) : 0;
	signal_fd_look_for(v, ~blocked_signals(v) & ~SIG_IN_SYNC);
}

static void signals_end(struct kvm_vcpu *v)
{
	if (v->hold)
		hold_stops(v->hold, NULL, NULL);
}

/* The descriptor comes with the first run: a process may have few, and a vm many vcpus. */
void run_init(struct kvm_vcpu *v)
{
	v->signal_fd = -1;
	vcpu_set_poll(v->cpu, run_poll, v);
	vcpu_set_asked_for(v->cpu, run_asked_for);
}

long vcpu_set_signal_mask(struct call *c)
{
	struct kvm_vcpu *v = vcpu_of(c);
	struct kvm_signal_mask m;
	u64 set;

	if (!c->arg) {
		v->sigset_active = false;
		return 0;
	}
	if (copy_in(c->dev, &m, c->arg, sizeof(m)))
		return -EFAULT;
	if (m.len != sizeof(set))
		return refuse(c->why, -EINVAL,
			"len %lu: must be 8, the size of the kernel's signal sets", (u64)m.len);
	if (copy_in(c->dev, &set, c->arg + sizeof(m), sizeof(set)))
		return -EFAULT;
	v->sigset = set & ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
	v->sigset_active = true;
	return 0;
}

/* ---- registers in kvm_run: KVM_CAP_SYNC_REGS ---- */

static long sync_in(struct call *c)
{
	struct kvm_run *run = vcpu_of(c)->run;
	u64 dirty = __atomic_load_n(&run->kvm_dirty_regs, __ATOMIC_RELAXED);
	u64 unknown = (dirty | run->kvm_valid_regs) & ~(u64)KVM_SYNC_X86_VALID_FIELDS;
	struct kvm_sync_regs regs;

	if (unlikely(unknown))
		return refuse(c->why, -EINVAL,
			"kvm_valid_regs or kvm_dirty_regs: the bits 0x%lx are unknown", unknown);
	if (likely(!dirty))
		return 0;
	memcpy(&regs, &run->s.regs, sizeof(regs));
	if ((dirty & KVM_SYNC_X86_REGS) && regs_set(c, &regs.regs))
		return -EINVAL;
	if ((dirty & KVM_SYNC_X86_SREGS) && sregs_set(c, &regs.sregs))
		return -EINVAL;
	if ((dirty & KVM_SYNC_X86_EVENTS) && events_set(c, &regs.events))
		return -EINVAL;
	run->kvm_dirty_regs = 0;
	return 0;
}

static void sync_out(struct kvm_vcpu *v)
{
	struct kvm_run *run = v->run;
	u64 valid = __atomic_load_n(&run->kvm_valid_regs, __ATOMIC_RELAXED);

	if (likely(!valid))
		return;
	if (valid & KVM_SYNC_X86_REGS)
		regs_get(v, &run->s.regs.regs);
	if (valid & KVM_SYNC_X86_SREGS)
		sregs_get(v, &run->s.regs.sregs);
	if (valid & KVM_SYNC_X86_EVENTS)
		events_get(v, &run->s.regs.events);
}

/* ---- before and after ---- */

/* The TPR is the caller's where the local APIC is; most of the time nobody has touched it. */
static int cr8_in(struct kvm_vcpu *v)
{
	u64 cr8 = __atomic_load_n(&v->run->cr8, __ATOMIC_RELAXED);

	if (likely(cr8 == v->cr8) || vm_has_irqchip(v->vm))
		return 0;
	return vcpu_set_cr8(v->cpu, cr8);
}

static void show_brief(struct kvm_vcpu *v)
{
	struct kvm_run *run = v->run;
	struct vcpu_brief b;

	vcpu_get_brief(v->cpu, &b);
	run->cr8 = b.cr8;
	v->cr8 = b.cr8;
	run->apic_base = b.apic_base;
	run->if_flag = b.if_flag;
	run->flags = b.smm ? KVM_RUN_X86_SMM : 0;
	/* With the PIC in the engine nobody injects through KVM_INTERRUPT. */
	run->ready_for_interrupt_injection =
		machine_irqchip(v->vm->machine) == IRQCHIP_FULL || b.ready_for_interrupt;
	sync_out(v);
}

static long before_run(struct call *c)
{
	struct kvm_vcpu *v = vcpu_of(c);
	bool window = __atomic_load_n(&v->run->request_interrupt_window, __ATOMIC_RELAXED);
	long r = sync_in(c);

	r = r ? r : vcpu_answered(c, cr8_in(v));
	if (r)
		return r;
	exit_take_answer(v);
	vcpu_request_irq_window(v->cpu, window && machine_irqchip(v->vm->machine) != IRQCHIP_FULL);
	v->has_run = true;
	return 0;
}

/* True if the exit was a write that waits in the ring and the guest may go on. */
static bool coalesced(struct kvm_vcpu *v)
{
	const struct exit *e = vcpu_exit(v->cpu);

	if (e->reason == EXIT_MMIO_WRITE)
		return coalesced_write(v, false, e->mmio.gpa, e->mmio.len, e->mmio.data);
	if (e->reason == EXIT_IO_OUT && e->io.count == 1)
		return coalesced_write(v, true, e->io.port, e->io.size, e->io.data);
	return false;
}

static int run_for_user(struct kvm_vcpu *v, u32 flags)
{
	int r;

	do
		r = vcpu_run(v->cpu, flags);
	while (!r && coalesced(v));
	return r;
}

static int run(struct kvm_vcpu *v)
{
	bool immediate = __atomic_load_n(&v->run->immediate_exit, __ATOMIC_RELAXED);
	/* Signals that were held just now; one that was blocked can wait here only if KVM_RUN has a mask of its own. */
	bool stop = immediate || ((v->hold || v->sigset_active) && signal_waits(v));
	int r = run_for_user(v, stop ? RUN_COMPLETE_ONLY : 0);

	/* Pending I/O is done; exit_reason stays what it was. */
	if (immediate && !r && vcpu_exit(v->cpu)->reason == EXIT_INTR)
		return -EINTR;
	return exit_show(v, r);
}

long vcpu_run_request(struct call *c)
{
	struct kvm_vcpu *v = vcpu_of(c);
	long ret = before_run(c);

	if (ret)
		return ret;
	signals_begin(v, c);
	ret = run(v);
	signals_end(v);
	show_brief(v);
	return ret;
}
