/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include "shim/inject/private.h"

long seccomp_check(struct thread *t, struct context *c, u32 arch)
{
	return CALL_PASS;
}

long call_seccomp(struct thread *t, struct context *c)
{
	return -ENOSYS;
}

long seccomp_prctl_set(struct thread *t, u64 mode, u64 program)
{
	return -EINVAL;
}

long seccomp_prctl_get(struct thread *t)
{
	return t->seccomp_mode;
}
