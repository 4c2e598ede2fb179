/* SPDX-License-Identifier: MIT */
/*
 * The program's sigaction().
 *
 * For signals that the engine handles in its process the action is recorded beside the engine's handler, which calls it
 * for what is not the engine's (engine/host/recover.c). For all others, once they are taken, it is recorded here, and the
 * kernel is given our handler with the program's flags and mask: what arrives during a request is held (base/hold.h), and
 * everything else goes straight on to the program's handler, on the stack and under the mask that the kernel has chosen.
 * Both read back as they were set.
 *
 * Signal actions belong to the process; so does this.
 */
#include <errno.h>
#include <string.h>

#include "abi/dev.h"
#include "base/cpuidtrap.h"
#include "base/actions.h"
#include "base/hold.h"
#include "base/sys.h"
#include "shim/shim.h"

#define SIGNALS   64
#define SIGSETXID 33 /* the C library's own: takes no lock of ours, and must not wait */
#define NEVER     (SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP))
/* What Linux keeps of the flags; SA_EXPOSE_TAGBITS is younger than most headers. */
#define SA_KEPT                                                                                    \
	(SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER |         \
		(u32)SA_RESETHAND | 0x4000000 /* SA_RESTORER */ | 0x800)

static struct {
	_Atomic bool taken;
	actions_changer changer;
	struct action_record of[SIGNALS + 1];
} signals;

static _Thread_local struct {
	struct hold hold;
	bool known; /* it has made a request */
} thread;

static bool engine_uses(int signo)
{
	return signo == SIGSEGV || signo == SIGBUS || signo == SIGFPE || signo == SIGILL;
}

static bool can_be_taken(int signo)
{
	return signo > 0 && signo <= SIGNALS && signo != SIGSETXID &&
	       !((SIG_IN_SYNC | NEVER) & SIG_BIT(signo));
}

/* ---- what is recorded ---- */

static void record(int signo, const struct sys_sigaction *a)
{
	struct sys_sigaction kept = *a;

	kept.flags &= SA_KEPT;
	kept.mask &= ~NEVER;
	action_record(&signals.of[signo], &kept);
}

/* Between begin_change() and end_change(). */
static struct sys_sigaction recorded_for_change(int signo)
{
	return signals.of[signo].action;
}

static struct sys_sigaction recorded(int signo)
{
	return action_recorded(&signals.of[signo], &signals.changer);
}

/* No handler of the program runs in this thread meanwhile: it might change actions itself. */
static void begin_change(void)
{
	hold_begin(&thread.hold);
	actions_begin_change(&signals.changer);
}

static void end_change(void)
{
	actions_end_change(&signals.changer);
	hold_end(&thread.hold);
}

/* ---- the way in ---- */

static bool has_handler(const struct sys_sigaction *a)
{
	return a->handler != SIG_DFL && a->handler != SIG_IGN;
}

static int give_to_kernel(int signo, const struct sys_sigaction *a);

static bool in_vfork_child(void)
{
	struct dev *d = shim_dev();

	return d && dev_in_vfork_child(d);
}

/* The one that counts, if this signal has made it the last time. What a vfork() child has recorded is its parent's. */
static struct sys_sigaction take_once(int signo)
{
	struct sys_sigaction a, next;

	begin_change();
	a = next = recorded_for_change(signo);
	next.handler = SIG_DFL; /* the flags stay, in the kernel too */
	if (a.flags & SA_RESETHAND) {
		if (!in_vfork_child())
			record(signo, &next);
		give_to_kernel(signo, &next);
	}
	end_change();
	return a;
}

static void on_signal(int signo, siginfo_t *info, void *context)
{
	struct sys_sigaction a;

	if (hold_signal(&thread.hold, signo, info, (u64 *)&((ucontext_t *)context)->uc_sigmask)) {
		dev_interrupted(context);
		return;
	}
	a = recorded(signo);
	if (unlikely(a.flags & SA_RESETHAND))
		a = take_once(signo);
	if (likely(has_handler(&a)))
		((void (*)(int, siginfo_t *, void *))a.handler)(signo, info, context);
	else if (a.handler == SIG_DFL) /* set while this one was on its way here */
		hold_queue(signo, info);
}

/* SA_RESETHAND is ours to do, or the signal that is held would find the default action. */
static int give_to_kernel(int signo, const struct sys_sigaction *a)
{
	struct sys_sigaction ours = *a;

	if (has_handler(a)) {
		ours.handler = on_signal;
		ours.flags = (a->flags & ~(u64)SA_RESETHAND) | SA_SIGINFO;
	}
	return sys_sigaction(signo, &ours, NULL) ? -errno : 0;
}

/* Handlers that no hook has seen: of before the first open, or installed by a bare system call. */
static void adopt(void)
{
	struct sys_sigaction a;

	for (int signo = 1; signo <= SIGNALS; signo++) {
		if (!can_be_taken(signo) || sys_sigaction(signo, NULL, &a) ||
			a.handler == on_signal)
			continue;
		record(signo, &a);
		if (has_handler(&a))
			give_to_kernel(signo, &a);
	}
}

void shim_take_signals(void)
{
	begin_change();
	adopt();
	atomic_store(&signals.taken, true);
	end_change();
}

struct hold *shim_hold(void)
{
	if (unlikely(!thread.known) && atomic_load(&signals.taken)) {
		begin_change();
		adopt();
		end_change();
		thread.known = true;
	}
	return thread.known ? &thread.hold : NULL;
}

/* ---- sigaction() ---- */

static long change(int signo, const struct sys_sigaction *set, struct sys_sigaction *get)
{
	long r = 0;

	begin_change();
	*get = recorded_for_change(signo);
	if (set) {
		record(signo, set);
		r = give_to_kernel(signo, set);
	}
	end_change();
	return r;
}

/* What a vfork() child does is for itself, but the records that it sees are its parent's. */
static long change_in_vfork_child(
	int signo, const struct sys_sigaction *set, struct sys_sigaction *get)
{
	if (sys_sigaction(signo, set, get))
		return -errno;
	if (get->handler == on_signal)
		*get = recorded(signo);
	return 0;
}

/* The same for faults. Where CPUID raises them the handler stays until the child executes something. */
static long change_fault_in_vfork_child(
	int signo, const struct sys_sigaction *set, struct sys_sigaction *get)
{
	struct sys_sigaction own;
	long r = dev_sigaction(signo, NULL, get);

	if (r || cpuid_traps())
		return r;
	if (sys_sigaction(signo, set, &own))
		return -errno;
	if (!has_handler(&own)) /* it has changed it before */
		*get = own;
	return 0;
}

static struct sys_sigaction to_kernel(const struct sigaction *a)
{
	struct sys_sigaction k = {.handler = (void *)a->sa_handler, .flags = (unsigned)a->sa_flags};

	memcpy(&k.mask, &a->sa_mask, sizeof(k.mask));
	return k;
}

static void from_kernel(const struct sys_sigaction *k, struct sigaction *a)
{
	memset(a, 0, sizeof(*a));
	a->sa_handler = (__sighandler_t)k->handler;
	a->sa_flags = (int)k->flags;
	memcpy(&a->sa_mask, &k->mask, sizeof(k->mask));
}

static long exchange(int signo, const struct sys_sigaction *set, struct sys_sigaction *get)
{
	if (engine_uses(signo) && in_vfork_child())
		return change_fault_in_vfork_child(signo, set, get);
	if (engine_uses(signo) && (shim_dev() || cpuid_traps()))
		return dev_sigaction(signo, set, get);
	if (!can_be_taken(signo) || !atomic_load(&signals.taken))
		return NOT_OURS;
	return in_vfork_child() ? change_in_vfork_child(signo, set, get) : change(signo, set, get);
}

long shim_sigaction(int signo, const struct sigaction *set, struct sigaction *get)
{
	struct sys_sigaction k, old;
	long r;

	if (likely(shim_mode() == SHIM_IDLE && !cpuid_traps()))
		return NOT_OURS;
	if (set)
		k = to_kernel(set);
	r = exchange(signo, set ? &k : NULL, &old);
	if (!r && get)
		from_kernel(&old, get);
	return r;
}
