/* SPDX-License-Identifier: MIT */
/* MSR accesses that leave to user space: not built yet, so none does and no filter can be set. */
#include <errno.h>

#include "engine/engine.h"

void machine_set_msr_exits(struct machine *m, u32 why)
{
}

int machine_set_msr_filter(
	struct machine *m, bool default_deny, const struct msr_filter_range *ranges, unsigned n)
{
	return -ENOSYS;
}
