/* SPDX-License-Identifier: MIT */
/*
 * The program's signals. See signal(7), and for the frame of a handler arch/x86's psABI.
 *
 * For the kernel every handler is inject_entry, on our stack, with everything blocked. From there
 * signal_deliver() makes what the kernel would have made on the program's stack and returns into the
 * program's handler, by one rt_sigreturn that sets its registers and its mask at once.
 *
 * Faults and SIGSYS are never blocked for the kernel, because a blocked one kills the process and
 * the engine lives on them: their part of the mask is t->virtual_blocked.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/dev.h"
#include "base/cpuidtrap.h"
#include "shim/inject/private.h"
#include "shim/inject/site.h"

#define KERNEL_FLAGS (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_RESTART)
#define SA_RESTORER_ 0x04000000ul
#define RED_ZONE     128
#define UC_FP_XSTATE 1
#define ALTSTACK_MIN 2048 /* the kernel's MINSIGSTKSZ; libc's is larger */

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

static bool is_virtual(int sig)
{
	return SIG_VIRTUAL & SIG_BIT(sig);
}

/* ---- dispositions ---- */

static int action_real(int sig, const struct action *new, struct action *old)
{
	return (int)RAW(SYS_rt_sigaction, sig, new, old, sizeof(u64));
}

/* What the kernel shall do when the program wants a. */
static struct action action_for_kernel(int sig, const struct action *a)
{
	struct action k = *a;

	if (is_virtual(sig) || (a->handler != (u64)SIG_DFL && a->handler != (u64)SIG_IGN)) {
		k.handler = (u64)inject_entry;
		k.flags = (a->flags & KERNEL_FLAGS) | SA_SIGINFO | SA_ONSTACK | SA_RESTORER_;
		k.restorer = (u64)inject_restorer;
		k.mask = ~SIG_VIRTUAL;
	}
	if (is_virtual(sig))
		k.flags |= SA_NODEFER;
	return k;
}

int signals_init(struct program *p)
{
	struct actions *as = &p->actions;
	int sig, r;

	pthread_mutex_init(&as->lock, NULL);
	for (sig = 1; sig <= SIGNALS; sig++) {
		struct action k;

		if (sig == SIGKILL || sig == SIGSTOP)
			continue;
		action_real(sig, NULL, &as->of[sig]);
		k = action_for_kernel(sig, &as->of[sig]);
		r = is_virtual(sig) ? action_real(sig, &k, NULL) : 0;
		if (r)
			return r;
	}
	return 0;
}

void signal_capture_engine(struct program *p)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	struct action none = {0}, k, ours;

	dev_handlers_behind((const void *)inject_entry);
	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++) {
		action_real(faults[i], NULL, &k);
		if (k.handler == (u64)inject_entry)
			continue;
		atomic_store(&p->engine_handler[faults[i]], k.handler);
		ours = action_for_kernel(faults[i], &none);
		action_real(faults[i], &ours, NULL);
	}
}

long call_rt_sigaction(struct thread *t, struct context *c)
{
	int sig = (int)c->rdi, r = 0;
	struct actions *as = t->actions;
	struct action new, old, k;

	if (c->r10 != sizeof(u64) || sig < 1 || sig > SIGNALS)
		return -EINVAL;
	if (c->rsi && get_bytes(&new, c->rsi, sizeof(new)))
		return -EFAULT;
	if (c->rsi && (sig == SIGKILL || sig == SIGSTOP))
		return -EINVAL;
	pthread_mutex_lock(&as->lock);
	old = as->of[sig];
	if (c->rsi) {
		k = action_for_kernel(sig, &new);
		r = is_virtual(sig) ? 0 : action_real(sig, &k, NULL);
		if (!r)
			as->of[sig] = new;
	}
	pthread_mutex_unlock(&as->lock);
	if (!r && c->rdx && put_bytes(c->rdx, &old, sizeof(old)))
		return -EFAULT;
	return r;
}

/* ---- masks ---- */

u64 signal_mask(const struct thread *t, const struct context *c)
{
	return (c->mask & ~SIG_VIRTUAL) | t->virtual_blocked;
}

void signal_set_mask(struct thread *t, struct context *c, u64 mask)
{
	mask &= ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
	t->virtual_blocked = mask & SIG_VIRTUAL;
	c->mask = mask & ~SIG_VIRTUAL;
}

long call_rt_sigprocmask(struct thread *t, struct context *c)
{
	u64 old = signal_mask(t, c), set;

	if (c->r10 != sizeof(u64))
		return -EINVAL;
	if (c->rsi) {
		if (get_bytes(&set, c->rsi, sizeof(set)))
			return -EFAULT;
		switch ((int)c->rdi) {
		case SIG_BLOCK: signal_set_mask(t, c, old | set); break;
		case SIG_UNBLOCK: signal_set_mask(t, c, old & ~set); break;
		case SIG_SETMASK: signal_set_mask(t, c, set); break;
		default: return -EINVAL;
		}
	}
	if (c->rdx && put_bytes(c->rdx, &old, sizeof(old)))
		return -EFAULT;
	return 0;
}

/* The kernel reads the mask itself; a handler that interrupts the call starts from it. */
static long with_mask(struct thread *t, u64 address, u64 size)
{
	u64 mask;

	if (address && size == sizeof(mask) && !get_bytes(&mask, address, sizeof(mask))) {
		t->temporary = true;
		t->temporary_mask = mask;
	}
	return CALL_PASS;
}

long call_rt_sigsuspend(struct thread *t, struct context *c)
{
	return with_mask(t, c->rdi, c->rsi);
}

long call_ppoll(struct thread *t, struct context *c)
{
	return with_mask(t, c->r10, c->r8);
}

long call_epoll_pwait(struct thread *t, struct context *c)
{
	return with_mask(t, c->r8, c->r9);
}

long call_pselect6(struct thread *t, struct context *c)
{
	u64 arg[2];

	if (!c->r9 || get_bytes(arg, c->r9, sizeof(arg)))
		return CALL_PASS;
	return with_mask(t, arg[0], arg[1]);
}

/* ---- the alternate stack ---- */

static bool on_altstack(const struct altstack *a, u64 sp)
{
	return a->size && !(a->flags & SS_AUTODISARM) && sp - 1 >= a->base &&
	       sp - 1 - a->base < a->size;
}

static stack_t altstack_show(const struct altstack *a, u64 sp)
{
	stack_t ss = {.ss_sp = (void *)a->base, .ss_size = a->size};

	ss.ss_flags = (int)(a->flags & SS_AUTODISARM);
	if (!a->size)
		ss.ss_flags |= SS_DISABLE;
	else if (on_altstack(a, sp))
		ss.ss_flags |= SS_ONSTACK;
	return ss;
}

static int altstack_set(struct altstack *a, const stack_t *ss, u64 sp)
{
	int mode = ss->ss_flags & ~(int)SS_AUTODISARM;

	if (on_altstack(a, sp))
		return -EPERM;
	if (mode && mode != SS_ONSTACK && mode != SS_DISABLE)
		return -EINVAL;
	if (mode != SS_DISABLE && ss->ss_size < ALTSTACK_MIN)
		return -ENOMEM;
	*a = (struct altstack){.flags = (u32)ss->ss_flags & SS_AUTODISARM};
	if (mode != SS_DISABLE) {
		a->base = (u64)ss->ss_sp;
		a->size = ss->ss_size;
	}
	return 0;
}

long call_sigaltstack(struct thread *t, struct context *c)
{
	stack_t old = altstack_show(&t->alt, c->rsp), new;
	int r = 0;

	if (c->rdi && get_bytes(&new, c->rdi, sizeof(new)))
		return -EFAULT;
	if (c->rdi)
		r = altstack_set(&t->alt, &new, c->rsp);
	if (!r && c->rsi && put_bytes(c->rsi, &old, sizeof(old)))
		return -EFAULT;
	return r;
}

/* ---- frames ---- */

struct signal_frame { /* struct rt_sigframe */
	u64 restorer;
	struct context context;
	siginfo_t info;
};

/* The image says itself how long it is (uapi/asm/sigcontext.h, struct _fpx_sw_bytes). */
static size_t fpstate_bytes(const struct context *c)
{
	const u32 *sw = (const u32 *)(c->fpstate + 464);

	if (!c->fpstate)
		return 0;
	return sw[0] == 0x46505853 && (c->flags & UC_FP_XSTATE) ? sw[1] : 512;
}

static u64 frame_stack(struct thread *t, const struct action *a, const struct context *c)
{
	if ((a->flags & SA_ONSTACK) && t->alt.size && !on_altstack(&t->alt, c->rsp))
		return t->alt.base + t->alt.size;
	return c->rsp - RED_ZONE;
}

/* The frame's address, or 0: there is no room for it. */
static u64 frame_build(
	struct thread *t, const struct action *a, const siginfo_t *info, const struct context *c)
{
	size_t fp_bytes = fpstate_bytes(c);
	u64 fp = ALIGN_DOWN(frame_stack(t, a, c) - fp_bytes, 64);
	u64 at = ALIGN_DOWN(fp - sizeof(struct signal_frame), 16) - 8;
	struct signal_frame f = {.restorer = a->restorer, .context = *c, .info = *info};
	stack_t ss = altstack_show(&t->alt, c->rsp);

	f.context.fpstate = fp_bytes ? fp : 0;
	f.context.mask = signal_mask(t, c);
	f.context.stack_base = (u64)ss.ss_sp;
	f.context.stack_flags = (u32)ss.ss_flags;
	f.context.stack_size = ss.ss_size;
	if (put_bytes(fp, (const void *)c->fpstate, fp_bytes) || put_bytes(at, &f, sizeof(f)))
		return 0;
	return at;
}

static void enter_handler(
	struct thread *t, int sig, const struct action *a, u64 frame, struct context *c)
{
	u64 mask = t->temporary ? t->temporary_mask : signal_mask(t, c);

	t->temporary = false;
	if (t->alt.flags & SS_AUTODISARM)
		t->alt = (struct altstack){0};
	signal_set_mask(t, c, mask | a->mask | (a->flags & SA_NODEFER ? 0 : SIG_BIT(sig)));
	c->rip = a->handler;
	c->rsp = frame;
	c->rdi = (u64)sig;
	c->rsi = frame + offsetof(struct signal_frame, info);
	c->rdx = frame + offsetof(struct signal_frame, context);
	c->rax = 0;
	c->rflags &= ~0x50500ull; /* RF, DF, TF */
	c->fpstate = 0;
}

long call_rt_sigreturn(struct thread *t, struct context *c)
{
	struct context *frame = (struct context *)c->rsp, from;
	stack_t ss;

	if (get_bytes(&from, (u64)frame, sizeof(from))) {
		siginfo_t info = {.si_signo = SIGSEGV, .si_code = SI_KERNEL};

		signal_force(t, SIGSEGV, &info, c);
		return CALL_DONE;
	}
	ss = (stack_t){.ss_sp = (void *)from.stack_base,
		.ss_flags = (int)from.stack_flags & ~SS_ONSTACK,
		.ss_size = from.stack_size};
	altstack_set(&t->alt, &ss, from.rsp);
	c->flags = from.flags;
	memcpy(&c->r8, &from.r8, offsetof(struct context, mask) - offsetof(struct context, r8));
	signal_set_mask(t, c, from.mask);
	return CALL_DONE;
}

/* ---- delivery ---- */

noreturn void signal_die(int sig)
{
	struct action dfl = {0};
	u64 none = 0;

	action_real(sig, &dfl, NULL);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
	for (;;)
		syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
}

/* Is this a fault of the instruction, not something that was sent? */
static bool is_fault(int sig, const siginfo_t *info)
{
	return is_virtual(sig) && info->si_code > 0;
}

/* The one that a handler shall be entered for, with SA_RESETHAND done. */
static struct action take_action(struct thread *t, int sig)
{
	static const struct action dfl = {0};
	struct action a;

	pthread_mutex_lock(&t->actions->lock);
	a = t->actions->of[sig];
	if ((a.flags & SA_RESETHAND) && a.handler != (u64)SIG_DFL && a.handler != (u64)SIG_IGN) {
		t->actions->of[sig].handler = (u64)SIG_DFL;
		if (!is_virtual(sig))
			action_real(sig, &dfl, NULL);
	}
	pthread_mutex_unlock(&t->actions->lock);
	return a;
}

void signal_force(struct thread *t, int sig, const siginfo_t *info, struct context *c)
{
	struct action a = take_action(t, sig);
	u64 frame;

	if ((t->virtual_blocked & SIG_BIT(sig)) || a.handler == (u64)SIG_DFL ||
		a.handler == (u64)SIG_IGN)
		signal_die(sig);
	frame = frame_build(t, &a, info, c);
	if (!frame)
		signal_die(SIGSEGV);
	enter_handler(t, sig, &a, frame, c);
}

void signal_deliver(struct thread *t, int sig, const siginfo_t *info, struct context *c)
{
	struct action a;

	t->temporary = t->temporary && call_interrupted(t, c);
	call_normalise(t, c);
	if (is_fault(sig, info)) {
		signal_force(t, sig, info, c);
		return;
	}
	if (t->virtual_blocked & SIG_BIT(sig)) {
		t->queued = true;
		t->queued_info = *info;
		return;
	}
	pthread_mutex_lock(&t->actions->lock);
	a = t->actions->of[sig];
	pthread_mutex_unlock(&t->actions->lock);
	if (a.handler == (u64)SIG_IGN || (a.handler == (u64)SIG_DFL && !is_virtual(sig)))
		return; /* changed by another thread while it was under way */
	signal_force(t, sig, info, c);
}

/* A mask that only a system call had may have blocked what inject_copy() needs. */
static void unblock_faults(const struct thread *t)
{
	u64 faults = SIG_VIRTUAL;

	if (t->temporary && (t->temporary_mask & SIG_VIRTUAL))
		syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &faults, NULL, sizeof(faults));
}

void inject_signal(int sig, siginfo_t *info, struct context *c, struct thread *t)
{
	unblock_faults(t);
	if (unlikely(cpuid_answer(sig, info->si_code, &c->r8)))
		return;
	if (sig == SIGSYS && info->si_code == SYS_USER_DISPATCH)
		call_dispatch(t, c, info->si_arch);
	else if (!is_fault(sig, info) || !site_trap(t, c))
		signal_deliver(t, sig, info, c);
	t->mask = c->mask;
}

void inject_signal_inside(int sig, siginfo_t *info, struct context *c, struct thread *t)
{
	u64 engine = atomic_load(&t->program->engine_handler[sig]);

	if (cpuid_answer(sig, info->si_code, &c->r8))
		return;
	if (c->rip == (u64)inject_copy_at && sig != SIGSYS && is_fault(sig, info)) {
		c->rip = (u64)inject_copy_out;
	} else if (!is_fault(sig, info)) {
		if (engine && sig == SIGILL && dev_take_call(c))
			return;
		inject_edge(sig, info, c, t);
		if (t->hold.stop)
			dev_interrupted(c);
	} else if (engine && !t->in_engine_handler) {
		t->in_engine_handler = true;
		((void (*)(int, siginfo_t *, void *))engine)(sig, info, c);
		t->in_engine_handler = false;
	} else {
		signal_die(sig);
	}
}
