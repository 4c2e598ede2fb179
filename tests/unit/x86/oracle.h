/* SPDX-License-Identifier: MIT */
/*
 * Compares insn_decode() with Zydis 4 on one instruction, field by field. Differences that are meant are
 * listed with their reasons in oracle_rules.c and counted apart.
 */
#ifndef TESTS_X86_ORACLE_H
#define TESTS_X86_ORACLE_H

#include <Zydis/Zydis.h>

#include "x86/insn.h"

enum oracle_field {
	O_VALID,
	O_LENGTH,
	O_MEM_PRESENT,
	O_MEM_SIZE,
	O_MEM_ACTION,
	O_MEM_BASE,
	O_MEM_INDEX,
	O_MEM_DISP,
	O_MEM_SEG,
	O_IMM,
	O_REG,
	O_RM,
	O_VVVV,
	O_FLAGS_READ,
	O_FLAGS_WRITTEN,
	O_FLAGS_ALWAYS,
	O_FLAGS_UNDEFINED,
	O_IMPLICIT,
	O_OP_SIZE,
	O_ADDR_SIZE,
	O_PRIVILEGE,
	O_ALIGN,
	O_FAULTS,
	O_MASK,
	O_BROADCAST,
	O_LENGTH_OF_VECTOR,
	O_WHOLE,
	O_FIELDS
};

extern const char *const oracle_field_name[O_FIELDS];

/* One decoded instruction under both decoders. */
struct oracle_case {
	unsigned mode; /* 2, 4, 8 */
	const u8 *code;
	unsigned n;
	enum insn_result ours;
	struct insn in;
	bool theirs; /* accepted */
	ZydisDecodedInstruction z;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

struct oracle_stats {
	u64 decoded, accepted;
	u64 mismatch[O_FIELDS], excused[O_FIELDS];
	unsigned shown;
};

/*
 * Decode code[0..n) both ways and compare; prints the first mismatches. Returns our length, or 0 if we
 * did not accept it.
 */
unsigned oracle_check(struct oracle_stats *st, unsigned mode, const u8 *code, unsigned n);

/* Fields in which this case may differ, as a bitmap of enum oracle_field (oracle_rules.c). */
u32 oracle_excused(const struct oracle_case *c);

/* The pieces of the comparison (oracle.c, oracle_operands.c): bitmaps of fields that differ. */
u32 oracle_compare_operands(const struct oracle_case *c);
u32 oracle_compare_flags(const struct oracle_case *c);

#endif
