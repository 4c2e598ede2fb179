/* SPDX-License-Identifier: MIT */
/* See forms.h. */
#include <stdlib.h>
#include <string.h>

#include "insn/forms.h"

#define EVERYWHERE (OK_ENGINE | OK_HOST | OK_KERNEL)
#define LEVEL3     (OK_ENGINE | OK_HOST)
#define OWN        (OK_ENGINE | OK_KERNEL | OK_OWN)
#define LOW        (OK_LOW | OK_REAL)

/* By op; those not here are not generated. */
static const u8 allowed[OP_COUNT] = {
	[OP_NATIVE] = EVERYWHERE,
	[OP_NOP] = EVERYWHERE,
	[OP_PUSH_REG] = EVERYWHERE,
	[OP_PUSH_IMM] = EVERYWHERE,
	[OP_PUSH_RM] = EVERYWHERE,
	[OP_POP_REG] = EVERYWHERE,
	[OP_POP_RM] = EVERYWHERE,
	[OP_PUSHA] = EVERYWHERE,
	[OP_POPA] = EVERYWHERE,
	[OP_PUSHF] = EVERYWHERE,
	[OP_POPF] = LEVEL3 | OK_REAL,
	[OP_ENTER] = EVERYWHERE,
	[OP_LEAVE] = EVERYWHERE,
	[OP_JCC] = EVERYWHERE,
	[OP_JMP_REL] = EVERYWHERE,
	[OP_JMP_RM] = EVERYWHERE,
	[OP_CALL_REL] = EVERYWHERE,
	[OP_CALL_RM] = EVERYWHERE,
	[OP_RET] = EVERYWHERE,
	[OP_LOOP] = EVERYWHERE,
	[OP_JCXZ] = EVERYWHERE,
	[OP_MOVS] = EVERYWHERE,
	[OP_CMPS] = EVERYWHERE,
	[OP_STOS] = EVERYWHERE,
	[OP_LODS] = EVERYWHERE,
	[OP_SCAS] = EVERYWHERE,
	[OP_INS] = LEVEL3 | OK_REAL,
	[OP_OUTS] = LEVEL3 | OK_REAL,
	[OP_IN_IMM] = LEVEL3 | OK_REAL,
	[OP_IN_DX] = LEVEL3 | OK_REAL,
	[OP_OUT_IMM] = LEVEL3 | OK_REAL,
	[OP_OUT_DX] = LEVEL3 | OK_REAL,
	[OP_CLI] = LEVEL3 | OK_REAL,
	[OP_STI] = LEVEL3 | OK_REAL,
	[OP_CLAC] = LEVEL3,
	[OP_STAC] = LEVEL3,
	[OP_HLT] = LEVEL3 | OK_REAL,
	[OP_RDMSR] = LEVEL3,
	[OP_WRMSR] = LEVEL3,
	[OP_MOV_FROM_CR] = LEVEL3 | OWN,
	[OP_SMSW] = OWN,
	[OP_SGDT] = OWN,
	[OP_SIDT] = OWN,
	[OP_SLDT] = OWN,
	[OP_STR] = OWN,
	[OP_MOV_TO_CR] = LEVEL3,
	[OP_MOV_FROM_DR] = LEVEL3,
	[OP_MOV_TO_DR] = LEVEL3,
	[OP_CLTS] = LEVEL3,
	[OP_LMSW] = LEVEL3,
	[OP_LGDT] = LEVEL3,
	[OP_LIDT] = LEVEL3,
	[OP_LLDT] = LEVEL3,
	[OP_LTR] = LEVEL3,
	[OP_INVLPG] = LEVEL3,
	[OP_INVPCID] = LEVEL3,
	[OP_INVD] = LEVEL3,
	[OP_WBINVD] = LEVEL3,
	[OP_SWAPGS] = LEVEL3,
	[OP_XSETBV] = LEVEL3,
	[OP_RDFSBASE] = EVERYWHERE,
	[OP_RDGSBASE] = EVERYWHERE,
	[OP_WRFSBASE] = EVERYWHERE,
	[OP_WRGSBASE] = EVERYWHERE,
	[OP_MOV_FROM_SEG] = LEVEL3 | OK_REAL,
	[OP_PUSH_SEG] = LEVEL3 | OK_REAL,
	[OP_MOV_MOFFS] = EVERYWHERE,
	[OP_XLAT] = EVERYWHERE,
	[OP_BT_MEM] = EVERYWHERE,
	[OP_BCD] = EVERYWHERE,
	[OP_BOUND] = EVERYWHERE,
	[OP_SALC] = EVERYWHERE,
	[OP_INC_DEC_SHORT] = EVERYWHERE,
	[OP_FNSTENV] = EVERYWHERE,
	[OP_FLDENV] = EVERYWHERE,
	[OP_FNSAVE] = EVERYWHERE,
	[OP_FRSTOR] = EVERYWHERE,
	[OP_FXSAVE] = EVERYWHERE,
	[OP_FXRSTOR] = EVERYWHERE,
	[OP_MASKMOV] = EVERYWHERE,
	[OP_MASKMOVDQU] = EVERYWHERE,
	[OP_VZERO] = EVERYWHERE,
	[OP_GATHER] = EVERYWHERE,
	[OP_SCATTER] = EVERYWHERE,
	[OP_COMPRESS] = EVERYWHERE,
	[OP_EXPAND] = EVERYWHERE,
	[OP_CLFLUSH] = EVERYWHERE,
	[OP_MOV_TO_SEG] = LOW,
	[OP_POP_SEG] = LOW,
	[OP_LOAD_FAR] = LOW,
	[OP_JMP_FAR_IMM] = LOW,
	[OP_JMP_FAR_M] = LOW,
	[OP_CALL_FAR_IMM] = LOW,
	[OP_CALL_FAR_M] = LOW,
	[OP_RET_FAR] = LOW,
	[OP_IRET] = LOW,
	[OP_INT_IMM] = LOW,
	[OP_INTO] = LOW,
	[OP_LSL] = LOW,
};

static bool named(const struct insn_desc *d, const char *name)
{
	return d->name && !strcmp(d->name, name);
}

u8 form_allowed(const struct insn_desc *d)
{
	if (named(d, "rdrand") || named(d, "rdseed"))
		return OK_NEVER;
	/* AMD: #UD with a register operand. */
	if (named(d, "prefetchw"))
		return OK_NEVER;
	return d->op < OP_COUNT ? allowed[d->op] : OK_NEVER;
}

static enum form_class class_of(const struct insn_desc *d)
{
	if (d->attr & (IA_X87 | IA_WAIT))
		return FC_X87;
	if (d->attr & (IA_SSE | IA_MMX))
		return FC_SSE;
	if (d->attr & IA_AVX512)
		return FC_AVX512;
	if (d->attr & IA_AVX)
		return FC_AVX;
	if (d->op == OP_NATIVE || d->op == OP_NOP || d->op == OP_BT_MEM || d->op == OP_BCD)
		return FC_INTEGER;
	return allowed[d->op] & (OK_KERNEL | OK_REAL) ? FC_CONTROL : FC_SYSTEM;
}

/* ---- encoding ---- */

static unsigned encode_evex(const struct form *f, unsigned mode, struct form_prefix p, u8 *out)
{
	u8 r2 = mode == 8 && p.rxb & 8 ? 0 : 0x10, v2 = mode == 8 && p.vvvv & 16 ? 0 : 8;
	u8 rxb = mode == 8 ? ~p.rxb & 7 : 7, last = p.p2 | v2;

	if (!(p.p2 & P2_B) || f->modrm < 0xc0)
		last = (last & ~0x60) | f->l << 5;
	memcpy(out,
		(const u8[]){0x62, rxb << 5 | r2 | f->map,
			(f->w ? 0x80 : 0) | (~p.vvvv & (mode == 8 ? 15 : 7)) << 3 |
				(mode == 8 ? 0 : 0x40) | 4 | f->prefix,
			last, f->opcode},
		5);
	return 5;
}

static unsigned encode_vex(const struct form *f, unsigned mode, u8 rxb, u8 vvvv, u8 *out)
{
	u8 r = rxb & 4 ? 0 : 0x80, last = (~vvvv & 15) << 3 | (f->l ? 4 : 0) | f->prefix;

	if (mode != 8)
		rxb &= 0, r = 0x80, last |= 0x40;
	if (f->map == 1 && !f->w && !(rxb & 3)) {
		out[0] = 0xc5;
		out[1] = r | last;
		out[2] = f->opcode;
		return 3;
	}
	out[0] = 0xc4;
	out[1] = r | (rxb & 2 ? 0 : 0x40) | (rxb & 1 ? 0 : 0x20) | f->map;
	out[2] = (f->w ? 0x80 : 0) | last;
	out[3] = f->opcode;
	return 4;
}

unsigned form_encode(const struct form *f, unsigned mode, struct form_prefix p, u8 *out)
{
	unsigned n = 0;

	if (f->enc == ENC_EVEX)
		return encode_evex(f, mode, p, out);
	if (f->enc == ENC_VEX)
		return encode_vex(f, mode, p.rxb, p.vvvv, out);
	if (f->prefix)
		out[n++] = f->prefix;
	if (mode == 8 && (f->w || p.rxb || p.force_rex))
		out[n++] = 0x40 | (f->w ? 8 : 0) | p.rxb;
	if (f->map)
		out[n++] = 0x0f;
	if (f->map > 1)
		out[n++] = f->map == 2 ? 0x38 : 0x3a;
	out[n++] = f->opcode;
	return n;
}

/* ---- finding them ---- */

static void add(struct form_list *l, const struct form *f)
{
	for (unsigned i = l->count; i-- > 0;) {
		const struct form *o = &l->form[i];

		if (o->opcode != f->opcode || o->map != f->map || o->enc != f->enc)
			break;
		if (o->desc == f->desc && o->prefix == f->prefix && o->w == f->w && o->l == f->l &&
			o->modrm >> 6 == f->modrm >> 6)
			return;
	}
	if (l->count == l->room) {
		l->room = l->room ? l->room * 2 : 256;
		l->form = realloc(l->form, l->room * sizeof(*l->form));
		if (!l->form)
			abort();
	}
	l->form[l->count++] = *f;
}

static bool is_prefix(const struct form *f)
{
	return f->enc == ENC_LEGACY && f->map == 1 && (f->opcode & 0xfd) == 0x38;
}

/* All ModRM bytes that can matter: reg, and rm where there is no memory. */
static void try_opcode(struct forms *fs, unsigned mode, struct form *f)
{
	for (unsigned m = 0; m < 8 + 64; m++) {
		u8 code[INSN_MAX + 8] = {0};
		struct insn in;
		unsigned n;

		f->modrm = m < 8 ? m << 3 | 4 : 0xc0 | (m - 8);
		for (unsigned v = 0; v < 3; v++) { /* vvvv 0 where it is not used; an opmask */
			n = form_encode(
				f, mode, (struct form_prefix){.vvvv = v == 1, .p2 = v == 2}, code);
			code[n] = f->modrm;
			code[n + 1] = 0x11;
			if (insn_decode(&in, code, INSN_MAX, mode) == INSN_OK)
				break;
		}
		if (insn_decode(&in, code, INSN_MAX, mode) != INSN_OK || in.opcode != f->opcode ||
			in.map != f->map || in.enc != f->enc || !form_allowed(in.desc))
			continue;
		f->desc = in.desc;
		add(&fs->list[form_mode(mode)][class_of(in.desc)], f);
	}
}

static void find_legacy(struct forms *fs, unsigned mode)
{
	static const u8 prefixes[] = {0, 0x66, 0xf3, 0xf2};

	for (unsigned i = 0; i < 4 * 256 * 4 * 2; i++) {
		struct form f = {.enc = ENC_LEGACY,
			.map = i >> 11,
			.opcode = i >> 3 & 255,
			.prefix = prefixes[i & 3],
			.w = i & 4};

		if (!is_prefix(&f) && !(f.w && mode != 8))
			try_opcode(fs, mode, &f);
	}
}

static void find_vex(struct forms *fs, unsigned mode)
{
	for (unsigned i = 0; i < 3 * 256 * 4 * 4; i++) {
		struct form f = {.enc = ENC_VEX,
			.map = 1 + i / 4096,
			.opcode = i >> 4 & 255,
			.prefix = i & 3,
			.w = i & 4,
			.l = i >> 3 & 1};

		try_opcode(fs, mode, &f);
	}
}

static void find_evex(struct forms *fs, unsigned mode)
{
	for (unsigned i = 0; i < 3 * 256 * 4 * 2 * 3; i++) {
		struct form f = {.enc = ENC_EVEX,
			.map = 1 + i / 6144,
			.opcode = i / 24 % 256,
			.prefix = i / 6 % 4,
			.w = i / 3 % 2,
			.l = i % 3};

		try_opcode(fs, mode, &f);
	}
}

struct forms *forms_create(void)
{
	struct forms *fs = calloc(1, sizeof(*fs));

	if (!fs)
		abort();
	for (unsigned mode = 2; mode <= 8; mode *= 2) {
		find_legacy(fs, mode);
		find_vex(fs, mode);
		find_evex(fs, mode);
	}
	return fs;
}

void forms_destroy(struct forms *f)
{
	for (unsigned m = 0; m < 3; m++)
		for (unsigned c = 0; c < FORM_CLASSES; c++)
			free(f->list[m][c].form);
	free(f);
}

unsigned forms_count(const struct forms *f)
{
	unsigned n = 0;

	for (unsigned m = 0; m < 3; m++)
		for (unsigned c = 0; c < FORM_CLASSES; c++)
			n += f->list[m][c].count;
	return n;
}
