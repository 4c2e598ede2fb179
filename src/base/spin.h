/* SPDX-License-Identifier: MIT */
/* Waiting, for a moment, for what another thread is about to do. */
#ifndef BASE_SPIN_H
#define BASE_SPIN_H

#include "base/sys.h"

#define SPIN_TURNS 128u /* some microseconds */

/*
 * A turn of the loop; *turns is 0 before the first. The other thread may need this very CPU: a machine may have one only, or more vcpus
 * than CPUs. So it is given up now and then. Where the C library may not be called, too.
 */
static inline void spin_turn(unsigned *turns)
{
	if (++*turns % SPIN_TURNS)
		__builtin_ia32_pause();
	else
		sys_raw(SYS_sched_yield, 0, 0, 0, 0, 0, (long)sys_key);
}

#endif
