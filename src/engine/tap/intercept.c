/* SPDX-License-Identifier: MIT */
/* See intercept.h. */
#include "engine/tap/intercept.h"

#include "engine/core/select.h"

static bool cpuid_wanted(const struct machine_intercepts *i, u32 leaf)
{
	for (unsigned n = 0; n < INTERCEPT_LEAVES; n++)
		if (atomic_load_explicit(&i->leaf[n], memory_order_relaxed) ==
			(INTERCEPT_LEAF | leaf))
			return true;
	return false;
}

static bool vector_wanted(const struct machine_intercepts *i, u8 vector)
{
	return vector < 32 && (atomic_load(&i->exceptions) >> vector & 1);
}

bool tap_intercepted(const struct cpu *cpu, const struct tap_event *e)
{
	const struct machine_intercepts *i = &cpu->machine->intercepts;

	switch (e->kind) {
	case TAP_CPUID: return cpuid_wanted(i, e->cpuid.leaf);
	case TAP_EXCEPTION: /* what the VMM has injected is its own */
		return !e->exception.injected && vector_wanted(i, e->exception.vector);
	case TAP_SOFT_INT: /* INT n raises no exception (SDM 3:6.4.2) */
		return e->soft_int.insn != TAP_INT_N && vector_wanted(i, e->soft_int.vector);
	case TAP_MSR_READ:
	case TAP_MSR_WRITE: return msr_selected(&i->msrs, e->msr.index, e->kind == TAP_MSR_WRITE);
	default: return false;
	}
}
