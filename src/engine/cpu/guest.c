/* SPDX-License-Identifier: MIT */
/* See guest.h. Inner code: nothing here may use a vector register of its own. */
#include "engine/cpu/guest.h"

#include "engine/cpu/cache.h"

#define XSTATE_OFFERED 7 /* x87, SSE, AVX */

/* The ABI says that only the control words of the caller's state survive a call. */
struct host_control {
	u32 mxcsr;
	u16 fcw;
};

static void vector_enter(struct cpu *cpu, struct host_control *hc)
{
	__asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(hc->mxcsr), "=m"(hc->fcw));
	if (UV_EAGER_FPU)
		return;
	__asm__ volatile("xrstor64 %0"
			 :
			 : "m"(cpu->xsave_area), "a"(XSTATE_OFFERED), "d"(0)
			 : "memory");
}

static void vector_leave(struct cpu *cpu, const struct host_control *hc)
{
	if (!UV_EAGER_FPU)
		__asm__ volatile("xsave64 %0\n\tvzeroupper\n\tfninit"
				 : "+m"(cpu->xsave_area)
				 : "a"(XSTATE_OFFERED), "d"(0)
				 : "memory");
	__asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(hc->mxcsr), "m"(hc->fcw));
}

enum run_result cpu_run_guest(struct cpu *cpu)
{
	struct host_control hc;
	enum run_result r;

	vector_enter(cpu, &hc);
	r = cpu_run(cpu);
	vector_leave(cpu, &hc);
	return r;
}
