/* SPDX-License-Identifier: MIT */
/*
 * Hand-written encodings at the edges of the rules, with what the manuals say of them, and properties that
 * every row of the tables must have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "x86/insn_table.h"

#define CODE(...) {__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__})
#define INVALID   .result = INSN_INVALID
#define NO_MEM    .base = REG_NONE, .index = REG_NONE

static const struct {
	u8 mode;
	u8 code[INSN_MAX + 1];
	u8 n;
	const char *name;
	enum insn_result result;
	u8 op, op_size, mem_size, base, index, seg;
	s64 disp;
	u64 imm;
	/* clang-format off */
} cases[] = {
	/* REX counts only as the last prefix (SDM 2:2.2.1) */
	{8, CODE(0x48, 0x89, 0xd8), "mov", 0, OP_NATIVE, 8, NO_MEM, SEG_DS},
	{8, CODE(0x48, 0x66, 0x89, 0xd8), "mov", 0, OP_NATIVE, 2, NO_MEM, SEG_DS},
	{8, CODE(0x66, 0x48, 0x89, 0xd8), "mov", 0, OP_NATIVE, 8, NO_MEM, SEG_DS},
	/* F2/F3 before 66 as a mandatory prefix; 66 still is operand size for these */
	{8, CODE(0x66, 0xf2, 0x0f, 0x58, 0x00), "addsd", 0, OP_NATIVE, 4, 8, RAX, REG_NONE, SEG_DS},
	{8, CODE(0x66, 0xf3, 0x0f, 0xb8, 0xc1), "popcnt", 0, OP_NATIVE, 2, NO_MEM, SEG_DS},
	{8, CODE(0x66, 0xf2, 0x0f, 0x38, 0xf1, 0x01), "crc32", 0, OP_NATIVE, 2, 2, RCX, REG_NONE, SEG_DS},
	{8, CODE(0xf2, 0xf3, 0x0f, 0x10, 0x00), "movss", 0, OP_NATIVE, 4, 4, RAX, REG_NONE, SEG_DS},
	{8, CODE(0x0f, 0x0b), "ud2", INVALID},
	/* segments: base rsp or rbp means ss, r12 and r13 do not; cs ds es ss are ignored in 64-bit mode */
	{8, CODE(0x8b, 0x45, 0xf8), "mov", 0, OP_NATIVE, 4, 4, RBP, REG_NONE, SEG_SS, -8},
	{8, CODE(0x41, 0x8b, 0x45, 0xf8), "mov", 0, OP_NATIVE, 4, 4, R13, REG_NONE, SEG_DS, -8},
	{8, CODE(0x2e, 0x8b, 0x45, 0xf8), "mov", 0, OP_NATIVE, 4, 4, RBP, REG_NONE, SEG_SS, -8},
	{8, CODE(0x64, 0x3e, 0x8b, 0x00), "mov", 0, OP_NATIVE, 4, 4, RAX, REG_NONE, SEG_FS},
	{4, CODE(0x2e, 0x8b, 0x45, 0xf8), "mov", 0, OP_NATIVE, 4, 4, RBP, REG_NONE, SEG_CS, -8},
	{4, CODE(0x64, 0x3e, 0x8b, 0x00), "mov", 0, OP_NATIVE, 4, 4, RAX, REG_NONE, SEG_DS},
	{2, CODE(0x8b, 0x42, 0x10), "mov", 0, OP_NATIVE, 2, 2, RBP, RSI, SEG_SS, 0x10},
	/* ModRM and SIB specials */
	{8, CODE(0x8b, 0x05, 1, 0, 0, 0), "mov", 0, OP_NATIVE, 4, 4, BASE_RIP, REG_NONE, SEG_DS, 1},
	{4, CODE(0x8b, 0x05, 1, 0, 0, 0), "mov", 0, OP_NATIVE, 4, 4, NO_MEM, SEG_DS, 1},
	{8, CODE(0x8b, 0x04, 0x25, 1, 0, 0, 0x80), "mov", 0, OP_NATIVE, 4, 4, NO_MEM, SEG_DS, -0x7fffffffll},
	{8, CODE(0x8b, 0x04, 0x24), "mov", 0, OP_NATIVE, 4, 4, RSP, REG_NONE, SEG_SS},
	{8, CODE(0x42, 0x8b, 0x04, 0x20), "mov", 0, OP_NATIVE, 4, 4, RAX, R12, SEG_DS},
	{2, CODE(0x8b, 0x06, 0x34, 0x12), "mov", 0, OP_NATIVE, 2, 2, NO_MEM, SEG_DS, 0x1234},
	/* operand size defaults */
	{8, CODE(0x50), "push", 0, OP_PUSH_REG, 8, NO_MEM, SEG_DS},
	{8, CODE(0x66, 0x50), "push", 0, OP_PUSH_REG, 2, NO_MEM, SEG_DS},
	{8, CODE(0x66, 0xe9, 1, 0, 0, 0), "jmp", 0, OP_JMP_REL, 8, NO_MEM, SEG_DS, .imm = 1},
	{4, CODE(0x66, 0xe9, 0xfe, 0xff), "jmp", 0, OP_JMP_REL, 2, NO_MEM, SEG_DS, .imm = -2ull},
	{8, CODE(0x0f, 0x22, 0xc0), "mov", 0, OP_MOV_TO_CR, 8, NO_MEM, SEG_DS},
	{8, CODE(0x0f, 0x22, 0x00), "mov", 0, OP_MOV_TO_CR, 8, NO_MEM, SEG_DS}, /* mod is ignored */
	{2, CODE(0x0f, 0x22, 0xc0), "mov", 0, OP_MOV_TO_CR, 4, NO_MEM, SEG_DS},
	{8, CODE(0x0f, 0x22, 0xc8), "mov", INVALID}, /* cr1 */
	{8, CODE(0xf0, 0x0f, 0x22, 0xc0), "mov", INVALID}, /* AMD's cr8 */
	{8, CODE(0x44, 0x0f, 0x23, 0xc0), "mov", INVALID}, /* dr8 */
	{8, CODE(0x48, 0xed), "in", 0, OP_IN_DX, 4, NO_MEM, SEG_DS},
	/* immediates */
	{8, CODE(0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8), "mov", 0, OP_NATIVE, 8, NO_MEM, SEG_DS, .imm = 0x0807060504030201},
	{8, CODE(0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff), "mov", 0, OP_NATIVE, 8, NO_MEM, SEG_DS, .imm = ~0ull},
	{8, CODE(0x83, 0xc0, 0xff), "add", 0, OP_NATIVE, 4, NO_MEM, SEG_DS, .imm = 0xffffffff},
	{8, CODE(0xa1, 1, 2, 3, 4, 5, 6, 7, 0x80), "mov", 0, OP_MOV_MOFFS, 4, 4, NO_MEM, SEG_DS,
		0x8007060504030201, 0x8007060504030201},
	{8, CODE(0x67, 0xa1, 1, 2, 3, 0x80), "mov", 0, OP_MOV_MOFFS, 4, 4, NO_MEM, SEG_DS, 0x80030201, 0x80030201},
	{2, CODE(0x9a, 0x78, 0x56, 0x34, 0x12), "call far", 0, OP_CALL_FAR_IMM, 2, NO_MEM, SEG_DS, .imm = 0x5678},
	/* lock: only with a memory destination of an instruction that has it */
	{8, CODE(0xf0, 0x01, 0x00), "add", 0, OP_NATIVE, 4, 4, RAX, REG_NONE, SEG_DS},
	{8, CODE(0xf0, 0x01, 0xc0), "add", INVALID},
	{8, CODE(0xf0, 0x03, 0x00), "add", INVALID},
	{8, CODE(0xf0, 0x39, 0x00), "cmp", INVALID},
	{8, CODE(0xf0, 0x0f, 0xba, 0x20, 1), "bt", INVALID},
	/* bit strings in memory are not the host's business, bits of registers are */
	{8, CODE(0x0f, 0xab, 0x08), "bts", 0, OP_BT_MEM, 4, 4, RAX, REG_NONE, SEG_DS},
	{8, CODE(0x0f, 0xab, 0xc8), "bts", 0, OP_NATIVE, 4, NO_MEM, SEG_DS},
	{8, CODE(0x0f, 0xba, 0x28, 40), "bts", 0, OP_NATIVE, 4, 4, RAX, REG_NONE, SEG_DS, .imm = 40},
	/* nop and xchg; F3 with REX.B is xchg on real processors */
	{8, CODE(0x90), "nop", 0, OP_NOP, 4, NO_MEM, SEG_DS},
	{8, CODE(0x41, 0x90), "xchg", 0, OP_NATIVE, 4, NO_MEM, SEG_DS},
	{8, CODE(0xf3, 0x90), "pause", 0, OP_NATIVE, 4, NO_MEM, SEG_DS},
	{8, CODE(0xf3, 0x0f, 0x1e, 0xfa), "nop", 0, OP_NOP, 4, NO_MEM, SEG_DS}, /* endbr64 */
	{8, CODE(0xf3, 0x48, 0x0f, 0x1e, 0xc8), "nop", 0, OP_NOP, 8, NO_MEM, SEG_DS}, /* rdsspq */
	/* C4, C5, 62: VEX and EVEX in 64-bit mode, elsewhere only with mod 3 */
	{8, CODE(0xc5, 0xf8, 0x77), "vzeroupper", 0, OP_NATIVE, 4, NO_MEM, SEG_DS},
	{4, CODE(0xc5, 0xf8, 0x77), "vzeroupper", 0, OP_VZERO, 4, NO_MEM, SEG_DS},
	{4, CODE(0xc5, 0x38), "lds", 0, OP_LOAD_FAR, 4, 6, RAX, REG_NONE, SEG_DS},
	{8, CODE(0x62, 0xf1, 0x7c, 0x48, 0x28, 0xc0), "vmovaps", 0, OP_NATIVE, 4, NO_MEM, SEG_DS},
	{4, CODE(0x62, 0xf1, 0x7c, 0x48, 0x28, 0xc0), "vmovaps", 0, OP_NATIVE, 4, NO_MEM, SEG_DS},
	{8, CODE(0x66, 0x62, 0xf1, 0x7c, 0x48, 0x28, 0xc0), NULL, INVALID},
	{8, CODE(0x62, 0xf1, 0x78, 0x48, 0x28, 0xc0), NULL, INVALID}, /* bit 2 of the third byte is one */
	{8, CODE(0x62, 0xf4, 0x7c, 0x48, 0x28, 0xc0), NULL, INVALID}, /* map 4 */
	{8, CODE(0x62, 0xf1, 0x7c, 0x68, 0x28, 0xc0), "vmovaps", INVALID}, /* length 3 */
	{8, CODE(0x62, 0xf1, 0x7c, 0x78, 0x58, 0xc0), "vaddps", 0, OP_NATIVE, 4, NO_MEM, SEG_DS}, /* rounding */
	{8, CODE(0x62, 0xf1, 0x7c, 0x58, 0x28, 0xc0), "vmovaps", INVALID}, /* b says nothing here */
	{8, CODE(0x62, 0xf1, 0x7c, 0xc8, 0x28, 0xc0), "vmovaps", INVALID}, /* z without opmask */
	{8, CODE(0x62, 0xf1, 0x7c, 0xc9, 0x29, 0x00), "vmovaps", INVALID}, /* nor is memory zeroed */
	{8, CODE(0x62, 0xe1, 0x75, 0x48, 0x74, 0xc1), "vpcmpeqb", INVALID}, /* there are eight opmasks */
	/* a displacement of one byte counts operands, or elements of one that is broadcast or compressed */
	{8, CODE(0x62, 0xf1, 0x7c, 0x48, 0x28, 0x40, 0xff), "vmovaps", 0, OP_NATIVE, 4, 64, RAX, REG_NONE, SEG_DS, -64},
	{8, CODE(0x62, 0xf1, 0x7c, 0x28, 0x28, 0x40, 1), "vmovaps", 0, OP_NATIVE, 4, 32, RAX, REG_NONE, SEG_DS, 32},
	{8, CODE(0x62, 0xf1, 0x7c, 0x58, 0x58, 0x40, 1), "vaddps", 0, OP_NATIVE, 4, 4, RAX, REG_NONE, SEG_DS, 4},
	{8, CODE(0x62, 0xf2, 0xfd, 0x48, 0x8a, 0x40, 1), "vcompresspd", 0, OP_COMPRESS, 8, 64, RAX, REG_NONE, SEG_DS, 8},
	{8, CODE(0x62, 0xf1, 0x7c, 0x48, 0x28, 0x80, 1, 0, 0, 0), "vmovaps", 0, OP_NATIVE, 4, 64, RAX, REG_NONE, SEG_DS, 1},
	/* vpgatherdd zmm0 {k1}, [rax + zmm20]; without opmask; into its own index */
	{8, CODE(0x62, 0xf2, 0x7d, 0x41, 0x90, 0x04, 0x20), "vpgatherdd", 0, OP_GATHER, 4, 4, RAX, 20, SEG_DS},
	{8, CODE(0x62, 0xf2, 0x7d, 0x40, 0x90, 0x04, 0x20), "vpgatherdd", INVALID},
	{8, CODE(0x62, 0xf2, 0x7d, 0x49, 0x90, 0x04, 0x00), "vpgatherdd", INVALID},
	{8, CODE(0x62, 0xf2, 0x7d, 0x49, 0xa0, 0x04, 0x00), "vpscatterdd", 0, OP_SCATTER, 4, 4, RAX, 0, SEG_DS},
	{8, CODE(0xc5, 0xf8, 0x92, 0xc0), "kmovw", 0, OP_NATIVE, 4, NO_MEM, SEG_DS},
	{8, CODE(0xc5, 0x78, 0x92, 0xc0), "kmovw", INVALID},
	{4, CODE(0x62, 0x08), "bound", 0, OP_BOUND, 4, 8, RAX, REG_NONE, SEG_DS},
	{8, CODE(0x66, 0xc5, 0xf8, 0x77), NULL, INVALID},
	{8, CODE(0xc5, 0xf0, 0x77), "vzeroupper", INVALID}, /* vvvv must be 1111 */
	{8, CODE(0xc4, 0xe2, 0x7c, 0xf2, 0xc0), "andn", INVALID}, /* L must be 0 */
	{8, CODE(0xc4, 0xe2, 0xfd, 0x18, 0x00), "vbroadcastss", INVALID}, /* W must be 0 */
	/* vpgatherdd xmm0, [rax + xmm4], xmm1: index 4 is a register; all three must differ */
	{8, CODE(0xc4, 0xe2, 0x71, 0x90, 0x04, 0x20), "vpgatherdd", 0, OP_GATHER, 4, 4, RAX, 4, SEG_DS},
	{8, CODE(0xc4, 0xe2, 0x79, 0x90, 0x04, 0x20), "vpgatherdd", INVALID},
	{8, CODE(0xc4, 0xe2, 0x71, 0x90, 0xc0), "vpgatherdd", INVALID},
	/* sizes of memory operands */
	{8, CODE(0x48, 0x0f, 0xc7, 0x08), "cmpxchg16b", 0, OP_NATIVE, 8, 16, RAX, REG_NONE, SEG_DS},
	{8, CODE(0x0f, 0xc7, 0x08), "cmpxchg8b", 0, OP_NATIVE, 4, 8, RAX, REG_NONE, SEG_DS},
	{8, CODE(0x0f, 0x01, 0x10), "lgdt", 0, OP_LGDT, 4, 10, RAX, REG_NONE, SEG_DS},
	{4, CODE(0x0f, 0x01, 0x10), "lgdt", 0, OP_LGDT, 4, 6, RAX, REG_NONE, SEG_DS},
	{8, CODE(0xc5, 0xfd, 0x6f, 0x00), "vmovdqa", 0, OP_NATIVE, 4, 32, RAX, REG_NONE, SEG_DS},
	{8, CODE(0xc5, 0xf5, 0xd1, 0x00), "vpsrlw", 0, OP_NATIVE, 4, 16, RAX, REG_NONE, SEG_DS},
	{8, CODE(0x66, 0x0f, 0x3a, 0x14, 0x00, 1), "pextrb", 0, OP_NATIVE, 4, 1, RAX, REG_NONE, SEG_DS, .imm = 1},
	{8, CODE(0xdb, 0x28), "fld", 0, OP_NATIVE, 4, 10, RAX, REG_NONE, SEG_DS},
	/* what exists in some modes only */
	{8, CODE(0x06), "push es", INVALID},
	{4, CODE(0x06), "push es", 0, OP_PUSH_SEG, 4, NO_MEM, SEG_DS},
	{4, CODE(0x0f, 0x01, 0xf8), "swapgs", INVALID},
	{8, CODE(0x82, 0xc0, 1), "add", INVALID},
	{8, CODE(0x8e, 0xc8), "mov", INVALID}, /* mov cs */
	/* clang-format on */
};

static void test_cases(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct insn in;
		bool same = insn_decode(&in, cases[i].code, cases[i].n, cases[i].mode) ==
			    cases[i].result;

		same &= !cases[i].name || !strcmp(insn_name(&in), cases[i].name);
		if (same && cases[i].result == INSN_OK)
			same = in.len == cases[i].n && in.desc->op == cases[i].op &&
			       in.op_size == cases[i].op_size && in.mem_size == cases[i].mem_size &&
			       in.base == cases[i].base && in.index == cases[i].index &&
			       in.seg == cases[i].seg && in.disp == cases[i].disp &&
			       in.imm == cases[i].imm;
		if (!same)
			fail_msg("case %u (%s): got %s, op %u, op_size %u, mem_size %u, base %u, "
				 "index %u, seg %u, disp %#llx, imm %#llx",
				i, cases[i].name, insn_name(&in), in.desc ? in.desc->op : 0,
				in.op_size, in.mem_size, in.base, in.index, in.seg,
				(long long)in.disp, (long long)in.imm);
	}
}

/* Each prefix of a complete instruction is too short; fifteen bytes that want more are too long. */
static void test_short_and_long(void **state)
{
	static const u8 mov[] = {0x64, 0x48, 0xc7, 0x84, 0x91, 1, 2, 3, 4, 5, 6, 7, 8};
	u8 code[INSN_MAX];
	struct insn in;

	for (unsigned n = 1; n < sizeof(mov); n++)
		assert_int_equal(insn_decode(&in, mov, n, 8), INSN_SHORT);
	assert_int_equal(insn_decode(&in, mov, sizeof(mov), 8), INSN_OK);
	memset(code, 0x66, sizeof(code));
	assert_int_equal(insn_decode(&in, code, 14, 8), INSN_SHORT);
	assert_int_equal(insn_decode(&in, code, 15, 8), INSN_TOO_LONG);
	code[14] = 0x90;
	assert_int_equal(insn_decode(&in, code, 15, 8), INSN_OK);
	assert_int_equal(in.len, 15);
	code[13] = 0x0f, code[14] = 0x1f;
	assert_int_equal(insn_decode(&in, code, 15, 8), INSN_TOO_LONG);
	memset(code, 0x2e, sizeof(code));
	code[12] = 0xc5, code[13] = 0xf8;
	assert_int_equal(insn_decode(&in, code, 14, 8), INSN_SHORT);
}

static u16 always(const char *what, const u8 *code, unsigned n)
{
	struct insn in;

	assert_int_equal(insn_decode(&in, code, n, 8), INSN_OK);
	assert_string_equal(insn_name(&in), what);
	return in.desc->flags_always;
}

/* Zydis has no notion of flags that are written for sure. */
static void test_flags_always(void **state)
{
	const u16 all = FL_STATUS;

	assert_int_equal(always("shl", (const u8[]){0xd3, 0xe0}, 2), 0);
	assert_int_equal(always("shl", (const u8[]){0xc1, 0xe0, 0x20}, 3), 0); /* masked to 0 */
	assert_int_equal(always("shl", (const u8[]){0xc1, 0xe0, 0x21}, 3), all);
	assert_int_equal(always("shl", (const u8[]){0x48, 0xc1, 0xe0, 0x20}, 4), all);
	assert_int_equal(always("rol", (const u8[]){0xc0, 0xc0, 1}, 3), FL_CF | FL_OF);
	assert_int_equal(always("rol", (const u8[]){0xd0, 0xc0}, 2), FL_CF | FL_OF);
	assert_int_equal(always("shld", (const u8[]){0x0f, 0xa4, 0xc0, 0}, 4), 0);
	assert_int_equal(always("shld", (const u8[]){0x0f, 0xa4, 0xc0, 1}, 4), all);
	assert_int_equal(always("inc", (const u8[]){0xff, 0xc0}, 2), all & ~FL_CF);
	assert_int_equal(always("bt", (const u8[]){0x0f, 0xa3, 0xc0}, 3), all & ~FL_ZF);
	assert_int_equal(always("not", (const u8[]){0xf7, 0xd0}, 2), 0);
	assert_int_equal(always("cmpsb", (const u8[]){0xf3, 0xa6}, 2), 0);
	assert_int_equal(always("cmpxchg16b", (const u8[]){0x48, 0x0f, 0xc7, 0x08}, 4), FL_ZF);
}

/* ---- every row ---- */

static unsigned rows_seen;

/* What the row of its kind says (insn_ops.def) must be true of every form. */
static void check_op(const struct insn_desc *d)
{
	const struct insn_op_info *op = &insn_op_info[d->op];
	bool relative = d->imm == IMM_REL8 || d->imm == IMM_RELZ;
	/* Privileged, and no hypervisor is asked. */
	bool unasked = d->op == OP_SWAPGS || d->op == OP_SYSRET || d->op == OP_SYSEXIT;

	assert_true(!relative || (op->class & OC_NEAR));
	assert_true(!(op->class & OC_NEAR) || (op->class & OC_ENDS));
	assert_int_equal(op->class & OC_NEAR && !relative, !!(op->class & OC_INDIRECT));
	assert_int_equal(d->msize == MS_OPFAR, !!(op->class & OC_FAR_POINTER));
	assert_true(!(op->class & (OC_PUSHES | OC_POPS)) || d->attr & IA_RSP);
	assert_false(op->class & OC_ANYWHERE && op->class & (OC_ENDS | OC_ENDS64));
	if (d->attr & IA_CPL0)
		assert_int_equal(op->intercept == INTERCEPT_NONE, unasked);
}

static void check_evex(const struct insn_desc *d)
{
	assert_true(!(d->evex & (EV_ZERO | EV_NEEDS)) || d->evex & EV_MASK);
	assert_true(!(d->evex & EV_BROADCAST) || d->element == 4 || d->element == 8);
	assert_false(d->evex & EV_BROADCAST && d->evex & EV_SCALAR);
	assert_true(!d->evex || d->attr & IA_AVX512);
	assert_true(!(d->attr & IA_AVX512) || d->attr & IA_AVX);
	/* Else nobody would know which of it an opmask lets through. */
	assert_true(!(d->evex & EV_MASK) || d->mem == MEM_NONE || d->element);
}

static void check_row(const struct insn_desc *d)
{
	bool memory = d->mem != MEM_NONE;

	rows_seen++;
	assert_true(d->op < OP_COUNT);
	check_op(d);
	assert_int_equal(!!(d->attr & IA_IMPL), !!d->impl_regs);
	assert_int_equal(d->impl_regs & BIT(RSP), 0);
	assert_int_equal(d->flags_always & ~d->flags_written, 0);
	assert_int_equal(d->flags_undefined & ~d->flags_written, 0);
	assert_int_equal(memory && d->mem != MEM_ADDR, d->msize != MS_NONE);
	assert_true(!memory || d->attr & IA_MODRM || d->op == OP_MOV_MOFFS);
	assert_true(!(d->attr & IA_LOCK) || d->mem == MEM_RW);
	assert_false(d->attr & IA_RM_MEM && d->attr & IA_RM_REG);
	assert_true(!(d->attr & (IA_RM_MEM | IA_RM_REG)) || d->attr & IA_MODRM);
	assert_true(!(d->attr & IA_ALIGN) || memory);
	check_evex(d);
	if (d->check & CK_COUNT) {
		assert_int_equal(d[1].op, d->op);
		assert_int_equal(d[1].attr, d->attr);
		assert_int_equal(d[1].flags_written, d->flags_written);
		assert_int_equal(d[1].flags_always, d->flags_written);
	}
}

static void check_node(const struct insn_desc *d);

static void check_rows(const struct insn_desc *rows, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		check_node(&rows[i]);
}

static void check_node(const struct insn_desc *d)
{
	if (d->op == OP_NODE)
		check_rows(d->sub, (d->node_mask | 1) + 1);
	else if (d->op != OP_UD)
		check_row(d);
}

static void test_rows(void **state)
{
	const struct insn_desc *tables[] = {insn_legacy, insn_legacy_0f, insn_legacy_0f38,
		insn_legacy_0f3a, insn_vex_0f, insn_vex_0f38, insn_vex_0f3a, insn_evex_0f,
		insn_evex_0f38, insn_evex_0f3a};

	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++)
		check_rows(tables[i], 256);
	assert_true(rows_seen > 2000);
	print_message("%u rows\n", rows_seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_short_and_long),
		cmocka_unit_test(test_flags_always),
		cmocka_unit_test(test_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
