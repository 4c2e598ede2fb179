/* SPDX-License-Identifier: MIT */
/* See sys.h. */
#include <errno.h>

#include "base/sys.h"

#define SA_RESTORER 0x04000000ul

void sys_restorer(void);

long sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
	long r = sys_raw(nr, a, b, c, d, e, f);

	if (likely(r >= 0 || r < -4095))
		return r;
	errno = (int)-r;
	return -1;
}

int sys_sigaction(int signo, const struct sys_sigaction *set, struct sys_sigaction *old)
{
	struct sys_sigaction k;

	if (set) {
		k = *set;
		k.flags |= SA_RESTORER;
		k.restorer = (void *)sys_restorer;
	}
	return (int)SYS_CALL4(SYS_rt_sigaction, signo, set ? &k : NULL, old, sizeof(k.mask));
}
