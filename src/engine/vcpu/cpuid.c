/* SPDX-License-Identifier: MIT */
/*
 * The door's view of a vcpu's CPUID: what the VMM sets is checked as a whole, and what follows from it is derived at once. What the
 * guest reads of it is engine/cpuid's.
 */
#include <errno.h>
#include <string.h>

#include "engine/core/machine.h"
#include "engine/cpu/mode.h"
#include "engine/cpuid/cpuid.h"
#include "engine/vcpu/state.h"
#include "x86/kvm_guest.h"

/* Linear addresses have 48 bits (or 57, or nothing is said). */
static int check_cpuid(struct refusal *why, const struct cpuid_entry *e, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		u8 bits = e[i].eax >> 8;
		if (e[i].function == 0x80000008 && bits != 48 && bits != 57 && bits != 0)
			return refuse(why, -EINVAL,
				"entries[%lu]: leaf 0x80000008 has %lu bits of linear address, but "
				"only 48 are supported",
				(u64)i, (u64)bits);
	}
	return 0;
}

/* Where HLT is not the VMM's business any more, waiting for a kick in it would be its loss, too. */
static void hide_unhalt(struct vcpu *v)
{
	struct cpuid_entry *e = cpuid_pv_features(&v->cpu);

	if (e && (machine_option(v->machine, OPT_EXITS_OFF) & NO_EXIT_HLT))
		e->eax &= ~PV_UNHALT;
}

int vcpu_set_cpuid(struct vcpu *v, const struct cpuid_entry *e, unsigned n)
{
	struct cpu *cpu = &v->cpu;
	struct refusal *why = refusal_begin(v);

	if (n > ARRAY_SIZE(cpu->cpuid))
		return refuse(why, -E2BIG,
			"nent: %lu entries are too many; at most %lu are allowed", (u64)n,
			(u64)ARRAY_SIZE(cpu->cpuid));
	if (check_cpuid(why, e, n))
		return -EINVAL;
	if (n)
		memcpy(cpu->cpuid, e, n * sizeof(*e));
	cpu->cpuid_count = n;
	hide_unhalt(v);
	cpuid_changed(cpu);
	cpu_update_mode(cpu);
	cpu_request(cpu, REQ_FLUSH); /* the address width decides which PTE bits are reserved */
	return 0;
}

unsigned vcpu_get_cpuid(struct vcpu *v, struct cpuid_entry *ret, unsigned n)
{
	n = MIN(n, v->cpu.cpuid_count);
	for (unsigned i = 0; i < n; i++) {
		ret[i] = v->cpu.cpuid[i];
		cpuid_apply_state(&v->cpu, &ret[i]);
	}
	return v->cpu.cpuid_count;
}

void vcpu_read_cpuid(struct vcpu *v, u32 leaf, u32 index, u32 ret[4])
{
	cpuid_read(&v->cpu, leaf, index, ret);
}

void vcpu_enforce_pv_cpuid(struct vcpu *v, bool on)
{
	v->cpu.pv_enforce = on;
	cpuid_changed(&v->cpu);
}
