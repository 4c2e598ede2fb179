/* SPDX-License-Identifier: MIT */
/*
 * Running both decoders on one instruction, and everything about the comparison but operands.
 */
#include <stdio.h>

#include "oracle.h"

#include "x86/regs.h"
#include "x86/insn.h"

const char *const oracle_field_name[O_FIELDS] = {
	"validity",
	"length",
	"memory presence",
	"memory size",
	"memory action",
	"base",
	"index",
	"displacement",
	"segment",
	"immediate",
	"reg",
	"rm",
	"vvvv",
	"flags read",
	"flags written",
	"flags always",
	"flags undefined",
	"implicit registers",
	"operand size",
	"address size",
	"privilege",
	"alignment",
	"faults",
	"opmask",
	"broadcast",
	"vector length",
	"fault suppression",
};

/* DF is compared where it is written only: Zydis does not list it as tested by all string forms. */
u32 oracle_compare_flags(const struct oracle_case *c)
{
	const ZydisAccessedFlags *f = c->z.cpu_flags;
	const struct insn_desc *d = c->in.desc;
	u32 mask = FL_STATUS | FL_DF, set, bad = 0;

	if (!f)
		return 0;
	set = f->modified | f->set_0 | f->set_1 | f->undefined;
	if ((f->tested & mask) != d->flags_read)
		bad |= BIT(O_FLAGS_READ);
	if ((set & mask) != d->flags_written)
		bad |= BIT(O_FLAGS_WRITTEN);
	if (d->flags_always & ~d->flags_written)
		bad |= BIT(O_FLAGS_ALWAYS);
	if ((f->undefined & mask) != d->flags_undefined)
		bad |= BIT(O_FLAGS_UNDEFINED);
	return bad;
}

/* SDM 2:2.4 and 2.5: the exception class of vector instructions implies both attributes. */
static u32 compare_class(const struct oracle_case *c)
{
	u32 attr = c->in.desc->attr, bad = 0;
	ZydisExceptionClass k = c->z.meta.exception_class;
	bool align, faults;

	if (k == ZYDIS_EXCEPTION_CLASS_NONE || !(attr & (IA_SSE | IA_AVX)) || attr & IA_MMX)
		return 0;
	align = k == ZYDIS_EXCEPTION_CLASS_SSE1 || k == ZYDIS_EXCEPTION_CLASS_SSE2 ||
		k == ZYDIS_EXCEPTION_CLASS_SSE4 || k == ZYDIS_EXCEPTION_CLASS_AVX1 ||
		k == ZYDIS_EXCEPTION_CLASS_E1 || k == ZYDIS_EXCEPTION_CLASS_E1NF;
	faults = k == ZYDIS_EXCEPTION_CLASS_SSE2 || k == ZYDIS_EXCEPTION_CLASS_SSE3 ||
		 k == ZYDIS_EXCEPTION_CLASS_AVX2 || k == ZYDIS_EXCEPTION_CLASS_AVX3 ||
		 k == ZYDIS_EXCEPTION_CLASS_AVX11 || k == ZYDIS_EXCEPTION_CLASS_E2 ||
		 k == ZYDIS_EXCEPTION_CLASS_E3 || k == ZYDIS_EXCEPTION_CLASS_E3NF ||
		 k == ZYDIS_EXCEPTION_CLASS_E11;
	if (c->in.is_mem && align != !!(attr & IA_ALIGN))
		bad |= BIT(O_ALIGN);
	if (faults != !!(attr & IA_FAULTS))
		bad |= BIT(O_FAULTS);
	return bad;
}

/* Classes whose name ends in NF access all of the operand. Of those without an opmask it does not matter. */
static bool suppresses_faults(ZydisExceptionClass k)
{
	return k == ZYDIS_EXCEPTION_CLASS_E1 || k == ZYDIS_EXCEPTION_CLASS_E2 ||
	       k == ZYDIS_EXCEPTION_CLASS_E3 || k == ZYDIS_EXCEPTION_CLASS_E4 ||
	       k == ZYDIS_EXCEPTION_CLASS_E5 || k == ZYDIS_EXCEPTION_CLASS_E6 ||
	       k == ZYDIS_EXCEPTION_CLASS_E10 || k == ZYDIS_EXCEPTION_CLASS_E11 ||
	       k == ZYDIS_EXCEPTION_CLASS_E12;
}

/* What an EVEX prefix says beyond VEX (SDM 2:2.7). */
static u32 compare_evex(const struct oracle_case *c)
{
	const struct insn *in = &c->in;
	const ZydisDecodedInstructionAvx *z = &c->z.avx;
	unsigned mask = z->mask.reg ? ZydisRegisterGetId(z->mask.reg) : 0;
	bool broadcast = z->broadcast.mode && !z->broadcast.is_static;
	u32 bad = 0;

	if (in->enc != ENC_EVEX)
		return 0;
	if (in->opmask != mask)
		bad |= BIT(O_MASK);
	if (in->broadcast != broadcast)
		bad |= BIT(O_BROADCAST);
	if (!(in->desc->evex & EV_SCALAR) && !(in->desc->check & CK_L0) &&
		in->vl * 8 != z->vector_length)
		bad |= BIT(O_LENGTH_OF_VECTOR);
	if (in->is_mem && in->opmask &&
		!(in->desc->evex & EV_WHOLE) != suppresses_faults(c->z.meta.exception_class))
		bad |= BIT(O_WHOLE);
	return bad;
}

static u32 compare(const struct oracle_case *c)
{
	u32 bad = 0;

	if ((c->ours == INSN_OK) != c->theirs)
		return BIT(O_VALID);
	if (!c->theirs)
		return 0;
	if (c->in.len != c->z.length)
		bad |= BIT(O_LENGTH);
	if (!!(c->in.desc->attr & IA_CPL0) != !!(c->z.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED))
		bad |= BIT(O_PRIVILEGE);
	return bad | oracle_compare_operands(c) | oracle_compare_flags(c) | compare_class(c) |
	       compare_evex(c);
}

static void show(const struct oracle_case *c, u32 bad)
{
	unsigned len = c->theirs ? c->z.length : c->ours == INSN_OK ? c->in.len : c->n;

	printf("mode %u:", c->mode * 8);
	for (unsigned i = 0; i < len; i++)
		printf(" %02x", c->code[i]);
	printf("\tours %s, Zydis %s:", c->ours == INSN_OK ? insn_name(&c->in) : "-",
		c->theirs ? ZydisMnemonicGetString(c->z.mnemonic) : "-");
	for (unsigned i = 0; i < O_FIELDS; i++) {
		if (bad & BIT(i))
			printf(" [%s]", oracle_field_name[i]);
	}
	printf("\n");
}

static ZydisDecoder decoder_for(unsigned mode)
{
	ZydisDecoder d;

	if (mode == 8)
		ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	else if (mode == 4)
		ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	else
		ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
	ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
	return d;
}

unsigned oracle_check(struct oracle_stats *st, unsigned mode, const u8 *code, unsigned n)
{
	struct oracle_case c = {.mode = mode, .code = code, .n = n};
	ZydisDecoder d = decoder_for(mode);
	u32 bad, excused;

	c.ours = insn_decode(&c.in, code, n, mode);
	c.theirs = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, code, n, &c.z, c.op));
	st->decoded++;
	st->accepted += c.ours == INSN_OK;
	bad = compare(&c);
	excused = bad ? bad & oracle_excused(&c) : 0;
	bad &= ~excused;
	for (unsigned i = 0; i < O_FIELDS; i++) {
		st->mismatch[i] += bad >> i & 1;
		st->excused[i] += excused >> i & 1;
	}
	if (bad && st->shown < 40) {
		st->shown++;
		show(&c, bad);
	}
	return c.ours == INSN_OK ? c.in.len : 0;
}
