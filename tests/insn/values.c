/* SPDX-License-Identifier: MIT */
/* Values that are likely to matter: edges of integers and of floating-point formats. */
#include <string.h>

#include "engine/core/xsave.h"
#include "insn/diff.h"

u64 interesting(struct random *r)
{
	static const u64 edges[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff,
		0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff,
		0x8000000000000000, ~0ull, ~1ull, 0x5555555555555555, 0x00007fffffffffff,
		0x0000800000000000, 0xffff800000000000};
	u64 v = edges[below(r, ARRAY_SIZE(edges))];

	switch (below(r, 6)) {
	case 0: return v + below(r, 16);
	case 1: return v - below(r, 16);
	case 2: return below(r, 256);
	case 3: return -(u64)below(r, 256);
	case 4: return 1ull << below(r, 64);
	default: return v;
	}
}

static u64 some_double(struct random *r)
{
	static const u64 v[] = {0, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000,
		0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001, 1,
		0x000fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff, 0x41dfffffffc00000,
		0x41e0000000000000, 0x43e0000000000000, 0x4000000000000000, 0x3fe0000000000000};

	return percent(r, 70) ? v[below(r, ARRAY_SIZE(v))] ^ (rnd(r) & 0x8000000000000001)
			      : 0x3ff0000000000000 + (rnd(r) >> 8);
}

static u32 some_float(struct random *r)
{
	static const u32 v[] = {0, 0x80000000, 0x3f800000, 0x7f800000, 0xff800000, 0x7fc00000,
		0x7f800001, 1, 0x007fffff, 0x00800000, 0x7f7fffff, 0x4f000000, 0x5f000000,
		0x40000000};

	return percent(r, 70) ? v[below(r, ARRAY_SIZE(v))] ^ (u32)(rnd(r) & 0x80000001)
			      : 0x3f800000 + (u32)(rnd(r) >> 40);
}

static u64 lane(struct random *r, unsigned kind)
{
	switch (kind) {
	case 0: return some_double(r);
	case 1: return some_float(r) | (u64)some_float(r) << 32;
	case 2: return below(r, 512) | (u64)below(r, 512) << 32;
	case 3: return interesting(r);
	default: return rnd(r);
	}
}

static void some_extended(struct random *r, u8 st[16])
{
	static const u16 exponents[] = {
		0, 1, 0x3fff, 0x3ffe, 0x4000, 0x403e, 0x403f, 0x7ffe, 0x7fff};
	u64 mantissa = rnd(r);
	u16 exponent =
		percent(r, 70) ? 0x3fe0 + below(r, 64) : exponents[below(r, ARRAY_SIZE(exponents))];

	if (percent(r, 90) && (exponent & 0x7fff))
		mantissa |= 1ull << 63;
	if (percent(r, 20))
		mantissa = percent(r, 50) ? 1ull << 63 : 0;
	exponent |= rnd(r) & 0x8000;
	memset(st, 0, 16);
	memcpy(st, &mantissa, 8);
	memcpy(st + 8, &exponent, 2);
}

static void random_x87(struct random *r, u8 *x)
{
	u16 cw = 0x37f, sw = 0;
	u8 tags = percent(r, 40) ? 0xff : percent(r, 30) ? 0 : rnd(r);

	if (percent(r, 20))
		cw = 0x40 | (rnd(r) & 0xf3f);
	if (percent(r, 50))
		sw = (rnd(r) & 0x7f00);
	if (percent(r, 10))
		sw |= rnd(r) & 0x7f;
	if (sw & ~cw & 0x3f)
		sw |= 0x8080;
	memcpy(x, &cw, 2);
	memcpy(x + 2, &sw, 2);
	x[4] = tags;
	for (unsigned i = 0; i < 8; i++)
		some_extended(r, x + 32 + i * 16);
}

/* All, none, a few, the first of them. */
static u64 some_opmask(struct random *r)
{
	switch (below(r, 6)) {
	case 0: return ~0ull;
	case 1: return 0;
	case 2: return rnd(r) & rnd(r) & rnd(r);
	case 3: return ~0ull >> below(r, 64);
	case 4: return ~0ull << below(r, 17);
	default: return rnd(r);
	}
}

/* Of a host that has them. Kinds as below; the tops of the first sixteen have those of their own. */
static void random_avx512(struct random *r, u8 *xsave, const struct xstate_place *place)
{
	for (unsigned i = XS_OPMASK; i < XS_COUNT; i++) {
		unsigned kind = 0;

		for (unsigned at = 0; place->features & BIT64(i) && at < xstate_size(i); at += 8) {
			u64 v;

			if (at % 64 == 0)
				kind = below(r, 5);
			v = i == XS_OPMASK ? some_opmask(r) : lane(r, kind);
			memcpy(xsave + place->offset[i] + at, &v, 8);
		}
	}
}

void random_vectors(struct random *r, u8 xsave[R_XSAVE_BYTES])
{
	u32 mxcsr = percent(r, 75) ? 0x1f80 : rnd(r) & (percent(r, 50) ? 0xffff : 0xffc0);
	const struct xstate_place *place = host_xstate();
	u64 bv = place->features;

	memset(xsave, 0, R_XSAVE_BYTES);
	random_x87(r, xsave);
	memcpy(xsave + 24, &mxcsr, 4);
	memcpy(xsave + 512, &bv, 8);
	for (unsigned i = 0; i < 16; i++) {
		unsigned kind = below(r, 5);

		for (unsigned k = 0; k < 4; k++) {
			u64 v = lane(r, kind);
			u8 *at = k < 2 ? xsave + 160 + i * 16 + k * 8
				       : xsave + 576 + i * 16 + (k - 2) * 8;

			memcpy(at, &v, 8);
		}
	}
	random_avx512(r, xsave, place);
}
