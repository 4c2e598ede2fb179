/* SPDX-License-Identifier: MIT */
/* Guest x87 and vector state at rest: the standard-format XSAVE image in cpu->xsave_area. */
#ifndef ENGINE_CORE_XSAVE_H
#define ENGINE_CORE_XSAVE_H

#include "engine/core/cpu.h"

/* Everything above x87 and SSE is optional; sizes of the standard format (SDM 1:13.4). */
#define XSTATE_X87     BIT64(0)
#define XSTATE_SSE     BIT64(1)
#define XSTATE_AVX     BIT64(2)
#define XSTATE_OFFERED (XSTATE_X87 | XSTATE_SSE | XSTATE_AVX)
#define XSAVE_HEADER   512
#define XSAVE_AVX      576
#define XSAVE_SIZE     832

static inline u32 xsave_size(u64 features)
{
	return features & XSTATE_AVX ? XSAVE_SIZE : XSAVE_AVX;
}

/* Standard format, SDM 1:13.4.1 and 1:10.5.1. */
struct __attribute__((packed)) fpu_image {
	u16 fcw, fsw;
	u8 ftw, reserved; /* abridged tag word: a bit for each register that is not empty */
	u16 fop;
	u64 fip, fdp;
	u32 mxcsr, mxcsr_mask;
	u8 st[8][16]; /* from the top of the stack */
	u8 xmm[16][16];
	u8 unused[96];
	u64 xstate_bv, xcomp_bv, header[6];
	u8 ymm_high[16][16];
};

#define FCW_RESET   0x37f
#define MXCSR_RESET 0x1f80u
#define FSW_ES      0x80
#define FSW_B       0x8000
#define FSW_TOP(sw) (((sw) >> 11) & 7)
#define FCW_BITS    0x1f3f /* writable bits of the control word; bit 6 reads as one */
#define FPU_MASKS   0x3f   /* exception masks in the control word, flags in the status word */

static inline struct fpu_image *fpu_image(struct cpu *cpu)
{
	return (struct fpu_image *)cpu->xsave_area;
}

/* Bits of MXCSR that this host has; others fault when they are loaded (SDM 1:11.6.6). */
static inline u32 fpu_mxcsr_mask(const struct fpu_image *f)
{
	return f->mxcsr_mask ? f->mxcsr_mask : 0xffbf;
}

#endif
