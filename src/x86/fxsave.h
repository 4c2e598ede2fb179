/* SPDX-License-Identifier: MIT */
/* The legacy part of an XSAVE image, in the 64-bit format of FXSAVE: SDM 1:10.5.1, 1:13.4.1. */
#ifndef X86_FXSAVE_H
#define X86_FXSAVE_H

#include <stddef.h>

#include "base/types.h"

struct fxsave {
	u16 fcw, fsw;
	u8 ftw, reserved; /* abridged: a bit for each register that is not empty */
	u16 opcode;
	u64 ip, dp;
	u32 mxcsr, mxcsr_mask;
	u8 st[8][16];
	u8 xmm[16][16];
};
_Static_assert(offsetof(struct fxsave, xmm) == 160, "FXSAVE layout");

#define XSTATE_BV_OFFSET 512 /* of the header behind it: which components are there */
#define XCOMP_BV_OFFSET  520 /* how the others lie, if they are compacted */
#define XSTATE_X87_SSE   3ull

#endif
