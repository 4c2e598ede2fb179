/* SPDX-License-Identifier: MIT */
/*
 * What is decided about a system call before our own fs is in place, or the vector registers are
 * saved: general registers only, no function of libc, no thread-local storage (tests/shim/bare.py).
 */
#include <linux/audit.h>

#include "base/sys.h"
#include "shim/inject/bpf.h"
#include "shim/inject/private.h"
#include "shim/inject/site.h"

void call_pass(struct thread *t, struct context *c)
{
	t->ret = c->rip;
	c->rip = (u64)t + GADGETS + GADGET_PASS;
}

static u32 action_of(u32 answer)
{
	return answer & SECCOMP_RET_ACTION_FULL;
}

u32 filters_run(const struct filter *f, const struct context *c, u32 arch)
{
	const struct seccomp_data d = {.nr = (int)c->rax,
		.arch = arch,
		.instruction_pointer = c->rip,
		.args = {c->rdi, c->rsi, c->rdx, c->r10, c->r8, c->r9}};
	u32 strictest = SECCOMP_RET_ALLOW;

	for (; f; f = f->older) {
		u32 answer = bpf_run(f->insns, &d);

		if ((s32)action_of(answer) < (s32)action_of(strictest))
			strictest = answer;
	}
	return strictest;
}

/* Would the program's sandbox let it through, and is there nothing else to do about that? */
static bool sandbox_lets(const struct thread *t, const struct context *c)
{
	if (t->want_no_new_privs || t->seccomp_mode == SECCOMP_MODE_STRICT)
		return false;
	return t->seccomp_mode == SECCOMP_MODE_DISABLED ||
	       action_of(filters_run(t->filters, c, AUDIT_ARCH_X86_64)) == SECCOMP_RET_ALLOW;
}

/* A signal that was sent waits for the end of a call that we see. */
static bool signal_waits(const struct thread *t)
{
	return t->queued || atomic_load_explicit(&t->edge, memory_order_relaxed);
}

/* ---- call sites ---- */

/* Sites that share a place and find it taken are not counted. */
bool site_hot(struct sites *s, u64 shown)
{
	struct site_hits *h = &s->hits[(shown ^ shown >> 10) & (SITE_HITS - 1)];
	u64 old = 0;

	if (!s->on)
		return false;
	if (h->shown != shown && !atomic_compare_exchange_strong(&h->shown, &old, shown))
		return false;
	return atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed) + 1 == s->hot;
}

const struct site *site_of(const struct sites *s, u64 rip)
{
	unsigned n = atomic_load(&s->count);

	for (unsigned i = 0; i < n; i++)
		if (rip - s->of[i].slot < SLOT_BYTES || rip - s->of[i].at < SITE_JUMP)
			return &s->of[i];
	return NULL;
}

int inject_site_check(struct thread *t, struct context *c)
{
	if (c->rax >= CALL_CLASSES || signal_waits(t) || !sandbox_lets(t, c))
		return SITE_SLOW;
	switch (t->program->classes[c->rax]) {
	case CALL_KERNELS: return SITE_PASS;
	case CALL_AT_SITE: return SITE_SERVE;
	default: return SITE_SLOW;
	}
}

/* ---- signals ---- */

/* System calls of the program's kind of thread are ours for the moment. */
static long call_as_us(struct thread *t, long nr, long a, long b, long c, long d)
{
	const u8 selector = t->selector;
	long r;

	t->selector = 0;
	r = sys_raw(nr, a, b, c, d, 0, 0);
	t->selector = selector;
	return r;
}

void signal_hold(int sig, const siginfo_t *info, struct context *c, struct thread *t)
{
	long pid = call_as_us(t, SYS_getpid, 0, 0, 0, 0);

	/* Where no memory is left for what is told with it, the signal itself counts. */
	if (call_as_us(t, SYS_rt_tgsigqueueinfo, pid, t->tid, sig, (long)info))
		call_as_us(t, SYS_tgkill, pid, t->tid, sig, 0);
	if (!t->held)
		t->held_mask = c->mask;
	t->held = true;
	c->mask |= ~SIG_VIRTUAL;
	atomic_store(&t->hold.waiting, true);
	if (t->inside && t->hold.stop)
		t->hold.stop(t->hold.opaque);
}

void inject_edge(int sig, const siginfo_t *info, struct context *c, struct thread *t)
{
	if (SIG_VIRTUAL & SIG_BIT(sig))
		atomic_store(&t->edge, (u32)sig);
	else
		signal_hold(sig, info, c, t);
	if (c->rip >= (u64)inject_site_check_held && c->rip < (u64)inject_site_jump)
		c->rip = (u64)inject_site_check_held;
}

/* ---- calls that come by SIGSYS ---- */

/* Not an instruction of the program, but one of ours that only wants to come to us. */
static bool is_our_own(const struct thread *t, u64 rip)
{
	return rip == (u64)inject_finished ||
	       (rip >= (u64)inject_site && rip < (u64)inject_site_end) ||
	       site_of(t->program->sites, rip);
}

bool inject_forward(int sig, const siginfo_t *info, struct context *c, struct thread *t)
{
	if (sig != SIGSYS || info->si_code != SYS_USER_DISPATCH ||
		info->si_arch != AUDIT_ARCH_X86_64 || is_our_own(t, c->rip))
		return false;
	c->rax = (u32)c->rax; /* the kernel looks at no more */
	if (c->rax >= CALL_CLASSES || t->program->classes[c->rax] != CALL_KERNELS)
		return false;
	if (signal_waits(t) || !sandbox_lets(t, c) ||
		(t->hot = site_hot(t->program->sites, c->rip)))
		return false;
	t->temporary = false;
	call_pass(t, c);
	return true;
}
