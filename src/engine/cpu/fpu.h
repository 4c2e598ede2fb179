/* SPDX-License-Identifier: MIT */
/*
 * Guest x87 and vector state as C code sees it: the standard-format XSAVE image in cpu->xsave_area.
 *
 * While inner code runs the state is live in the host's registers; fpu_live_to_area() copies it out
 * and fpu_area_to_live() puts a changed image back, which is then no longer the guest's to look at (x87ptr.h). Builds with UV_EAGER_FPU keep it in the area while
 * C code runs, and both do nothing. Code in between may not use vector registers either way.
 */
#ifndef ENGINE_CPU_FPU_H
#define ENGINE_CPU_FPU_H

#include "engine/code/cache.h"
#include "engine/core/cpu.h"
#include "engine/cpu/x87ptr.h"
#include "engine/core/xsave.h"
#include "engine/host/enter.h"

/* Into generated code, with the state in the host's registers, and back. */
static inline const struct exit_record *fpu_run_code(struct cpu *cpu, const void *target)
{
	const struct exit_record *rec;

	if (!UV_EAGER_FPU)
		return code_enter(cpu, target, NULL);
	x87_pointers_hide(cpu);
	rec = code_enter(cpu, target, cpu->xsave_area);
	x87_pointers_show(cpu);
	return rec;
}

#if UV_EAGER_FPU
/* The host's: bit 17 is AMD's alone, and XRSTOR faults on a bit that it does not have. */
static inline u32 fpu_host_mxcsr_mask(void)
{
	struct fpu_image image __attribute__((aligned(64)));

	__asm__ volatile("fxsave64 %0" : "=m"(image));
	return image.mxcsr_mask;
}
#endif

static inline struct fpu_image *fpu_live_to_area(struct cpu *cpu)
{
#if UV_EAGER_FPU /* what XSAVE would have written */
	fpu_image(cpu)->mxcsr_mask = fpu_host_mxcsr_mask();
#else
	__asm__ volatile("xsave64 %0"
			 : "+m"(cpu->xsave_area)
			 : "a"(XSTATE_OFFERED), "d"(0)
			 : "memory");
	x87_pointers_show(cpu);
#endif
	return fpu_image(cpu);
}

/* Of a host that has opmask registers. */
static inline u64 fpu_opmask(struct cpu *cpu, unsigned n)
{
#if !UV_EAGER_FPU
	__asm__ volatile("xsave64 %0"
			 : "+m"(cpu->xsave_area)
			 : "a"(XSTATE_OPMASK), "d"(0)
			 : "memory");
#endif
	return ((const u64 *)fpu_component(cpu, XS_OPMASK))[n];
}

/* Does an unmasked x87 exception wait to be reported? */
static inline bool fpu_pending(struct cpu *cpu)
{
	u16 fsw = fpu_image(cpu)->fsw;

	if (!UV_EAGER_FPU)
		__asm__ volatile("fnstsw %0" : "=a"(fsw));
	return fsw & FSW_ES;
}

#if UV_EAGER_FPU
/* Through the registers and back, so that the image is what the processor makes of it (reserved bits, masks). */
static inline void fpu_settle(struct cpu *cpu)
{
	const u32 mxcsr = 0x1f80;

	__asm__ volatile("xrstor64 %0\n\txsave64 %0\n\tvzeroupper\n\tfninit\n\tldmxcsr %3"
			 : "+m"(cpu->xsave_area)
			 : "a"(XSTATE_OFFERED), "d"(0), "m"(mxcsr)
			 : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
			 "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}
#endif

static inline void fpu_area_to_live(struct cpu *cpu)
{
#if UV_EAGER_FPU
	fpu_settle(cpu);
#else
	x87_pointers_hide(cpu);
	__asm__ volatile("xrstor64 %0"
			 :
			 : "m"(cpu->xsave_area), "a"(XSTATE_OFFERED), "d"(0)
			 : "memory");
#endif
}

/* The control word as the processor keeps it after a load. */
static inline u16 fcw_loaded(u16 value)
{
	return (value & FCW_BITS) | 0x40;
}

#endif
