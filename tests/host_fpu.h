/* SPDX-License-Identifier: MIT */
/* What the host's FXSAVE tells of its processor, where vendors differ. */
#ifndef TESTS_HOST_FPU_H
#define TESTS_HOST_FPU_H

#include <string.h>

#include "base/types.h"

struct host_fxsave {
	_Alignas(16) u8 bytes[512];
};

/* After FLDZ. */
static inline struct host_fxsave host_fxsave(void)
{
	struct host_fxsave image;

	memset(&image, 0, sizeof(image));
	__asm__ volatile("fninit; fldz; fxsave64 %0; fninit" : "=m"(image) : : "memory");
	return image;
}

/* Misaligned SSE, bit 17, is AMD's alone (APM 2:7.2.1). */
static inline u32 host_mxcsr_mask(void)
{
	const struct host_fxsave image = host_fxsave();
	u32 mask;

	memcpy(&mask, image.bytes + 28, sizeof(mask));
	return mask;
}

/*
 * AMD's processors save the pointers of the last x87 instruction only while an exception is pending, else zeros (APM 2:11.4.4).
 * So they are lost whenever state is saved.
 */
static inline bool host_keeps_x87_pointers(void)
{
	const struct host_fxsave image = host_fxsave();
	u64 fip;

	memcpy(&fip, image.bytes + 8, sizeof(fip));
	return fip != 0;
}

#endif
