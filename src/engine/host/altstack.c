/* SPDX-License-Identifier: MIT */
/* See altstack.h. Outer code. sigaltstack(2) fails for who is on the stack that it would change: hence call_on(). */
#include "engine/host/altstack.h"

#include "base/sys.h"
#include "engine/host/enter.h"

#define OUR_FRAMES 0x10000 /* from vcpu_run() down to generated code, and a red zone */

static void change(void *stack)
{
	sys_sigaltstack(stack, NULL);
}

/* Where the kernel takes the rest for too little there is none for that time: handlers then run on the cpu's stack. */
static void cut(void *opaque)
{
	stack_t *rest = opaque;

	if ((s64)rest->ss_size > 0 && !sys_sigaltstack(rest, NULL))
		return;
	rest->ss_flags = SS_DISABLE;
	sys_sigaltstack(rest, NULL);
}

void altstack_cut(struct cpu *cpu, u64 sp, struct altstack_cut *ret)
{
	stack_t rest;

	ret->cut = false;
	if (likely(sp == cpu->plain_sp))
		return;
	if (sys_sigaltstack(NULL, &ret->whole) || !(ret->whole.ss_flags & SS_ONSTACK)) {
		cpu->plain_sp = sp;
		return;
	}
	rest = ret->whole;
	rest.ss_flags &= ~SS_ONSTACK;
	rest.ss_size = ALIGN_DOWN(sp - (u64)rest.ss_sp, 16) - OUR_FRAMES;
	call_on(cpu, cut, &rest);
	ret->cut = true;
}

void altstack_restore(struct cpu *cpu, const struct altstack_cut *a)
{
	stack_t whole = a->whole;

	if (likely(!a->cut))
		return;
	whole.ss_flags &= ~SS_ONSTACK;
	call_on(cpu, change, &whole);
}
