/* SPDX-License-Identifier: MIT */
/*
 * What is decided about a system call before our own fs is in place, or the vector registers are
 * saved: general registers only, no function of libc, no thread-local storage (tests/shim/bare.py).
 */
#include <linux/audit.h>

#include "shim/inject/bpf.h"
#include "shim/inject/private.h"

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

bool inject_forward(int sig, const siginfo_t *info, struct context *c, struct thread *t)
{
	if (sig != SIGSYS || info->si_code != SYS_USER_DISPATCH ||
		info->si_arch != AUDIT_ARCH_X86_64 || c->rip == (u64)inject_finished)
		return false;
	c->rax = (u32)c->rax; /* the kernel looks at no more */
	if (c->rax >= CALL_CLASSES || t->program->classes[c->rax] != CALL_KERNELS)
		return false;
	if (signal_waits(t) || !sandbox_lets(t, c))
		return false;
	t->temporary = false;
	call_pass(t, c);
	return true;
}
