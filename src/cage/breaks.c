/* SPDX-License-Identifier: MIT */
/*
 * The processor's breakpoints, by which guest code stops in front of an instruction: perf_event_open(2) with a signal for each hit
 * (Linux 5.13). The kernel sets the debug registers at each switch to the runner, and no guest code can see or change them.
 *
 * An event that was opened once stays open, and waits without an address: the first of a host takes the kernel 20 ms.
 */
#include <errno.h>
#include <linux/ioctl.h>
#include <string.h>

#include "base/fd.h"
#include "base/without.h"
#include "cage/cage_priv.h"

#ifndef SYS_perf_event_open
#define SYS_perf_event_open 298
#endif

/* From <linux/perf_event.h>, which old headers have in part: PERF_ATTR_SIZE_VER1. */
struct event_attr {
	u32 type, size;
	u64 config, sample_period, sample_type, read_format, flags;
	u32 wakeup_events, bp_type;
	u64 bp_addr, bp_len;
};
_Static_assert(sizeof(struct event_attr) == 72, "struct perf_event_attr");

#define TYPE_BREAKPOINT 5
#define BREAKPOINT_X    4
#define DISABLED        BIT64(0)
#define EXCLUDE_KERNEL  BIT64(5)
#define EXCLUDE_HV      BIT64(6)
#define REMOVE_ON_EXEC  BIT64(36) /* must be with SIGTRAP */
#define SIGTRAP_ON_HIT  BIT64(37)
#define MODIFY          _IOW('$', 11, void *)
#define CLOEXEC         8

static struct event_attr attr_of(u64 gva)
{
	return (struct event_attr){.type = TYPE_BREAKPOINT,
		.size = sizeof(struct event_attr),
		.sample_period = 1,
		.flags = EXCLUDE_KERNEL | EXCLUDE_HV | REMOVE_ON_EXEC | SIGTRAP_ON_HIT |
			 (gva ? 0 : DISABLED),
		.bp_type = BREAKPOINT_X,
		.bp_addr = gva,
		.bp_len = sizeof(long)};
}

static int open_event(struct cage *c, u64 gva)
{
	struct event_attr a = attr_of(gva);

	if (without(WITHOUT_BREAKPOINTS))
		return -EOPNOTSUPP;
	return fd_keep((int)SYS_CALL5(SYS_perf_event_open, &a, c->runner_tid, -1, -1, CLOEXEC));
}

/* What is told of a host that cannot, or of a sandbox. */
static int set(struct cage *c, unsigned i, u64 gva)
{
	struct event_attr a = attr_of(gva);

	if (c->breaks[i] <= 0 && !gva)
		return 0;
	if (c->breaks[i] <= 0)
		c->breaks[i] = open_event(c, gva);
	else if (sys_ioctl(c->breaks[i], MODIFY, (unsigned long)&a))
		return -EOPNOTSUPP;
	return c->breaks[i] > 0 ? 0 : -EOPNOTSUPP;
}

int cage_break(struct cage *c, unsigned i, u64 gva)
{
	if (i >= CAGE_BREAKS || gva >> 47)
		return -EINVAL;
	return c->alive ? set(c, i, gva) : -ESRCH;
}

int breaks_clear(struct cage *c)
{
	int r = 0;

	for (unsigned i = 0; i < CAGE_BREAKS && !r; i++)
		r = set(c, i, 0);
	return r;
}

void breaks_close(struct cage *c)
{
	for (unsigned i = 0; i < CAGE_BREAKS; i++)
		if (c->breaks[i] > 0)
			fd_drop(c->breaks[i]);
}
