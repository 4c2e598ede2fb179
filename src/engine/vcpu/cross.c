/* SPDX-License-Identifier: MIT */
/*
 * See cross.h. Inner code: nothing here may use a vector register of its own.
 *
 * XSAVE and XRSTOR of all that guests have take most of an exit's time, and FNINIT as much as each of them. But the
 * processor tells what is in use (XGETBV with ecx = 1, SDM 1:13.2), which for most guests at most exits is the low halves
 * of the vector registers. Then these are moved by hand, and the image is left as XSAVE would have left it: what is not in
 * use shows its initial state.
 *
 * The program's C library uses AVX-512's registers even for short strings. Processors that look at the values take them to be
 * unused again when they are cleared by hand, which is much cheaper than XRSTOR; where that does not help it is XRSTOR.
 */
#include "engine/vcpu/cross.h"
#include "engine/core/xsave.h"
#include "engine/cpu/x87ptr.h"

/* The ABI says that only the control words of the caller's state survive a call. */
struct host_control {
	u32 mxcsr;
	u16 fcw;
};

#define EACH_XMM(move)                                                                             \
	move(0, 0xa0) move(1, 0xb0) move(2, 0xc0) move(3, 0xd0) move(4, 0xe0) move(5, 0xf0)        \
		move(6, 0x100) move(7, 0x110) move(8, 0x120) move(9, 0x130) move(10, 0x140)        \
			move(11, 0x150) move(12, 0x160) move(13, 0x170) move(14, 0x180)            \
				move(15, 0x190)
#define LOAD(n, at)  "vmovups " #at "(%0), %%xmm" #n "\n\t"
#define STORE(n, at) "vmovups %%xmm" #n ", " #at "(%0)\n\t"

_Static_assert(offsetof(struct fpu_image, st) == 0x20, "x87_and_high_are_zero");
_Static_assert(offsetof(struct fpu_image, xmm) == 0xa0, "EACH_XMM");
_Static_assert(offsetof(struct fpu_image, ymm_high) == 0x240, "x87_and_high_are_zero");

static inline u32 in_use(void)
{
	u32 low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
	return low & XSTATE_OFFERED;
}

/* Clobbers ymm0, which has been stored. */
static inline bool x87_and_high_are_zero(const struct fpu_image *f)
{
	bool zero;

	__asm__ volatile("vmovups 0x20(%1), %%ymm0\n\t"
			 "vorps 0x40(%1), %%ymm0, %%ymm0\n\t"
			 "vorps 0x60(%1), %%ymm0, %%ymm0\n\t"
			 "vorps 0x80(%1), %%ymm0, %%ymm0\n\t"
			 "vorps 0x240(%1), %%ymm0, %%ymm0\n\t"
			 "vorps 0x260(%1), %%ymm0, %%ymm0\n\t"
			 "vorps 0x280(%1), %%ymm0, %%ymm0\n\t"
			 "vorps 0x2a0(%1), %%ymm0, %%ymm0\n\t"
			 "vorps 0x2c0(%1), %%ymm0, %%ymm0\n\t"
			 "vorps 0x2e0(%1), %%ymm0, %%ymm0\n\t"
			 "vorps 0x300(%1), %%ymm0, %%ymm0\n\t"
			 "vorps 0x320(%1), %%ymm0, %%ymm0\n\t"
			 "vptest %%ymm0, %%ymm0"
			 : "=@ccz"(zero)
			 : "r"(f)
			 : "memory");
	return zero;
}

/* Does the image show x87 and the high halves in their initial state? */
static bool shows_initial(const struct fpu_image *f)
{
	return f->fcw == FCW_RESET && !(f->fsw | f->ftw | f->reserved | f->fop) &&
	       !(f->fip | f->fdp) && x87_and_high_are_zero(f);
}

/* AVX-512's components are left out where both sides have nothing in them. */
static u64 components_to_move(u64 use)
{
	return use & XSTATE_AVX512 ? XSTATE_OFFERED : XSTATE_OFFERED & ~XSTATE_AVX512;
}

static void load_all(const struct fpu_image *f, u64 use)
{
	__asm__ volatile("xrstor64 (%0)"
			 :
			 : "r"(f), "a"(components_to_move(use | f->xstate_bv)), "d"(0)
			 : "memory");
}

#define CLEAR(n)  "vpxord %%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n\t"
#define CLEARK(n) "kxorw %%k" #n ", %%k" #n ", %%k" #n "\n\t"

/* What AVX-512 adds to the registers, but for what VZEROUPPER clears. */
static void clear_avx512(void)
{
	__asm__ volatile(CLEAR(16) CLEAR(17) CLEAR(18) CLEAR(19) CLEAR(20) CLEAR(21) CLEAR(22)
				 CLEAR(23) CLEAR(24) CLEAR(25) CLEAR(26) CLEAR(27) CLEAR(28)
					 CLEAR(29) CLEAR(30) CLEAR(31) CLEARK(0) CLEARK(1) CLEARK(2)
						 CLEARK(3) CLEARK(4) CLEARK(5) CLEARK(6) CLEARK(7)
			 :
			 :
			 : "memory");
}

/* Of the program's state at entry; what is cheaply made unused is so after this. */
static u32 in_use_by_program(const struct cpu *cpu)
{
	u32 use = in_use();

	if (!(use & XSTATE_AVX512))
		return use;
	clear_avx512();
	__asm__ volatile("vzeroupper");
	return cpu->host_xinuse_by_value ? use & ~XSTATE_AVX512 : in_use();
}

/* The program's x87 state is not its initial one if it has ever used it. */
static void load(const struct cpu *cpu, const struct fpu_image *f)
{
	u32 use = cpu->host_xinuse ? in_use_by_program(cpu) : XSTATE_OFFERED;

	if (f->xstate_bv != XSTATE_SSE || (use & (XSTATE_X87 | XSTATE_AVX512)))
		load_all(f, use);
	else
		__asm__ volatile("vzeroupper\n\t" EACH_XMM(LOAD) "vldmxcsr %1"
				 :
				 : "r"(f), "m"(f->mxcsr)
				 : "memory");
}

/* Nothing of the guest's is left in registers whose use costs the program something. */
static void store_all(struct fpu_image *f, u64 use)
{
	__asm__ volatile("xsave64 (%0)\n\tvzeroupper\n\tfninit"
			 :
			 : "r"(f), "a"(components_to_move(use | f->xstate_bv)), "d"(0)
			 : "memory");
	if (f->xstate_bv & XSTATE_AVX512)
		clear_avx512();
}

static void store(const struct cpu *cpu, struct fpu_image *f)
{
	u32 use = cpu->host_xinuse ? in_use() : XSTATE_OFFERED;

	if ((use & ~XSTATE_SSE) || (f->xstate_bv & XSTATE_AVX512)) {
		store_all(f, use);
		return;
	}
	__asm__ volatile(EACH_XMM(STORE) : : "r"(f) : "memory");
	if (unlikely(!shows_initial(f))) {
		__asm__ volatile("vmovups %0, %%xmm0" : : "m"(f->xmm[0]) : "memory");
		store_all(f, use);
		return;
	}
	__asm__ volatile("vstmxcsr %0" : "=m"(f->mxcsr));
	f->xstate_bv = XSTATE_SSE;
	__asm__ volatile("vzeroupper");
}

static void vector_enter(struct cpu *cpu, struct host_control *hc)
{
	__asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(hc->mxcsr), "=m"(hc->fcw));
	if (UV_EAGER_FPU)
		return;
	x87_pointers_hide(cpu);
	load(cpu, fpu_image(cpu));
}

static void vector_leave(struct cpu *cpu, const struct host_control *hc)
{
	if (!UV_EAGER_FPU) {
		store(cpu, fpu_image(cpu));
		x87_pointers_show(cpu);
	}
	__asm__ volatile("ldmxcsr %0" : : "m"(hc->mxcsr));
	/* Or x87 state would be in use from here on, and the next load one of everything. */
	if (unlikely(hc->fcw != FCW_RESET))
		__asm__ volatile("fldcw %0" : : "m"(hc->fcw));
}

enum run_result cpu_run_inner(struct cpu *cpu)
{
	struct host_control hc;
	enum run_result r;

	vector_enter(cpu, &hc);
	r = cpu_run(cpu);
	vector_leave(cpu, &hc);
	return r;
}

bool cross_xinuse_by_value(const struct cpu *cpu)
{
	static const u8 initial[XSAVE_AVX] __attribute__((aligned(64)));
	u32 low, high;

	if (!cpu->host_xinuse || !(cpu->xstate.features & XSTATE_AVX512))
		return false;
	__asm__ volatile("xrstor64 %2\n\t"
			 "vpternlogd $0xff, %%zmm16, %%zmm16, %%zmm16\n\t"
			 "kxnorw %%k1, %%k1, %%k1\n\t"
			 "vpxord %%zmm16, %%zmm16, %%zmm16\n\t"
			 "kxorw %%k1, %%k1, %%k1\n\t"
			 "mov $1, %%ecx\n\txgetbv"
			 : "=a"(low), "=d"(high)
			 : "m"(*initial), "a"((u32)XSTATE_AVX512), "d"(0)
			 : "ecx", "memory");
	return !(low & (XSTATE_OPMASK | XSTATE_HI16));
}
