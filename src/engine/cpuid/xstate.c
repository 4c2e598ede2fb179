/* SPDX-License-Identifier: MIT */
/*
 * Which components of processor state may be in XCR0 and in an XSAVE image, and why the others may not. host: those of
 * the engine's that the host has. Names are those of SDM 1:13.1.
 */
#include <errno.h>

#include "engine/cpuid/cpuid.h"
#include "engine/core/xsave.h"

#define NOT_OFFERED                                                                                \
	" is not offered to guests; take features from KVM_GET_SUPPORTED_CPUID, not from the host"

/* Sentences for the two registers about the components that processors have, and the engine or this host does not. */
#define ABSENT(first, last, name)                                                                  \
	{                                                                                          \
		first, last, "xcr0 bit %lu: " name NOT_OFFERED,                                    \
			"xstate_bv bit %lu: " name NOT_OFFERED                                     \
	}
static const struct component {
	u8 first, last;
	const char *xcr0, *xstate_bv;
} absent[] = {
	ABSENT(3, 4, "MPX"),
	ABSENT(5, 7, "AVX-512"),
	ABSENT(8, 8, "Processor Trace"),
	ABSENT(9, 9, "PKU"),
	ABSENT(10, 10, "PASID"),
	ABSENT(11, 12, "CET"),
	ABSENT(13, 13, "HDC"),
	ABSENT(14, 14, "user interrupts"),
	ABSENT(15, 15, "LBR"),
	ABSENT(16, 16, "HWP"),
	ABSENT(17, 18, "AMX"),
	ABSENT(19, 19, "APX"),
	ABSENT(20, 63, "this component"),
};

static const struct component *component_of(u64 bit)
{
	for (unsigned i = 0; i < ARRAY_SIZE(absent); i++)
		if (bit >= absent[i].first && bit <= absent[i].last)
			return &absent[i];
	return &absent[ARRAY_SIZE(absent) - 1];
}

int xstate_check_bv(struct refusal *why, u64 bv, u64 host)
{
	u64 bit;

	if (!(bv & ~host))
		return 0;
	bit = (u64)__builtin_ctzll(bv & ~host);
	return refuse(why, -EINVAL, component_of(bit)->xstate_bv, bit);
}

int xstate_check_xcr0(struct refusal *why, u64 xcr0, u64 allowed, u64 host)
{
	u64 bit = xcr0 & ~host ? (u64)__builtin_ctzll(xcr0 & ~host) : 0;

	if (!(xcr0 & XSTATE_X87))
		return refuse(
			why, -EINVAL, "xcr0 bit 0: must be set, because x87 is always enabled");
	if (bit)
		return refuse(why, -EINVAL, component_of(bit)->xcr0, bit);
	bit = xcr0 & ~allowed;
	if (bit)
		return refuse(why, -EINVAL,
			"xcr0 bit %lu: leaf 0xd of this vCPU's CPUID does not offer this component",
			(u64)__builtin_ctzll(bit));
	if ((xcr0 & (XSTATE_SSE | XSTATE_AVX)) == XSTATE_AVX)
		return refuse(why, -EINVAL, "xcr0 bit 2: AVX needs SSE, bit 1");
	bit = xcr0 & XSTATE_AVX512;
	if (bit && (bit != XSTATE_AVX512 || !(xcr0 & XSTATE_AVX)))
		return refuse(why, -EINVAL,
			"xcr0 bits 5 to 7: AVX-512 needs all three of them, and AVX, bit 2");
	return 0;
}
