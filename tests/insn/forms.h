/* SPDX-License-Identifier: MIT */
/*
 * Forms: an opcode with the prefixes and ModRM bits that select one row of the decoder's tables. All of them are
 * found by decoding, so a new row is generated without being named here.
 */
#ifndef TESTS_INSN_FORMS_H
#define TESTS_INSN_FORMS_H

#include "insn/diff.h"

struct form {
	const struct insn_desc *desc;
	u8 enc; /* enum insn_enc */
	u8 map, opcode;
	u8 prefix; /* 0, 0x66, 0xf3, 0xf2; VEX: pp */
	bool w;    /* REX.W, VEX.W or EVEX.W */
	u8 l;      /* VEX.L, EVEX.L'L */
	u8 modrm;  /* one that leads to the row, mod 0 or 3 */
};

enum form_class {
	FC_INTEGER,
	FC_CONTROL, /* branches, stack, strings: what the engine does itself */
	FC_SYSTEM,  /* privileged, and whatever faults at level 3 */
	FC_X87,
	FC_SSE, /* and MMX */
	FC_AVX,
	FC_AVX512,
	FORM_CLASSES,
};

struct form_list {
	struct form *form;
	unsigned count, room;
};

struct forms {
	struct form_list list[3][FORM_CLASSES]; /* by form_mode() */
};

static inline unsigned form_mode(unsigned mode)
{
	return mode == 8 ? 0 : mode == 4 ? 1 : 2;
}

/* What else is to be known before an instruction may be part of a case. */
#define OK_NEVER  0      /* not reproducible, or leaves the case's world */
#define OK_ENGINE BIT(0) /* step and translate may be compared */
#define OK_HOST   BIT(1) /* the host does the same at level 3 */
#define OK_KERNEL BIT(2) /* level 0 does what level 3 does */
#define OK_LOW    BIT(3) /* only where there are segments (low.c), in protected mode too */
#define OK_REAL   BIT(4) /* and in real mode */
#define OK_OWN    BIT(5) /* level 0 does what the host would not do: step and translate alone */
u8 form_allowed(const struct insn_desc *d);

/* What of the prefix the operands decide. */
struct form_prefix {
	u8 rxb;         /* bits R X B of REX, VEX or EVEX, and R' */
	bool force_rex; /* although it says nothing */
	u8 vvvv;        /* with V' */
	u8 p2;          /* EVEX: z, b, aaa, and with rounding L'L */
};
#define P2_Z 0x80
#define P2_B 0x10
unsigned form_encode(const struct form *f, unsigned mode, struct form_prefix p, u8 *out);

#endif
