/* SPDX-License-Identifier: MIT */
/*
 * The 0F opcode map in its legacy encoding (SDM volume 2, appendix A, table A-3): system
 * instructions, conditional moves and jumps, bit instructions, MMX, SSE, SSE2.
 *
 * Not offered, so absent: 3DNow!, SSE4a, VMX, SVM beyond vmmcall, SGX, TSX, PKU, CET.
 */
#include "x86/insn_table.h"
#include "x86/insn_vector.h"

/* clang-format off */

/* ---- vector rows: N no prefix (ps), a aligned 16 bytes, S n bytes, F may raise #XM ---- */

#define XA(n, ...)    ROW(n, NATIVE, A_SSE | IA_ALIGN, Vx, W_(READ, 16), ##__VA_ARGS__)
#define XAF(n, ...)   ROW(n, NATIVE, A_SSE | IA_ALIGN | IA_FAULTS, Vx, W_(READ, 16), ##__VA_ARGS__)
#define XS(n, s, ...) ROW(n, NATIVE, A_SSE, Vx, W_(READ, s), ##__VA_ARGS__)
#define XSF(n, s, ...) ROW(n, NATIVE, A_SSE | IA_FAULTS, Vx, W_(READ, s), ##__VA_ARGS__)
#define XST(n, s, ...) ROW(n, NATIVE, A_SSE, Vx, W_(WRITE, s), ##__VA_ARGS__)
#define XSTA(n, ...)  ROW(n, NATIVE, A_SSE | IA_ALIGN, Vx, W_(WRITE, 16), ##__VA_ARGS__)
#define MM(n, ...)    ROW(n, NATIVE, A_MMX, Pq, Q_(READ, 8), ##__VA_ARGS__)

#define INT(o, n)    [o] = PFX(MM(n), XA(n)),
#define UNPACK(o, n) [o] = PFX(ROW(n, NATIVE, A_MMX, Pq, Q_(READ, 4)), XA(n)),
#define FP(o, n)     [o] = PFX(XAF(n "ps"), XAF(n "pd"), XSF(n "ss", 4), XSF(n "sd", 8)),
#define FP_BITS(o, n) [o] = PFX(XA(n "ps"), XA(n "pd")),

/* 71-73: shifts of a register by imm8 */
#define SHIFT_IMM(n) PFX( \
	ROW(n, NATIVE, A_MMX | IA_RM_REG, Nq, Ib), ROW(n, NATIVE, A_SSE | IA_RM_REG, Ux, Ib))
#define SHIFT_DQ(n) PFX(NONE, ROW(n, NATIVE, A_SSE | IA_RM_REG, Ux, Ib))

/* comiss and friends: unordered sets ZF PF CF, the others are cleared */
#define COMPARE(o, n) [o] = PFX(XSF(n "ss", 4, F_ARITH), XSF(n "sd", 8, F_ARITH))

/* ---- integer rows ---- */

#define PER_CC(X) \
	X(0, "o") X(1, "no") X(2, "b") X(3, "ae") X(4, "e") X(5, "ne") X(6, "be") X(7, "a") \
	X(8, "s") X(9, "ns") X(10, "p") X(11, "np") X(12, "l") X(13, "ge") X(14, "le") X(15, "g")
#define CMOV(cc, n) \
	[0x40 + (cc)] = ROW("cmov" n, NATIVE, A_M, Gv, Ev(READ), F_READ(CC_FLAGS(cc))),
#define JCC(cc, n) [0x80 + (cc)] = ROW("j" n, JCC, A_NEAR, .imm = IMM_RELZ, F_READ(CC_FLAGS(cc))),
#define SET(cc, n) [0x90 + (cc)] = ROW("set" n, NATIVE, A_MB, Eb(WRITE), F_READ(CC_FLAGS(cc))),

/* ZF is not changed by bit tests (SDM 2: BT). */
#define F_BIT F_ALWAYS(FL_CF, FL_OF | FL_SF | FL_AF | FL_PF)
#define BIT_REG(n, m, lock) MOD( \
	ROW(n, BT_MEM, A_M | (lock), Gv, Ev(m), F_BIT), ROW(n, NATIVE, A_M, Gv, Ev(m), F_BIT))
#define BIT_IMM(n, m, lock) ROW(n, NATIVE, A_M | (lock), Ev(m), Ib, F_BIT)
#define F_SCAN F_ALWAYS(FL_ZF, FL_STATUS & ~FL_ZF)
#define F_COUNT F_ALWAYS(FL_ZF | FL_CF, FL_OF | FL_SF | FL_PF | FL_AF)

#define F_DOUBLE(F) F(FL_STATUS, FL_AF | FL_OF)
#define DOUBLE_IMM(n) PAIR( \
	ROW(n, NATIVE, A_M, Ev(RW), Gv, Ib, F_DOUBLE(F_MAYBE), CK(CK_COUNT)), \
	ROW(n, NATIVE, A_M, Ev(RW), Gv, Ib, F_DOUBLE(F_ALWAYS)))
#define DOUBLE_CL(n) ROW(n, NATIVE, A_M | IA_IMPL, Ev(RW), Gv, IMPL(rCX), F_DOUBLE(F_MAYBE))

#define NP(row) PFX(row) /* 66, F2, F3: #UD */
#define SYS(n, op, attr, ...) ROW(n, op, A_M | (attr), ##__VA_ARGS__)
#define F_ZF F_ALWAYS(FL_ZF, 0)
#define HINT ROW("nop", NOP, A_M)

#define SMSW SYS("smsw", SMSW, 0, E_(WRITE, 2))
#define LMSW SYS("lmsw", LMSW, A_CPL0, E_(READ, 2))

/* 0F01, SDM table A-6 and APM 3: appendix A.2 */
#define GROUP7 MODREG( \
	SYS("sgdt", SGDT, 0, MEM_(WRITE, DT)), SYS("sidt", SIDT, 0, MEM_(WRITE, DT)), \
	SYS("lgdt", LGDT, A_CPL0, MEM_(READ, DT)), SYS("lidt", LIDT, A_CPL0, MEM_(READ, DT)), \
	SMSW, NONE, LMSW, SYS("invlpg", INVLPG, A_CPL0, .mem = MEM_ADDR), \
	NP(RM(NONE, SYS("vmcall", VMCALL, 0))), \
	NP(RM(SYS("monitor", MONITOR, IA_IMPL, IMPL(rAX | rCX | rDX)), \
		SYS("mwait", MWAIT, IA_IMPL, IMPL(rAX | rCX)), \
		SYS("clac", CLAC, 0), SYS("stac", STAC, 0))), \
	NP(RM(SYS("xgetbv", XGETBV, IA_IMPL, IMPL(rAX | rCX | rDX)), \
		SYS("xsetbv", XSETBV, A_CPL0 | IA_IMPL, IMPL(rAX | rCX | rDX)))), \
	RM(NONE, SYS("vmmcall", VMMCALL, 0)), \
	SMSW, NONE, LMSW, \
	RM(SYS("swapgs", SWAPGS, A_CPL0 | IA_ONLY64), \
		SYS("rdtscp", RDTSCP, IA_IMPL, IMPL(rAX | rCX | rDX))))

#define BASE_REG(n, op) PFX(NONE, NONE, SYS(n, op, IA_ONLY64 | IA_OP48, Ry), NONE)
#define FENCE(n) NP(SYS(n, NATIVE, IA_OP48))
#define STATE(n, op, m, attr) NP(SYS(n, op, attr, MEM_(m, STATE)))
#define XSTATE(n, op, m, attr) NP(SYS(n, op, IA_IMPL | (attr), MEM_(m, STATE), IMPL(rAX | rDX)))
#define CACHE_LINE(n) SYS(n, CLFLUSH, 0, .mem = MEM_ADDR)

/* 0FAE; fxsave is subject to CR0.EM and TS as x87 is (SDM 2: FXSAVE) */
#define GROUP15 MODREG( \
	STATE("fxsave", FXSAVE, WRITE, IA_X87), STATE("fxrstor", FXRSTOR, READ, IA_X87), \
	NP(SYS("ldmxcsr", NATIVE, IA_SSE | IA_OP48 | IA_FAULTS, MEM_(READ, 4))), \
	NP(SYS("stmxcsr", NATIVE, IA_SSE | IA_OP48, MEM_(WRITE, 4))), \
	XSTATE("xsave", XSAVE, WRITE, 0), XSTATE("xrstor", XRSTOR, READ, 0), \
	PFX(SYS("xsaveopt", XSAVEOPT, IA_IMPL, MEM_(WRITE, STATE), IMPL(rAX | rDX)), CACHE_LINE("clwb")), \
	PFX(CACHE_LINE("clflush"), CACHE_LINE("clflushopt")), \
	BASE_REG("rdfsbase", RDFSBASE), BASE_REG("rdgsbase", RDGSBASE), \
	BASE_REG("wrfsbase", WRFSBASE), BASE_REG("wrgsbase", WRGSBASE), \
	NONE, FENCE("lfence"), FENCE("mfence"), FENCE("sfence"))

/* 66 is operand size here, F2 and F3 are other instructions */
#define F_RANDOM F_ALWAYS(FL_STATUS, 0)
#define RANDOM(n) ROW(n, NATIVE, A_M, Ry, F_RANDOM)

/* 0FC7 */
#define GROUP9 MODREG( \
	NONE, \
	BY_W(SYS("cmpxchg8b", NATIVE, IA_LOCK | IA_OP48 | IA_IMPL, MEM_(RW, OP2X), \
			IMPL(rAX | rDX | rBX | rCX), F_ZF), \
		SYS("cmpxchg16b", NATIVE, IA_LOCK | IA_OP48 | IA_IMPL | IA_ALIGN, MEM_(RW, OP2X), \
			IMPL(rAX | rDX | rBX | rCX), F_ZF)), \
	NONE, XSTATE("xrstors", XRSTORS, READ, A_CPL0), XSTATE("xsavec", XSAVEC, WRITE, 0), \
	XSTATE("xsaves", XSAVES, WRITE, A_CPL0), NONE, NONE, \
	NONE, NONE, NONE, NONE, NONE, NONE, \
	PFX(RANDOM("rdrand"), RANDOM("rdrand")), \
	PFX(RANDOM("rdseed"), RANDOM("rdseed"), SYS("rdpid", RDPID, IA_FORCE64 | IA_OP48, Ry)))

/* SDM calls the flags undefined after these; APM and all processors leave them alone. */
#define MOVE_SPECIAL(n, op, attr, kind) \
	ROW(n, op, A_M | A_CPL0 | IA_FORCE64 | IA_OP48 | IA_RM_REG | (attr), Ry, .reg = kind)

#define LOAD_FAR(o, n) [o] = ROW(n, LOAD_FAR, A_M | IA_RM_MEM, Gv, MEM_(READ, OPFAR))
#define SEG_STACK(o, n, op) [o] = ROW(n, op, IA_RSP | IA_DEF64, .reg = RK_SEG)

const struct insn_desc insn_legacy_0f[256] = {
	[0x00] = REG(SYS("sldt", SLDT, IA_REALUD, E_(WRITE, 2)), SYS("str", STR, IA_REALUD, E_(WRITE, 2)),
		SYS("lldt", LLDT, IA_REALUD | A_CPL0, E_(READ, 2)),
		SYS("ltr", LTR, IA_REALUD | A_CPL0, E_(READ, 2)),
		SYS("verr", VERR, IA_REALUD, E_(READ, 2), F_ZF),
		SYS("verw", VERW, IA_REALUD, E_(READ, 2), F_ZF)),
	[0x01] = GROUP7,
	[0x02] = ROW("lar", LAR, A_M | IA_REALUD, Gv, E_(READ, 2), F_ZF),
	[0x03] = ROW("lsl", LSL, A_M | IA_REALUD, Gv, E_(READ, 2), F_ZF),
	/* whether syscall exists outside 64-bit mode depends on the vendor: up to the handler */
	[0x05] = ROW("syscall", SYSCALL, IA_IMPL, IMPL(rCX | BIT(R11)),
		F_READ(FL_STATUS | FL_DF), F_MAYBE(FL_STATUS | FL_DF, 0)),
	[0x06] = ROW("clts", CLTS, A_CPL0),
	[0x07] = ROW("sysret", SYSRET, A_CPL0 | IA_IMPL, IMPL(rCX | BIT(R11)),
		F_ALWAYS(FL_STATUS | FL_DF, 0)),
	[0x08] = ROW("invd", INVD, A_CPL0),
	[0x09] = ROW("wbinvd", WBINVD, A_CPL0),
	[0x0b] = ROW("ud2", UD, 0),
	[0x0d] = ROW("prefetchw", NOP, A_M),

	[0x10] = PFX(XS("movups", 16), XS("movupd", 16), XS("movss", 4), XS("movsd", 8)),
	[0x11] = PFX(XST("movups", 16), XST("movupd", 16), XST("movss", 4), XST("movsd", 8)),
	[0x12] = PFX(MOD(XS("movlps", 8), XS("movhlps", 8)),
		ROW("movlpd", NATIVE, A_SSE | IA_RM_MEM, Vx, MEM_(READ, 8)),
		XA("movsldup"), XS("movddup", 8)),
	[0x13] = PFX(ROW("movlps", NATIVE, A_SSE | IA_RM_MEM, Vx, MEM_(WRITE, 8)),
		ROW("movlpd", NATIVE, A_SSE | IA_RM_MEM, Vx, MEM_(WRITE, 8))),
	[0x16] = PFX(MOD(XS("movhps", 8), XS("movlhps", 8)),
		ROW("movhpd", NATIVE, A_SSE | IA_RM_MEM, Vx, MEM_(READ, 8)), XA("movshdup")),
	[0x17] = PFX(ROW("movhps", NATIVE, A_SSE | IA_RM_MEM, Vx, MEM_(WRITE, 8)),
		ROW("movhpd", NATIVE, A_SSE | IA_RM_MEM, Vx, MEM_(WRITE, 8))),
	/* prefetch, cldemote, endbr, rdssp without CET, bnd* without MPX, and reserved hints */
	[0x18 ... 0x1f] = HINT,

	[0x20] = MOVE_SPECIAL("mov", MOV_FROM_CR, 0, RK_CR),
	[0x21] = MOVE_SPECIAL("mov", MOV_FROM_DR, 0, RK_DR),
	[0x22] = MOVE_SPECIAL("mov", MOV_TO_CR, 0, RK_CR),
	[0x23] = MOVE_SPECIAL("mov", MOV_TO_DR, 0, RK_DR),
	[0x28] = PFX(XA("movaps"), XA("movapd")),
	[0x29] = PFX(XSTA("movaps"), XSTA("movapd")),
	[0x2a] = PFX(ROW("cvtpi2ps", NATIVE, A_SSEMMX, Vx, Q_(READ, 8)),
		ROW("cvtpi2pd", NATIVE, A_SSEMMX, Vx, Q_(READ, 8)),
		ROW("cvtsi2ss", NATIVE, A_SSE | IA_FAULTS, Vx, Ey(READ)),
		ROW("cvtsi2sd", NATIVE, A_SSE | IA_FAULTS, Vx, Ey(READ))),
	[0x2b] = PFX(ROW("movntps", NATIVE, A_SSE | IA_ALIGN | IA_RM_MEM, Vx, MEM_(WRITE, 16)),
		ROW("movntpd", NATIVE, A_SSE | IA_ALIGN | IA_RM_MEM, Vx, MEM_(WRITE, 16))),
	[0x2c] = PFX(ROW("cvttps2pi", NATIVE, A_SSEMMX, Pq, W_(READ, 8)),
		ROW("cvttpd2pi", NATIVE, A_SSEMMX | IA_ALIGN, Pq, W_(READ, 16)),
		ROW("cvttss2si", NATIVE, A_SSE | IA_FAULTS, Gv, W_(READ, 4)),
		ROW("cvttsd2si", NATIVE, A_SSE | IA_FAULTS, Gv, W_(READ, 8))),
	[0x2d] = PFX(ROW("cvtps2pi", NATIVE, A_SSEMMX, Pq, W_(READ, 8)),
		ROW("cvtpd2pi", NATIVE, A_SSEMMX | IA_ALIGN, Pq, W_(READ, 16)),
		ROW("cvtss2si", NATIVE, A_SSE | IA_FAULTS, Gv, W_(READ, 4)),
		ROW("cvtsd2si", NATIVE, A_SSE | IA_FAULTS, Gv, W_(READ, 8))),
	COMPARE(0x2e, "ucomi"),
	COMPARE(0x2f, "comi"),

	[0x30] = ROW("wrmsr", WRMSR, A_CPL0 | IA_IMPL, IMPL(rAX | rCX | rDX)),
	[0x31] = ROW("rdtsc", RDTSC, IA_IMPL, IMPL(rAX | rDX)),
	[0x32] = ROW("rdmsr", RDMSR, A_CPL0 | IA_IMPL, IMPL(rAX | rCX | rDX)),
	[0x33] = ROW("rdpmc", RDPMC, IA_IMPL, IMPL(rAX | rCX | rDX)),
	[0x34] = ROW("sysenter", SYSENTER, IA_RSP),
	[0x35] = ROW("sysexit", SYSEXIT, A_CPL0 | IA_RSP | IA_IMPL, IMPL(rCX | rDX)),

	PER_CC(CMOV)

	[0x50] = PFX(ROW("movmskps", NATIVE, A_SSE | IA_RM_REG, Gv, Ux),
		ROW("movmskpd", NATIVE, A_SSE | IA_RM_REG, Gv, Ux)),
	[0x51] = PFX(XAF("sqrtps"), XAF("sqrtpd"), XSF("sqrtss", 4), XSF("sqrtsd", 8)),
	[0x52] = PFX(XA("rsqrtps"), NONE, XS("rsqrtss", 4), NONE),
	[0x53] = PFX(XA("rcpps"), NONE, XS("rcpss", 4), NONE),
	LIST_FP(FP) LIST_FP_BITS(FP_BITS)
	[0x5a] = PFX(XSF("cvtps2pd", 8), XAF("cvtpd2ps"), XSF("cvtss2sd", 4), XSF("cvtsd2ss", 8)),
	[0x5b] = PFX(XAF("cvtdq2ps"), XAF("cvtps2dq"), XAF("cvttps2dq")),

	LIST_UNPACK_LOW(UNPACK) LIST_INT(INT) LIST_SHIFT(INT)
	[0x6c] = PFX(NONE, XA("punpcklqdq")),
	[0x6d] = PFX(NONE, XA("punpckhqdq")),
	[0x6e] = PFX(ROW("movd", NATIVE, A_MMX, Pq, Ey(READ)), ROW("movd", NATIVE, A_SSE, Vx, Ey(READ))),
	[0x6f] = PFX(MM("movq"), XA("movdqa"), XS("movdqu", 16)),
	[0x70] = PFX(MM("pshufw", Ib), XA("pshufd", Ib), XA("pshufhw", Ib), XA("pshuflw", Ib)),
	[0x71] = REG(NONE, NONE, SHIFT_IMM("psrlw"), NONE, SHIFT_IMM("psraw"), NONE, SHIFT_IMM("psllw")),
	[0x72] = REG(NONE, NONE, SHIFT_IMM("psrld"), NONE, SHIFT_IMM("psrad"), NONE, SHIFT_IMM("pslld")),
	[0x73] = REG(NONE, NONE, SHIFT_IMM("psrlq"), SHIFT_DQ("psrldq"), NONE, NONE,
		SHIFT_IMM("psllq"), SHIFT_DQ("pslldq")),
	[0x77] = NP(ROW("emms", NATIVE, IA_MMX | IA_FAULTS)),
	[0x7c] = PFX(NONE, XAF("haddpd"), NONE, XAF("haddps")),
	[0x7d] = PFX(NONE, XAF("hsubpd"), NONE, XAF("hsubps")),
	[0x7e] = PFX(ROW("movd", NATIVE, A_MMX, Pq, Ey(WRITE)), ROW("movd", NATIVE, A_SSE, Vx, Ey(WRITE)),
		XS("movq", 8)),
	[0x7f] = PFX(ROW("movq", NATIVE, A_MMX, Pq, Q_(WRITE, 8)), XSTA("movdqa"), XST("movdqu", 16)),

	PER_CC(JCC) PER_CC(SET)

	SEG_STACK(0xa0, "push fs", PUSH_SEG), SEG_STACK(0xa1, "pop fs", POP_SEG),
	SEG_STACK(0xa8, "push gs", PUSH_SEG), SEG_STACK(0xa9, "pop gs", POP_SEG),
	[0xa2] = ROW("cpuid", CPUID, IA_IMPL, IMPL(rAX | rBX | rCX | rDX)),
	[0xa3] = BIT_REG("bt", READ, 0),
	[0xab] = BIT_REG("bts", RW, IA_LOCK),
	[0xb3] = BIT_REG("btr", RW, IA_LOCK),
	[0xbb] = BIT_REG("btc", RW, IA_LOCK),
	[0xa4] = DOUBLE_IMM("shld"), [0xa5] = DOUBLE_CL("shld"),
	[0xac] = DOUBLE_IMM("shrd"), [0xad] = DOUBLE_CL("shrd"),
	[0xaa] = ROW("rsm", RSM, 0, F_ALWAYS(FL_STATUS | FL_DF, 0)),
	[0xae] = GROUP15,
	[0xaf] = ROW("imul", NATIVE, A_M, Gv, Ev(READ),
		F_ALWAYS(FL_CF | FL_OF, FL_SF | FL_ZF | FL_AF | FL_PF)),
	[0xb0] = ROW("cmpxchg", NATIVE, A_MB | IA_LOCK | IA_IMPL, Eb(RW), Gb, IMPL(rAX), F_ARITH),
	[0xb1] = ROW("cmpxchg", NATIVE, A_M | IA_LOCK | IA_IMPL, Ev(RW), Gv, IMPL(rAX), F_ARITH),
	LOAD_FAR(0xb2, "lss"), LOAD_FAR(0xb4, "lfs"), LOAD_FAR(0xb5, "lgs"),
	[0xb6] = ROW("movzx", NATIVE, A_M, Gv, Eb(READ)),
	[0xb7] = ROW("movzx", NATIVE, A_M, Gv, E_(READ, 2)),
	[0xb8] = PFX(NONE, NONE, ROW("popcnt", NATIVE, A_M, Gv, Ev(READ), F_ARITH), NONE),
	[0xb9] = ROW("ud1", UD, A_M, Gv, Ev(READ)),
	[0xba] = REG(NONE, NONE, NONE, NONE, BIT_IMM("bt", READ, 0), BIT_IMM("bts", RW, IA_LOCK),
		BIT_IMM("btr", RW, IA_LOCK), BIT_IMM("btc", RW, IA_LOCK)),
	[0xbc] = PFX(ROW("bsf", NATIVE, A_M, Gv, Ev(READ), F_SCAN), ROW("bsf", NATIVE, A_M, Gv, Ev(READ), F_SCAN),
		ROW("tzcnt", NATIVE, A_M, Gv, Ev(READ), F_COUNT), ROW("bsf", NATIVE, A_M, Gv, Ev(READ), F_SCAN)),
	[0xbd] = PFX(ROW("bsr", NATIVE, A_M, Gv, Ev(READ), F_SCAN), ROW("bsr", NATIVE, A_M, Gv, Ev(READ), F_SCAN),
		ROW("lzcnt", NATIVE, A_M, Gv, Ev(READ), F_COUNT), ROW("bsr", NATIVE, A_M, Gv, Ev(READ), F_SCAN)),
	[0xbe] = ROW("movsx", NATIVE, A_M, Gv, Eb(READ)),
	[0xbf] = ROW("movsx", NATIVE, A_M, Gv, E_(READ, 2)),

	[0xc0] = ROW("xadd", NATIVE, A_MB | IA_LOCK, Eb(RW), Gb, F_ARITH),
	[0xc1] = ROW("xadd", NATIVE, A_M | IA_LOCK, Ev(RW), Gv, F_ARITH),
	[0xc2] = PFX(XAF("cmpps", Ib), XAF("cmppd", Ib), XSF("cmpss", 4, Ib), XSF("cmpsd", 8, Ib)),
	[0xc3] = NP(ROW("movnti", NATIVE, A_M | IA_OP48 | IA_RM_MEM, Gv, MEM_(WRITE, OP48))),
	[0xc4] = PFX(ROW("pinsrw", NATIVE, A_MMX | IA_VEXW_NOGPR, Pq, E_(READ, 2), Ib),
		ROW("pinsrw", NATIVE, A_SSE | IA_VEXW_NOGPR, Vx, E_(READ, 2), Ib)),
	[0xc5] = PFX(ROW("pextrw", NATIVE, A_MMX | IA_RM_REG | IA_VEXW_NOGPR, Gv, Nq, Ib),
		ROW("pextrw", NATIVE, A_SSE | IA_RM_REG | IA_VEXW_NOGPR, Gv, Ux, Ib)),
	[0xc6] = PFX(XA("shufps", Ib), XA("shufpd", Ib)),
	[0xc7] = GROUP9,
	[0xc8 ... 0xcf] = ROW("bswap", NATIVE, 0, Gv),

	[0xd0] = PFX(NONE, XAF("addsubpd"), NONE, XAF("addsubps")),
	[0xd6] = PFX(NONE, XST("movq", 8), ROW("movq2dq", NATIVE, A_SSEMMX | IA_RM_REG, Vx, Nq),
		ROW("movdq2q", NATIVE, A_SSEMMX | IA_RM_REG, Pq, Ux)),
	[0xd7] = PFX(ROW("pmovmskb", NATIVE, A_MMX | IA_RM_REG | IA_VEXW_NOGPR, Gv, Nq),
		ROW("pmovmskb", NATIVE, A_SSE | IA_RM_REG | IA_VEXW_NOGPR, Gv, Ux)),
	[0xe6] = PFX(NONE, XAF("cvttpd2dq"), XS("cvtdq2pd", 8), XAF("cvtpd2dq")),
	[0xe7] = PFX(ROW("movntq", NATIVE, A_MMX | IA_RM_MEM, Pq, MEM_(WRITE, 8)),
		ROW("movntdq", NATIVE, A_SSE | IA_ALIGN | IA_RM_MEM, Vx, MEM_(WRITE, 16))),
	[0xf0] = PFX(NONE, NONE, NONE, ROW("lddqu", NATIVE, A_SSE | IA_RM_MEM, Vx, MEM_(READ, 16))),
	[0xf7] = PFX(ROW("maskmovq", MASKMOVDQU, A_MMX | IA_RM_REG | IA_IMPL, Pq, Nq, IMPL(rDI)),
		ROW("maskmovdqu", MASKMOVDQU, A_SSE | IA_RM_REG | IA_IMPL, Vx, Ux, IMPL(rDI))),
	[0xff] = ROW("ud0", UD, A_M, Gv, Ev(READ)),
};
