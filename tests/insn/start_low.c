/* SPDX-License-Identifier: MIT */
/* How a case with segments starts: where they begin and end, and registers that mostly lead to data. */
#include "insn/diff.h"

#define CODE_END (LOW_CODE + 2 * PAGE_SIZE)
#define DATA_END (LOW_DATA + DATA_BYTES)

/* A base from which offsets below 64 KiB reach where it matters. */
static u32 pick_base(struct random *r, u32 from, u32 end, bool paragraph)
{
	u32 base;

	switch (below(r, 6)) {
	case 0: base = end - 0x10000; break; /* the last page ends with the segment */
	case 1:
	case 2: base = from; break;
	case 3: base = from - below(r, 16) * 16; break;
	default: base = from - below(r, from - (end - 0x10000)); break;
	}
	return paragraph ? ALIGN_DOWN(base, 16u) : base;
}

static u32 pick_limit(struct random *r, u32 base, u32 end)
{
	unsigned p = below(r, 100);

	if (p < 45)
		return 0xffff;
	if (p < 75)
		return 0xffffffff;
	if (p < 90)
		return end - base - 1 - (percent(r, 50) ? below(r, 64) : 0);
	return end - base + below(r, 0x1000);
}

static bool granular(u32 limit)
{
	return limit > 0xfffff;
}

static void real_segments(struct random *r, struct insn_case *c)
{
	bool unreal = c->kind == KIND_REAL && percent(r, 40);

	for (unsigned i = 0; i < 6; i++) {
		bool code = i == SEG_CS;
		u32 base =
			pick_base(r, code ? LOW_CODE : LOW_DATA, code ? CODE_END : DATA_END, true);

		c->seg[i] = (struct seg_state){.selector = (u16)(base >> 4),
			.base = base,
			.limit = 0xffff,
			.attr = c->kind == KIND_V86 ? 0xf3
				: code              ? 0x9b
						    : 0x93};
		if (unreal && !code && percent(r, 70))
			c->seg[i].limit =
				percent(r, 70) ? 0xffffffff : pick_limit(r, base, DATA_END);
		if (unreal && code && percent(r, 20))
			c->seg[i].limit = pick_limit(r, base, CODE_END);
		if (granular(c->seg[i].limit)) {
			c->seg[i].limit |= 0xfff;
			c->seg[i].attr |= SEG_G;
		}
		if (unreal && i == SEG_SS && percent(r, 10))
			c->seg[i].attr |= SEG_DB;
	}
}

static u32 data_attr(struct random *r, unsigned seg)
{
	unsigned p = below(r, 100);

	if (seg == SEG_SS || p < 85)
		return 0xf3;
	return p < 92 ? 0xf1 : p < 96 ? 0xf7 : 0xfb; /* read-only, expand-down, code */
}

static void protected_segments(struct random *r, struct insn_case *c)
{
	bool flat = c->mode == 4 && percent(r, 40); /* but for fs and gs */

	for (unsigned i = 0; i < 6; i++) {
		bool code = i == SEG_CS;
		u32 end = code ? CODE_END : DATA_END;
		u32 base = pick_base(r, code ? LOW_CODE : LOW_DATA, end, percent(r, 40));
		u32 limit = pick_limit(r, base, end);
		u32 attr = code ? (percent(r, 90) ? 0xfb : 0xf9) : data_attr(r, i);

		if (flat && i < SEG_FS) {
			base = 0;
			limit = 0xffffffff;
			attr = code ? 0xfb : 0xf3;
		}
		if (granular(limit)) {
			limit |= 0xfff;
			attr |= SEG_G;
		}
		if (code ? c->mode == 4 : percent(r, i == SEG_SS ? 60 : 50))
			attr |= SEG_DB;
		c->seg[i] = (struct seg_state){.selector = (u16)(LOW_SELECTOR(i)),
			.base = base,
			.limit = limit,
			.attr = attr};
		if (i > SEG_CS && i != SEG_SS && percent(r, 4))
			c->seg[i] = (struct seg_state){
				.selector = LOW_SELECTOR(i), .attr = attr & ~SEG_P};
	}
}

static u64 start_rip(struct random *r, const struct insn_case *c)
{
	u64 at = below(r, 2 * PAGE_SIZE - 1);

	if (percent(r, 20))
		at = PAGE_SIZE - below(r, 40);
	if (percent(r, 12))
		at = 2 * PAGE_SIZE - 1 - below(r, 60);
	if (LOW_CODE + at - c->seg[SEG_CS].base > c->seg[SEG_CS].limit)
		at = below(r, 64);
	return LOW_CODE + at - c->seg[SEG_CS].base;
}

/* Offset of a place in data, relative to the segment. */
static u32 offset_of_data(struct random *r, const struct insn_case *c, unsigned seg)
{
	u32 at = LOW_DATA + below(r, DATA_BYTES);

	if (percent(r, 10))
		at = LOW_DATA + PAGE_SIZE - below(r, 16);
	if (percent(r, 6))
		at = DATA_END - below(r, 16);
	return at - c->seg[seg].base;
}

static void start_register(struct random *r, struct insn_case *c, unsigned i)
{
	u64 *g = &c->start.gpr[i];
	unsigned p = below(r, 100);

	if (i == RSP)
		*g = offset_of_data(r, c, SEG_SS) & (percent(r, 80) ? ~1u : ~0u);
	else if (p < 45 || i == RSI || i == RDI || i == RBX)
		*g = offset_of_data(r, c, i == RDI ? SEG_ES : i == RBP ? SEG_SS : SEG_DS);
	else if (p < 60)
		*g = c->seg[below(r, 6)].selector;
	else if (p < 80)
		*g = below(r, 64);
	else
		*g = percent(r, 50) ? (u32)interesting(r) : (u32)rnd(r);
	if (c->mode == 2 && percent(r, 15))
		*g |= (rnd(r) & 0xffff) << 16;
}

void start_low(struct random *r, struct insn_case *c)
{
	unsigned p = below(r, 100);

	c->kind = p < 55 ? KIND_REAL : p < 65 ? KIND_V86 : KIND_PROT;
	c->mode = c->kind == KIND_PROT && percent(r, 60) ? 4 : 2;
	c->cpl = c->kind == KIND_REAL ? 0 : 3;
	c->cold = percent(r, 20);
	if (c->kind == KIND_PROT)
		protected_segments(r, c);
	else
		real_segments(r, c);
	c->with_host = c->kind == KIND_PROT; /* and if low_load() finds that it can */
	c->start.rip = start_rip(r, c);
	for (unsigned i = 0; i < 8; i++)
		start_register(r, c, i);
	c->start.rflags = FL_FIXED | FL_IF | (rnd(r) & FL_STATUS);
	if (percent(r, 20))
		c->start.rflags |= FL_DF;
	if (c->kind == KIND_V86)
		c->start.rflags |= FL_VM | (percent(r, 30) ? FL_IOPL : 0);
	random_vectors(r, c->start.xsave);
}
