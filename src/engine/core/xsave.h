/* SPDX-License-Identifier: MIT */
/* Guest x87 and vector state at rest: the standard-format XSAVE image in cpu->xsave_area. */
#ifndef ENGINE_CORE_XSAVE_H
#define ENGINE_CORE_XSAVE_H

#include <string.h>

#include "engine/core/cpu.h"

/*
 * Components that guests may have, in numbers of XCR0's bits. AVX and what is above it is optional, AVX-512's three are there
 * together or not at all (SDM 1:13.3). Where these lie in the standard format differs between processors (SDM 1:13.4.3): the
 * guest's place is the host's.
 */
#define XSTATE_X87     BIT64(0)
#define XSTATE_SSE     BIT64(1)
#define XSTATE_AVX     BIT64(2)
#define XSTATE_OPMASK  BIT64(5)
#define XSTATE_ZMM_HI  BIT64(6) /* bits 511 to 256 of the first sixteen */
#define XSTATE_HI16    BIT64(7) /* the other sixteen */
#define XSTATE_AVX512  (XSTATE_OPMASK | XSTATE_ZMM_HI | XSTATE_HI16)
#define XSTATE_OFFERED (XSTATE_X87 | XSTATE_SSE | XSTATE_AVX | XSTATE_AVX512)
#define XSAVE_HEADER   512
#define XSAVE_AVX      576

enum xstate { XS_AVX = 2, XS_OPMASK = 5, XS_ZMM_HI = 6, XS_HI16 = 7, XS_COUNT };

/* Bytes of a component above SSE; 0: not one of ours. */
static inline u32 xstate_size(unsigned component)
{
	switch (component) {
	case XS_AVX: return 256;
	case XS_OPMASK: return 64;
	case XS_ZMM_HI: return 512;
	case XS_HI16: return 1024;
	default: return 0;
	}
}

/* Bytes of an image of these components in the standard format, SDM 1:13.4.2. */
static inline u32 xsave_size(const struct xstate_place *place, u64 features)
{
	u32 size = XSAVE_AVX;

	for (unsigned i = XS_AVX; i < XS_COUNT; i++)
		if (features & BIT64(i))
			size = MAX(size, place->offset[i] + xstate_size(i));
	return size;
}

/* And where a component begins in the compacted format, or with XS_COUNT how long it is. SDM 1:13.4.3. */
static inline u32 xsave_compact_offset(u64 features, unsigned component)
{
	u32 size = XSAVE_AVX;

	for (unsigned i = XS_AVX; i < component; i++)
		if (features & BIT64(i))
			size += xstate_size(i);
	return size;
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
#define MXCSR_MM    BIT(17) /* AMD: packed operands in memory may be misaligned */
#define FSW_ES      0x80
#define FSW_B       0x8000
#define FSW_TOP(sw) (((sw) >> 11) & 7)
#define FCW_BITS    0x1f3f /* writable bits of the control word; bit 6 reads as one */
#define FPU_MASKS   0x3f   /* exception masks in the control word, flags in the status word */

static inline struct fpu_image *fpu_image(struct cpu *cpu)
{
	return (struct fpu_image *)cpu->xsave_area;
}

/* A component above SSE in the image; not of AVX-512 where the host has none. */
static inline u8 *fpu_component(struct cpu *cpu, unsigned component)
{
	return cpu->xsave_area + cpu->xstate.offset[component];
}

/* What is not in use shows its initial state. Outer code. */
static inline void fpu_clear_absent(struct cpu *cpu)
{
	struct fpu_image *f = fpu_image(cpu);

	if (!(f->xstate_bv & XSTATE_X87)) {
		memset(f, 0, offsetof(struct fpu_image, mxcsr));
		memset(f->st, 0, sizeof(f->st));
		f->fcw = FCW_RESET;
	}
	if (!(f->xstate_bv & XSTATE_SSE))
		memset(f->xmm, 0, sizeof(f->xmm));
	for (unsigned i = XS_AVX; i < XS_COUNT; i++)
		if (cpu->xstate.features & ~f->xstate_bv & BIT64(i))
			memset(fpu_component(cpu, i), 0, xstate_size(i));
}

/* Bits of MXCSR that this host has; others fault when they are loaded (SDM 1:11.6.6). */
static inline u32 fpu_mxcsr_mask(const struct fpu_image *f)
{
	return f->mxcsr_mask ? f->mxcsr_mask : 0xffbf;
}

#endif
