/* SPDX-License-Identifier: MIT */
/*
 * A case that is being made: generate.c makes it, one instruction after the other, with operands from operand.c and
 * what the instructions need to get somewhere from needs.c.
 */
#ifndef TESTS_INSN_GENERATE_H
#define TESTS_INSN_GENERATE_H

#include "insn/forms.h"

struct target {
	u8 insn; /* whose last bytes are a displacement; or the patch below */
	u8 len;  /* of the displacement; 0: patch */
	u8 patch;
	u8 to;    /* instruction */
	bool far; /* the last bytes are a far pointer */
};

struct making {
	struct random r;
	struct insn_case *c;
	const struct forms *forms;
	bool pointer[GPR_COUNT]; /* to data, as far as known */
	bool known[GPR_COUNT];   /* still as at the start */
	bool stack_used;
	bool low;    /* with segments */
	bool addr16; /* of the instruction being made */
	struct target target[SEQ_MAX * 2];
	unsigned targets;
};

static inline bool general(u8 kind)
{
	return kind == RK_GPR || kind == RK_GPR8;
}

/* ---- operand.c ---- */

struct operand {
	u8 bytes[6]; /* ModRM, SIB, displacement */
	u8 len;
	u8 rxb;        /* R, X and B, and R' */
	bool v2;       /* of a vector that is an index: V' */
	bool relative; /* to rip: the displacement is the target, to be adjusted */
};

/* For this form's reg and rm, or memory. */
struct operand operand(struct making *m, const struct form *f);
unsigned pick_register(struct making *m, const struct form *f, u8 kind);
/* A linear address, mostly of data; and the same relative to a segment. */
u64 pick_address(struct making *m);
u64 pick_offset(struct making *m, unsigned seg);

/* ---- needs.c ---- */

/* Before an instruction is added to the case: its targets, selectors, flags. False: it would lead nowhere. */
bool prepare(struct making *m, u8 *code, const struct insn *in);

#endif
