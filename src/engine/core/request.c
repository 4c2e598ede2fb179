/* SPDX-License-Identifier: MIT */
/* Inner code. */
#include "base/sys.h"
#include "cage/cage.h"
#include "engine/core/cpu.h"

void cpu_call_process(u64 process)
{
	sys_raw(SYS_tgkill, (long)(process >> 32), (u32)process, CAGE_SIGNAL, 0, 0, (long)sys_key);
}
