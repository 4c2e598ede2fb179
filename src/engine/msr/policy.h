/* SPDX-License-Identifier: MIT */
/* Which guest MSR accesses are refused, and which refusals go to the VMM instead of raising #GP. */
#ifndef ENGINE_MSR_POLICY_H
#define ENGINE_MSR_POLICY_H

#include "engine/engine.h"
#include "engine/core/cpu.h"
#include "engine/core/machine.h"
#include "x86/msr.h"

/* The filter is replaced as a whole, with all vcpus stopped. */
struct msr_policy {
	_Atomic u32 exits; /* enum msr_exit_why; vcpus that are outside look at it at any time */
	bool default_deny;
	unsigned count;
	struct msr_filter_range ranges[MSR_FILTER_RANGES_MAX]; /* bitmaps are ours */
};

/* May the guest use this MSR? access is MSR_FILTER_READ or MSR_FILTER_WRITE. */
static inline bool msr_allowed(const struct cpu *cpu, u32 index, u32 access)
{
	const struct msr_policy *p = cpu->machine ? cpu->machine->msr_policy : NULL;

	/* x2APIC registers are never filtered. */
	if (likely(!p) || (index >= MSR_X2APIC && index <= MSR_X2APIC_END))
		return true;
	for (unsigned i = 0; i < p->count; i++) {
		const struct msr_filter_range *r = &p->ranges[i];
		u32 bit = index - r->base;

		if ((r->access & access) && index >= r->base && bit < r->count)
			return r->bitmap[bit / 8] >> (bit % 8) & 1;
	}
	return !p->default_deny;
}

/* Does a refusal for this reason leave the engine? */
static inline bool msr_exit_wanted(const struct cpu *cpu, u32 why)
{
	const struct msr_policy *p = cpu->machine ? cpu->machine->msr_policy : NULL;

	return p && (p->exits & why);
}

void msr_policy_free(struct msr_policy *p);

#endif
