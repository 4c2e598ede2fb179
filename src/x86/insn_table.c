/* SPDX-License-Identifier: MIT */
/*
 * The one-byte opcode map (SDM volume 2, appendix A, table A-2). D8-DF continue in
 * insn_table_x87.c; prefixes, 0F and VEX never reach this table.
 *
 * Shifts by an immediate come in pairs of rows, because a count of zero leaves all flags alone:
 * the first row is what holds for every count, the second what holds if the count is not zero.
 */
#include "x86/insn_table.h"

/* clang-format off */

/* ---- arithmetic ---- */

#define ALU(o, n, mem, lock, ...) \
	[(o) + 0] = ROW(n, NATIVE, A_MB | (lock), Eb(mem), Gb, __VA_ARGS__), \
	[(o) + 1] = ROW(n, NATIVE, A_M | (lock), Ev(mem), Gv, __VA_ARGS__), \
	[(o) + 2] = ROW(n, NATIVE, A_MB, Eb(READ), Gb, __VA_ARGS__), \
	[(o) + 3] = ROW(n, NATIVE, A_M, Ev(READ), Gv, __VA_ARGS__), \
	[(o) + 4] = ROW(n, NATIVE, IA_BYTE | IA_IMPL, Ib, IMPL(rAX), __VA_ARGS__), \
	[(o) + 5] = ROW(n, NATIVE, IA_IMPL, Iz, IMPL(rAX), __VA_ARGS__)

/* 80-83; E is Eb or Ev */
#define GROUP1(attr, E, imm) REG( \
	ROW("add", NATIVE, (attr) | IA_LOCK, E(RW), imm, F_ARITH), \
	ROW("or", NATIVE, (attr) | IA_LOCK, E(RW), imm, F_LOGIC), \
	ROW("adc", NATIVE, (attr) | IA_LOCK, E(RW), imm, F_ARITH, F_READ(FL_CF)), \
	ROW("sbb", NATIVE, (attr) | IA_LOCK, E(RW), imm, F_ARITH, F_READ(FL_CF)), \
	ROW("and", NATIVE, (attr) | IA_LOCK, E(RW), imm, F_LOGIC), \
	ROW("sub", NATIVE, (attr) | IA_LOCK, E(RW), imm, F_ARITH), \
	ROW("xor", NATIVE, (attr) | IA_LOCK, E(RW), imm, F_LOGIC), \
	ROW("cmp", NATIVE, attr, E(READ), imm, F_ARITH))

/*
 * Shifts and rotates; F is F_ALWAYS or F_MAYBE. SDM says of rotates: OF is undefined unless the
 * count is 1; of shifts: AF is undefined, and OF unless the count is 1.
 */
#define ROL(F, of, ...) ROW("rol", NATIVE, __VA_ARGS__, F(FL_CF | FL_OF, of))
#define ROR(F, of, ...) ROW("ror", NATIVE, __VA_ARGS__, F(FL_CF | FL_OF, of))
#define RCL(F, of, ...) ROW("rcl", NATIVE, __VA_ARGS__, F(FL_CF | FL_OF, of), F_READ(FL_CF))
#define RCR(F, of, ...) ROW("rcr", NATIVE, __VA_ARGS__, F(FL_CF | FL_OF, of), F_READ(FL_CF))
#define SHL(F, of, ...) ROW("shl", NATIVE, __VA_ARGS__, F(FL_STATUS, FL_AF | (of)))
#define SHR(F, of, ...) ROW("shr", NATIVE, __VA_ARGS__, F(FL_STATUS, FL_AF | (of)))
#define SAR(F, of, ...) ROW("sar", NATIVE, __VA_ARGS__, F(FL_STATUS, FL_AF | (of)))

#define GROUP2(F, of, ...) REG( \
	ROL(F, of, __VA_ARGS__), ROR(F, of, __VA_ARGS__), RCL(F, of, __VA_ARGS__), \
	RCR(F, of, __VA_ARGS__), SHL(F, of, __VA_ARGS__), SHR(F, of, __VA_ARGS__), \
	SHL(F, of, __VA_ARGS__), SAR(F, of, __VA_ARGS__))

#define BOTH(X, ...) \
	X(F_MAYBE, FL_OF, __VA_ARGS__, CK(CK_COUNT)), X(F_ALWAYS, FL_OF, __VA_ARGS__)
#define GROUP2_IMM(...) REG_PAIR( \
	BOTH(ROL, __VA_ARGS__), BOTH(ROR, __VA_ARGS__), BOTH(RCL, __VA_ARGS__), \
	BOTH(RCR, __VA_ARGS__), BOTH(SHL, __VA_ARGS__), BOTH(SHR, __VA_ARGS__), \
	BOTH(SHL, __VA_ARGS__), BOTH(SAR, __VA_ARGS__))

#define F_MUL F_ALWAYS(FL_CF | FL_OF, FL_SF | FL_ZF | FL_AF | FL_PF)
#define F_DIV F_ALWAYS(0, FL_STATUS)

/* F6, F7; wide is what a product or dividend occupies besides al or ax */
#define GROUP3(attr, E, immediate, wide) REG( \
	ROW("test", NATIVE, attr, E(READ), immediate, F_LOGIC), \
	ROW("test", NATIVE, attr, E(READ), immediate, F_LOGIC), \
	ROW("not", NATIVE, (attr) | IA_LOCK, E(RW)), \
	ROW("neg", NATIVE, (attr) | IA_LOCK, E(RW), F_ARITH), \
	ROW("mul", NATIVE, (attr) | IA_IMPL, E(READ), IMPL(wide), F_MUL), \
	ROW("imul", NATIVE, (attr) | IA_IMPL, E(READ), IMPL(wide), F_MUL), \
	ROW("div", NATIVE, (attr) | IA_IMPL | IA_FAULTS, E(READ), IMPL(wide), F_DIV), \
	ROW("idiv", NATIVE, (attr) | IA_IMPL | IA_FAULTS, E(READ), IMPL(wide), F_DIV))

#define INC_DEC(attr, E) \
	ROW("inc", NATIVE, (attr) | IA_LOCK, E(RW), F_ALWAYS(F_NOT_CF, 0)), \
	ROW("dec", NATIVE, (attr) | IA_LOCK, E(RW), F_ALWAYS(F_NOT_CF, 0))

#define F_ADJUST F_READ(FL_AF), F_ALWAYS(FL_AF | FL_CF, FL_OF | FL_SF | FL_ZF | FL_PF)
#define F_DECIMAL F_READ(FL_AF | FL_CF), F_ALWAYS(FL_STATUS, FL_OF)
#define F_BASE F_ALWAYS(FL_SF | FL_ZF | FL_PF, FL_OF | FL_AF | FL_CF)

/* ---- the rest ---- */

#define JCC(cc, n) [0x70 + (cc)] = ROW(n, JCC, A_NEAR, .imm = IMM_REL8, F_READ(CC_FLAGS(cc)))

#define STRING(o, n, op, attr, regs, ...) \
	[o] = ROW(n "b", op, IA_IMPL | IA_BYTE | (attr), IMPL(regs), __VA_ARGS__), \
	[(o) + 1] = ROW(n, op, IA_IMPL | (attr), IMPL(regs), __VA_ARGS__)

#define X87(n) [0xd8 + (n)] = NODE_(KEY_REG, 15, insn_x87[n])

#define A_STACK (IA_RSP | IA_DEF64)
#define A_FAR   IA_RSP
/* ds, es and ss decide whether memory is flat, so loads of them change how later code is translated. */
#define PUSH_SEG(o, n) [o] = ROW(n, PUSH_SEG, IA_NO64 | IA_RSP, .reg = RK_SEG)
#define POP_SEG(o, n)  [o] = ROW(n, POP_SEG, IA_NO64 | IA_RSP, .reg = RK_SEG)

const struct insn_desc insn_legacy[256] = {
	ALU(0x00, "add", RW, IA_LOCK, F_ARITH),
	ALU(0x08, "or", RW, IA_LOCK, F_LOGIC),
	ALU(0x10, "adc", RW, IA_LOCK, F_ARITH, F_READ(FL_CF)),
	ALU(0x18, "sbb", RW, IA_LOCK, F_ARITH, F_READ(FL_CF)),
	ALU(0x20, "and", RW, IA_LOCK, F_LOGIC),
	ALU(0x28, "sub", RW, IA_LOCK, F_ARITH),
	ALU(0x30, "xor", RW, IA_LOCK, F_LOGIC),
	ALU(0x38, "cmp", READ, 0, F_ARITH),

	PUSH_SEG(0x06, "push es"), POP_SEG(0x07, "pop es"), PUSH_SEG(0x0e, "push cs"),
	PUSH_SEG(0x16, "push ss"), POP_SEG(0x17, "pop ss"), PUSH_SEG(0x1e, "push ds"),
	POP_SEG(0x1f, "pop ds"),

	[0x27] = ROW("daa", BCD, IA_NO64 | IA_IMPL | IA_BYTE, IMPL(rAX), F_DECIMAL),
	[0x2f] = ROW("das", BCD, IA_NO64 | IA_IMPL | IA_BYTE, IMPL(rAX), F_DECIMAL),
	[0x37] = ROW("aaa", BCD, IA_NO64 | IA_IMPL | IA_BYTE, IMPL(rAX), F_ADJUST),
	[0x3f] = ROW("aas", BCD, IA_NO64 | IA_IMPL | IA_BYTE, IMPL(rAX), F_ADJUST),

	[0x40 ... 0x47] = ROW("inc", INC_DEC_SHORT, IA_NO64, Gv, F_ALWAYS(F_NOT_CF, 0)),
	[0x48 ... 0x4f] = ROW("dec", INC_DEC_SHORT, IA_NO64, Gv, F_ALWAYS(F_NOT_CF, 0)),
	[0x50 ... 0x57] = ROW("push", PUSH_REG, A_STACK, Gv),
	[0x58 ... 0x5f] = ROW("pop", POP_REG, A_STACK, Gv),

	[0x60] = ROW("pusha", PUSHA, IA_NO64 | IA_RSP | IA_IMPL, IMPL(0xef)),
	[0x61] = ROW("popa", POPA, IA_NO64 | IA_RSP | IA_IMPL, IMPL(0xef)),
	[0x62] = ROW("bound", BOUND, A_M | IA_NO64 | IA_RM_MEM, Gv, MEM_(READ, OP2X)),
	/* movsxd: with 66 the source has 2 or 4 bytes, by vendor: see cpu_decode(). */
	[0x63] = BY_64(
		ROW("arpl", ARPL, A_M | IA_NO64 | IA_REALUD, E_(RW, 2), Gv, F_ALWAYS(FL_ZF, 0)),
		ROW("movsxd", NATIVE, A_M, E_(READ, 4), Gv)),
	[0x68] = ROW("push", PUSH_IMM, A_STACK, Iz),
	[0x69] = ROW("imul", NATIVE, A_M, Gv, Ev(READ), Iz, F_MUL),
	[0x6a] = ROW("push", PUSH_IMM, A_STACK, Ibs),
	[0x6b] = ROW("imul", NATIVE, A_M, Gv, Ev(READ), Ibs, F_MUL),
	STRING(0x6c, "ins", INS, IA_MAX32, rDX | rDI | rCX, F_READ(FL_DF)),
	STRING(0x6e, "outs", OUTS, IA_MAX32, rDX | rSI | rCX, F_READ(FL_DF)),

	JCC(0, "jo"), JCC(1, "jno"), JCC(2, "jb"), JCC(3, "jae"), JCC(4, "je"), JCC(5, "jne"),
	JCC(6, "jbe"), JCC(7, "ja"), JCC(8, "js"), JCC(9, "jns"), JCC(10, "jp"), JCC(11, "jnp"),
	JCC(12, "jl"), JCC(13, "jge"), JCC(14, "jle"), JCC(15, "jg"),

	[0x80] = GROUP1(A_MB, Eb, Ib),
	[0x81] = GROUP1(A_M, Ev, Iz),
	[0x82] = GROUP1(A_MB | IA_NO64, Eb, Ib),
	[0x83] = GROUP1(A_M, Ev, Ibs),
	[0x84] = ROW("test", NATIVE, A_MB, Eb(READ), Gb, F_LOGIC),
	[0x85] = ROW("test", NATIVE, A_M, Ev(READ), Gv, F_LOGIC),
	[0x86] = ROW("xchg", NATIVE, A_MB | IA_LOCK, Eb(RW), Gb),
	[0x87] = ROW("xchg", NATIVE, A_M | IA_LOCK, Ev(RW), Gv),
	[0x88] = ROW("mov", NATIVE, A_MB, Eb(WRITE), Gb),
	[0x89] = ROW("mov", NATIVE, A_M, Ev(WRITE), Gv),
	[0x8a] = ROW("mov", NATIVE, A_MB, Eb(READ), Gb),
	[0x8b] = ROW("mov", NATIVE, A_M, Ev(READ), Gv),
	[0x8c] = ROW("mov", MOV_FROM_SEG, A_M, E_(WRITE, 2), .reg = RK_SEG),
	[0x8d] = ROW("lea", NATIVE, A_M | IA_RM_MEM, Gv, .mem = MEM_ADDR),
	[0x8e] = ROW("mov", MOV_TO_SEG, A_M, E_(READ, 2), .reg = RK_SEG, CK(CK_NOCS)),
	[0x8f] = REG(ROW("pop", POP_RM, A_M | A_STACK, Ev(WRITE))),

	[0x90] = PFX(
		BY_B(ROW("nop", NOP, 0), ROW("xchg", NATIVE, IA_IMPL, Gv, IMPL(rAX))),
		BY_B(ROW("nop", NOP, 0), ROW("xchg", NATIVE, IA_IMPL, Gv, IMPL(rAX))),
		BY_B(ROW("pause", NATIVE, 0), ROW("xchg", NATIVE, IA_IMPL, Gv, IMPL(rAX))),
		BY_B(ROW("nop", NOP, 0), ROW("xchg", NATIVE, IA_IMPL, Gv, IMPL(rAX)))),
	[0x91 ... 0x97] = ROW("xchg", NATIVE, IA_IMPL, Gv, IMPL(rAX)),
	[0x98] = ROW("cbw", NATIVE, IA_IMPL, IMPL(rAX)),
	[0x99] = ROW("cwd", NATIVE, IA_IMPL, IMPL(rAX | rDX)),
	[0x9a] = ROW("call far", CALL_FAR_IMM, A_FAR | IA_NO64, .imm = IMM_FAR),
	[0x9b] = ROW("fwait", NATIVE, IA_WAIT | IA_FAULTS),
	[0x9c] = ROW("pushf", PUSHF, A_STACK, F_READ(FL_STATUS | FL_DF)),
	[0x9d] = ROW("popf", POPF, A_STACK, F_ALWAYS(FL_STATUS | FL_DF, 0)),
	[0x9e] = ROW("sahf", NATIVE, IA_IMPL, IMPL(rAX), F_ALWAYS(FL_STATUS & ~FL_OF, 0)),
	[0x9f] = ROW("lahf", NATIVE, IA_IMPL, IMPL(rAX), F_READ(FL_STATUS & ~FL_OF)),

	[0xa0] = ROW("mov", MOV_MOFFS, IA_BYTE | IA_IMPL, MEM_(READ, 1), .imm = IMM_MOFFS, IMPL(rAX)),
	[0xa1] = ROW("mov", MOV_MOFFS, IA_IMPL, MEM_(READ, OP), .imm = IMM_MOFFS, IMPL(rAX)),
	[0xa2] = ROW("mov", MOV_MOFFS, IA_BYTE | IA_IMPL, MEM_(WRITE, 1), .imm = IMM_MOFFS, IMPL(rAX)),
	[0xa3] = ROW("mov", MOV_MOFFS, IA_IMPL, MEM_(WRITE, OP), .imm = IMM_MOFFS, IMPL(rAX)),
	STRING(0xa4, "movs", MOVS, 0, rSI | rDI | rCX, F_READ(FL_DF)),
	/* with rep and a count of zero nothing is compared */
	STRING(0xa6, "cmps", CMPS, 0, rSI | rDI | rCX, F_READ(FL_DF), F_MAYBE(FL_STATUS, 0)),
	[0xa8] = ROW("test", NATIVE, IA_BYTE | IA_IMPL, Ib, IMPL(rAX), F_LOGIC),
	[0xa9] = ROW("test", NATIVE, IA_IMPL, Iz, IMPL(rAX), F_LOGIC),
	STRING(0xaa, "stos", STOS, 0, rAX | rDI | rCX, F_READ(FL_DF)),
	STRING(0xac, "lods", LODS, 0, rAX | rSI | rCX, F_READ(FL_DF)),
	STRING(0xae, "scas", SCAS, 0, rAX | rDI | rCX, F_READ(FL_DF), F_MAYBE(FL_STATUS, 0)),

	[0xb0 ... 0xb7] = ROW("mov", NATIVE, IA_BYTE, Gb, Ib),
	[0xb8 ... 0xbf] = ROW("mov", NATIVE, 0, Gv, .imm = IMM_V),

	[0xc0] = GROUP2_IMM(A_MB, Eb(RW), Ib),
	[0xc1] = GROUP2_IMM(A_M, Ev(RW), Ib),
	[0xc2] = ROW("ret", RET, A_NEAR | IA_RSP, Iw),
	[0xc3] = ROW("ret", RET, A_NEAR | IA_RSP),
	[0xc4] = ROW("les", LOAD_FAR, A_M | IA_NO64 | IA_RM_MEM, Gv, MEM_(READ, OPFAR)),
	[0xc5] = ROW("lds", LOAD_FAR, A_M | IA_NO64 | IA_RM_MEM, Gv, MEM_(READ, OPFAR)),
	[0xc6] = REG(ROW("mov", NATIVE, A_MB, Eb(WRITE), Ib)),
	[0xc7] = REG(ROW("mov", NATIVE, A_M, Ev(WRITE), Iz)),
	[0xc8] = ROW("enter", ENTER, A_STACK | IA_IMPL, .imm = IMM_ENTER, IMPL(rBP)),
	[0xc9] = ROW("leave", LEAVE, A_STACK | IA_IMPL, IMPL(rBP)),
	[0xca] = ROW("retf", RET_FAR, A_FAR, Iw),
	[0xcb] = ROW("retf", RET_FAR, A_FAR),
	[0xcc] = ROW("int3", INT3, A_FAR, F_READ(FL_STATUS | FL_DF)),
	[0xcd] = ROW("int", INT_IMM, A_FAR, Ib, F_READ(FL_STATUS | FL_DF)),
	[0xce] = ROW("into", INTO, A_FAR | IA_NO64, F_READ(FL_STATUS | FL_DF)),
	[0xcf] = ROW("iret", IRET, A_FAR, F_ALWAYS(FL_STATUS | FL_DF, 0)),

	[0xd0] = GROUP2(F_ALWAYS, 0, A_MB, Eb(RW)),
	[0xd1] = GROUP2(F_ALWAYS, 0, A_M, Ev(RW)),
	[0xd2] = GROUP2(F_MAYBE, FL_OF, A_MB | IA_IMPL, Eb(RW), IMPL(rCX)),
	[0xd3] = GROUP2(F_MAYBE, FL_OF, A_M | IA_IMPL, Ev(RW), IMPL(rCX)),
	[0xd4] = ROW("aam", BCD, IA_NO64 | IA_IMPL | IA_BYTE, Ib, IMPL(rAX), F_BASE),
	[0xd5] = ROW("aad", BCD, IA_NO64 | IA_IMPL | IA_BYTE, Ib, IMPL(rAX), F_BASE),
	[0xd6] = ROW("salc", SALC, IA_NO64 | IA_IMPL | IA_BYTE, IMPL(rAX), F_READ(FL_CF)),
	[0xd7] = ROW("xlat", XLAT, IA_BYTE | IA_IMPL, IMPL(rAX | rBX)),

	X87(0), X87(1), X87(2), X87(3), X87(4), X87(5), X87(6), X87(7),

	[0xe0] = ROW("loopne", LOOP, A_NEAR | IA_IMPL, .imm = IMM_REL8, IMPL(rCX), F_READ(FL_ZF)),
	[0xe1] = ROW("loope", LOOP, A_NEAR | IA_IMPL, .imm = IMM_REL8, IMPL(rCX), F_READ(FL_ZF)),
	[0xe2] = ROW("loop", LOOP, A_NEAR | IA_IMPL, .imm = IMM_REL8, IMPL(rCX)),
	[0xe3] = ROW("jcxz", JCXZ, A_NEAR | IA_IMPL, .imm = IMM_REL8, IMPL(rCX)),
	[0xe4] = ROW("in", IN_IMM, IA_BYTE | IA_IMPL, Ib, IMPL(rAX)),
	[0xe5] = ROW("in", IN_IMM, IA_MAX32 | IA_IMPL, Ib, IMPL(rAX)),
	[0xe6] = ROW("out", OUT_IMM, IA_BYTE | IA_IMPL, Ib, IMPL(rAX)),
	[0xe7] = ROW("out", OUT_IMM, IA_MAX32 | IA_IMPL, Ib, IMPL(rAX)),
	[0xe8] = ROW("call", CALL_REL, A_NEAR | IA_RSP, .imm = IMM_RELZ),
	[0xe9] = ROW("jmp", JMP_REL, A_NEAR, .imm = IMM_RELZ),
	[0xea] = ROW("jmp far", JMP_FAR_IMM, IA_NO64, .imm = IMM_FAR),
	[0xeb] = ROW("jmp", JMP_REL, A_NEAR, .imm = IMM_REL8),
	[0xec] = ROW("in", IN_DX, IA_BYTE | IA_IMPL, IMPL(rAX | rDX)),
	[0xed] = ROW("in", IN_DX, IA_MAX32 | IA_IMPL, IMPL(rAX | rDX)),
	[0xee] = ROW("out", OUT_DX, IA_BYTE | IA_IMPL, IMPL(rAX | rDX)),
	[0xef] = ROW("out", OUT_DX, IA_MAX32 | IA_IMPL, IMPL(rAX | rDX)),

	[0xf1] = ROW("int1", INT1, A_FAR, F_READ(FL_STATUS | FL_DF)),
	[0xf4] = ROW("hlt", HLT, A_CPL0),
	[0xf5] = ROW("cmc", NATIVE, 0, F_READ(FL_CF), F_ALWAYS(FL_CF, 0)),
	[0xf6] = GROUP3(A_MB, Eb, Ib, rAX),
	[0xf7] = GROUP3(A_M, Ev, Iz, rAX | rDX),
	[0xf8] = ROW("clc", NATIVE, 0, F_ALWAYS(FL_CF, 0)),
	[0xf9] = ROW("stc", NATIVE, 0, F_ALWAYS(FL_CF, 0)),
	[0xfa] = ROW("cli", CLI, 0),
	[0xfb] = ROW("sti", STI, 0),
	[0xfc] = ROW("cld", NATIVE, 0, F_ALWAYS(FL_DF, 0)),
	[0xfd] = ROW("std", NATIVE, 0, F_ALWAYS(FL_DF, 0)),
	[0xfe] = REG(INC_DEC(A_MB, Eb)),
	[0xff] = REG(INC_DEC(A_M, Ev),
		ROW("call", CALL_RM, A_M | A_NEAR | IA_RSP, Ev(READ)),
		ROW("call far", CALL_FAR_M, A_M | A_FAR | IA_RM_MEM, MEM_(READ, OPFAR)),
		ROW("jmp", JMP_RM, A_M | A_NEAR, Ev(READ)),
		ROW("jmp far", JMP_FAR_M, A_M | IA_RM_MEM, MEM_(READ, OPFAR)),
		ROW("push", PUSH_RM, A_M | A_STACK, Ev(READ))),
};
