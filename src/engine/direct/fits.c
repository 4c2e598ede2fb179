/* SPDX-License-Identifier: MIT */
/* When user code may run as it is: all that it can see of the processor without a fault must be what it would see natively. */
#include "engine/cpu/smm.h"
#include "engine/direct/direct_priv.h"
#include "engine/host/track.h"

/* The selectors that 64-bit programs of Linux have: what MOV and PUSH of segment registers show. */
#define HOST_CS 0x33
#define HOST_SS 0x2b

#define CR0_WANTED   (CR0_PE | CR0_PG)
#define CR0_UNWANTED (CR0_TS | CR0_EM)
#define CR4_WANTED   (CR4_PAE | CR4_FSGSBASE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE)
#define CR4_UNWANTED CR4_LA57
#define FL_UNWANTED  (FL_TF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC | FL_VIF | FL_VIP)

static bool selectors_fit(const struct cpu *cpu)
{
	return cpu->seg[SEG_CS].selector == HOST_CS && cpu->seg[SEG_SS].selector == HOST_SS &&
	       !(cpu->seg[SEG_DS].selector | cpu->seg[SEG_ES].selector | cpu->seg[SEG_FS].selector |
		       cpu->seg[SEG_GS].selector);
}

/* Nobody looks at what single instructions or accesses do, holds pages back, or has changed what is mapped. */
static bool unwatched(const struct cpu *cpu)
{
	return !cpu->denies && !cpu->remaps && !cpu->tap_events && !cpu->step_only &&
	       !cpu->debug_flags && !(cpu->dr[7] & 0xff) && !machine_intercepts(cpu->machine) &&
	       !track_given_up() && machine_option(cpu->machine, OPT_DIRECT);
}

bool direct_fits(const struct cpu *cpu)
{
	return cpu->cpl == 3 && cpu->code_size == 8 && !cpu_in_smm(cpu) &&
	       (cpu->cr0 & (CR0_WANTED | CR0_UNWANTED)) == CR0_WANTED &&
	       (cpu->cr4 & (CR4_WANTED | CR4_UNWANTED)) == CR4_WANTED &&
	       (cpu->rflags & (FL_UNWANTED | FL_IF)) == FL_IF && selectors_fit(cpu) &&
	       unwatched(cpu) && cpu->xcr0 == cpu->xstate.features;
}
