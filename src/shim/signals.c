/* SPDX-License-Identifier: MIT */
/*
 * The program's sigaction() for signals that the engine handles in its process: the program's action
 * is recorded beside the engine's handler, which calls it for what is not the engine's
 * (engine/cpu/recover.c), and reads back as it was set.
 */
#include <errno.h>
#include <string.h>

#include "abi/dev.h"
#include "base/sys.h"
#include "shim/shim.h"

static bool engine_uses(int signo)
{
	return signo == SIGSEGV || signo == SIGBUS || signo == SIGFPE || signo == SIGILL;
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

long shim_sigaction(int signo, const struct sigaction *set, struct sigaction *get)
{
	struct sys_sigaction k, old;
	long r;

	if (likely(!engine_uses(signo)) || !shim_dev())
		return NOT_OURS;
	if (set)
		k = to_kernel(set);
	r = dev_sigaction(signo, set ? &k : NULL, &old);
	if (!r && get)
		from_kernel(&old, get);
	return r;
}
