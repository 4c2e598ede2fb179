/* SPDX-License-Identifier: MIT */
/*
 * The VEX maps 0F, 0F38 and 0F3A (SDM volume 2, appendix A and the instruction pages): AVX, AVX2,
 * FMA, F16C, BMI, VAES, VPCLMULQDQ, GFNI, AVX-512's opmask instructions. AVX-VNNI, AVX-IFMA, AVX-NE-CONVERT, XOP, FMA4 are absent.
 *
 * A row without vvvv requires the field to be 1111. Rules for VEX.L and VEX.W are in check.
 */
#include "x86/insn_table.h"
#include "x86/insn_vector.h"

/* clang-format off */

/* ---- rows: 3 with a source in vvvv, 2 without; F may raise #XM ---- */

#define V3(n, s, ...)  ROW("v" n, NATIVE, A_AVX, Vx, Hx, W_(READ, s), ##__VA_ARGS__)
#define V3F(n, s, ...) ROW("v" n, NATIVE, A_AVX | IA_FAULTS, Vx, Hx, W_(READ, s), ##__VA_ARGS__)
#define V2(n, s, ...)  ROW("v" n, NATIVE, A_AVX, Vx, W_(READ, s), ##__VA_ARGS__)
#define V2F(n, s, ...) ROW("v" n, NATIVE, A_AVX | IA_FAULTS, Vx, W_(READ, s), ##__VA_ARGS__)
#define V2A(n, ...)    ROW("v" n, NATIVE, A_AVX | IA_ALIGN, Vx, W_(READ, VL), ##__VA_ARGS__)
#define VST(n, s, ...) ROW("v" n, NATIVE, A_AVX, Vx, W_(WRITE, s), ##__VA_ARGS__)
#define VSTA(n, ...)   ROW("v" n, NATIVE, A_AVX | IA_ALIGN, Vx, W_(WRITE, VL), ##__VA_ARGS__)
/* memory forms only */
#define V3M(n, s, ...)  ROW("v" n, NATIVE, A_AVX | IA_RM_MEM, Vx, Hx, MEM_(READ, s), ##__VA_ARGS__)
#define V2M(n, s, ...)  ROW("v" n, NATIVE, A_AVX | IA_RM_MEM, Vx, MEM_(READ, s), ##__VA_ARGS__)
#define VSTM(n, s, ...) ROW("v" n, NATIVE, A_AVX | IA_RM_MEM, Vx, MEM_(WRITE, s), ##__VA_ARGS__)
#define VNT(n) ROW("v" n, NATIVE, A_AVX | IA_ALIGN | IA_RM_MEM, Vx, MEM_(WRITE, VL))
#define P66(row) PFX(NONE, row)

#define L0 CK(CK_L0)
#define L1 CK(CK_L1)
#define W0 CK(CK_W0)
#define L1W0 CK(CK_L1 | CK_W0)
#define L0W0 CK(CK_L0 | CK_W0)

#define INT3(o, n)  [o] = P66(V3(n, VL)),
#define INT2(o, n)  [o] = P66(V2(n, VL)),
#define COUNT(o, n) [o] = P66(V3(n, 16)),
#define IMM3(o, n)  [o] = P66(V3(n, VL, Ib)),
#define FP(o, n)    [o] = PFX(V3F(n "ps", VL), V3F(n "pd", VL), V3F(n "ss", 4), V3F(n "sd", 8)),
#define FP_BITS(o, n) [o] = PFX(V3(n "ps", VL), V3(n "pd", VL)),
#define SHIFT_IMM(n) P66(ROW("v" n, NATIVE, A_AVX | IA_RM_REG, Hx, Ux, Ib))
#define COMPARE(o, n) [o] = PFX(V2F(n "ss", 4, F_ARITH), V2F(n "sd", 8, F_ARITH))
/* movss, movsd: three registers, or two operands if one is memory */
#define SCALAR_LOAD(n, s) MOD(V2(n, s), V3(n, s))
#define SCALAR_STORE(n, s) MOD(VST(n, s), ROW("v" n, NATIVE, A_AVX, Vx, Hx, Ux))
#define TO_GPR(n, s) ROW("v" n, NATIVE, A_AVX | IA_FAULTS, Gv, W_(READ, s))
#define FROM_GPR(n) ROW("v" n, NATIVE, A_AVX | IA_FAULTS, Vx, Hx, Ey(READ))
#define MASK_TO_GPR(n, ...) ROW("v" n, NATIVE, A_AVX | IA_RM_REG | IA_VEXW_NOGPR, Gv, Ux, ##__VA_ARGS__)

/* AVX-512's opmask registers: words, quadwords, bytes, doublewords of them */
#define KROW(n, attr, ...) ROW(n, NATIVE, A_EVEX | (attr), ##__VA_ARGS__)
#define OPMASK_2(n)        KROW(n, IA_RM_REG, Kr, Km, L0)
#define OPMASK_3_(n)       KROW("k" n, IA_RM_REG, Kr, Kv, Km, L1)
#define OPMASK_3(o, n) [o] = PFX(BY_W(OPMASK_3_(n "w"), OPMASK_3_(n "q")), BY_W(OPMASK_3_(n "b"), OPMASK_3_(n "d")))
#define OPMASK_LOAD(n, s)  KROW(n, 0, Kr, Km, MEM_(READ, s), L0)
#define OPMASK_STORE(n, s) KROW(n, IA_RM_MEM, Kr, MEM_(WRITE, s), L0)
#define OPMASK_TEST_(n)    KROW(n, IA_RM_REG, Kr, Km, L0, F_ARITH)
#define OPMASK_TEST(o, n) [o] = PFX(BY_W(OPMASK_TEST_(n "w"), OPMASK_TEST_(n "q")), \
	BY_W(OPMASK_TEST_(n "b"), OPMASK_TEST_(n "d")))
#define OPMASK_SHIFT(n, a, b) P66(BY_W(KROW(n a, IA_RM_REG, Kr, Km, Ib, L0), KROW(n b, IA_RM_REG, Kr, Km, Ib, L0)))

/* Outside 64-bit mode the upper eight registers stay (SDM 2: VZEROALL). */
#define ZERO(n) BY_64(ROW(n, VZERO, IA_AVX | IA_REALUD), ROW(n, NATIVE, IA_AVX | IA_REALUD))

const struct insn_desc insn_vex_0f[256] = {
	[0x10] = PFX(V2("movups", VL), V2("movupd", VL), SCALAR_LOAD("movss", 4), SCALAR_LOAD("movsd", 8)),
	[0x11] = PFX(VST("movups", VL), VST("movupd", VL), SCALAR_STORE("movss", 4),
		SCALAR_STORE("movsd", 8)),
	[0x12] = PFX(MOD(V3("movlps", 8, L0), V3("movhlps", 8, L0)), V3M("movlpd", 8, L0),
		V2("movsldup", VL), BY_L(V2("movddup", 8), V2("movddup", 32))),
	[0x13] = PFX(VSTM("movlps", 8, L0), VSTM("movlpd", 8, L0)),
	[0x16] = PFX(MOD(V3("movhps", 8, L0), V3("movlhps", 8, L0)), V3M("movhpd", 8, L0),
		V2("movshdup", VL)),
	[0x17] = PFX(VSTM("movhps", 8, L0), VSTM("movhpd", 8, L0)),
	[0x28] = PFX(V2A("movaps"), V2A("movapd")),
	[0x29] = PFX(VSTA("movaps"), VSTA("movapd")),
	[0x2a] = PFX(NONE, NONE, FROM_GPR("cvtsi2ss"), FROM_GPR("cvtsi2sd")),
	[0x2b] = PFX(VNT("movntps"), VNT("movntpd")),
	[0x2c] = PFX(NONE, NONE, TO_GPR("cvttss2si", 4), TO_GPR("cvttsd2si", 8)),
	[0x2d] = PFX(NONE, NONE, TO_GPR("cvtss2si", 4), TO_GPR("cvtsd2si", 8)),
	COMPARE(0x2e, "ucomi"), COMPARE(0x2f, "comi"),

	OPMASK_3(0x41, "and"), OPMASK_3(0x42, "andn"), OPMASK_3(0x45, "or"), OPMASK_3(0x46, "xnor"),
	OPMASK_3(0x47, "xor"), OPMASK_3(0x4a, "add"),
	[0x44] = PFX(BY_W(OPMASK_2("knotw"), OPMASK_2("knotq")), BY_W(OPMASK_2("knotb"), OPMASK_2("knotd"))),
	[0x4b] = PFX(BY_W(KROW("kunpckwd", IA_RM_REG, Kr, Kv, Km, L1), KROW("kunpckdq", IA_RM_REG, Kr, Kv, Km, L1)),
		BY_W(KROW("kunpckbw", IA_RM_REG, Kr, Kv, Km, L1))),
	[0x50] = PFX(MASK_TO_GPR("movmskps"), MASK_TO_GPR("movmskpd")),
	[0x51] = PFX(V2F("sqrtps", VL), V2F("sqrtpd", VL), V3F("sqrtss", 4), V3F("sqrtsd", 8)),
	[0x52] = PFX(V2("rsqrtps", VL), NONE, V3("rsqrtss", 4)),
	[0x53] = PFX(V2("rcpps", VL), NONE, V3("rcpss", 4)),
	LIST_FP(FP) LIST_FP_BITS(FP_BITS)
	[0x5a] = PFX(V2F("cvtps2pd", VL2), V2F("cvtpd2ps", VL), V3F("cvtss2sd", 4), V3F("cvtsd2ss", 8)),
	[0x5b] = PFX(V2F("cvtdq2ps", VL), V2F("cvtps2dq", VL), V2F("cvttps2dq", VL)),

	LIST_UNPACK_LOW(INT3) LIST_INT(INT3) LIST_SHIFT(COUNT)
	[0x6c] = P66(V3("punpcklqdq", VL)),
	[0x6d] = P66(V3("punpckhqdq", VL)),
	[0x6e] = P66(ROW("vmovd", NATIVE, A_AVX, Vx, Ey(READ), L0)),
	[0x6f] = PFX(NONE, V2A("movdqa"), V2("movdqu", VL)),
	[0x70] = PFX(NONE, V2("pshufd", VL, Ib), V2("pshufhw", VL, Ib), V2("pshuflw", VL, Ib)),
	[0x71] = REG(NONE, NONE, SHIFT_IMM("psrlw"), NONE, SHIFT_IMM("psraw"), NONE, SHIFT_IMM("psllw")),
	[0x72] = REG(NONE, NONE, SHIFT_IMM("psrld"), NONE, SHIFT_IMM("psrad"), NONE, SHIFT_IMM("pslld")),
	[0x73] = REG(NONE, NONE, SHIFT_IMM("psrlq"), SHIFT_IMM("psrldq"), NONE, NONE,
		SHIFT_IMM("psllq"), SHIFT_IMM("pslldq")),
	[0x77] = PFX(BY_L(ZERO("vzeroupper"), ZERO("vzeroall"))),
	[0x7c] = PFX(NONE, V3F("haddpd", VL), NONE, V3F("haddps", VL)),
	[0x7d] = PFX(NONE, V3F("hsubpd", VL), NONE, V3F("hsubps", VL)),
	[0x7e] = PFX(NONE, ROW("vmovd", NATIVE, A_AVX, Vx, Ey(WRITE), L0), V2("movq", 8, L0)),
	[0x7f] = PFX(NONE, VSTA("movdqa"), VST("movdqu", VL)),

	[0x90] = PFX(BY_W(OPMASK_LOAD("kmovw", 2), OPMASK_LOAD("kmovq", 8)),
		BY_W(OPMASK_LOAD("kmovb", 1), OPMASK_LOAD("kmovd", 4))),
	[0x91] = PFX(BY_W(OPMASK_STORE("kmovw", 2), OPMASK_STORE("kmovq", 8)),
		BY_W(OPMASK_STORE("kmovb", 1), OPMASK_STORE("kmovd", 4))),
	[0x92] = PFX(BY_W(KROW("kmovw", IA_RM_REG, Kr, Ry, L0)), BY_W(KROW("kmovb", IA_RM_REG, Kr, Ry, L0)), NONE,
		BY_W(KROW("kmovd", IA_RM_REG, Kr, Ry, L0), KROW("kmovq", IA_RM_REG, Kr, Ry, L0))),
	[0x93] = PFX(BY_W(KROW("kmovw", IA_RM_REG, Gv, Km, L0)), BY_W(KROW("kmovb", IA_RM_REG, Gv, Km, L0)), NONE,
		BY_W(KROW("kmovd", IA_RM_REG, Gv, Km, L0), KROW("kmovq", IA_RM_REG, Gv, Km, L0))),
	OPMASK_TEST(0x98, "kortest"), OPMASK_TEST(0x99, "ktest"),

	[0xae] = REG(NONE, NONE,
		PFX(ROW("vldmxcsr", NATIVE, A_AVX | IA_RM_MEM | IA_FAULTS, MEM_(READ, 4), L0)),
		PFX(ROW("vstmxcsr", NATIVE, A_AVX | IA_RM_MEM, MEM_(WRITE, 4), L0))),
	[0xc2] = PFX(V3F("cmpps", VL, Ib), V3F("cmppd", VL, Ib), V3F("cmpss", 4, Ib), V3F("cmpsd", 8, Ib)),
	[0xc4] = P66(ROW("vpinsrw", NATIVE, A_AVX | IA_VEXW_NOGPR, Vx, Hx, E_(READ, 2), Ib, L0)),
	[0xc5] = P66(MASK_TO_GPR("pextrw", Ib, L0)),
	[0xc6] = PFX(V3("shufps", VL, Ib), V3("shufpd", VL, Ib)),
	[0xd0] = PFX(NONE, V3F("addsubpd", VL), NONE, V3F("addsubps", VL)),
	[0xd6] = P66(VST("movq", 8, L0)),
	[0xd7] = P66(MASK_TO_GPR("pmovmskb")),
	[0xe6] = PFX(NONE, V2F("cvttpd2dq", VL), V2("cvtdq2pd", VL2), V2F("cvtpd2dq", VL)),
	[0xe7] = P66(VNT("movntdq")),
	[0xf0] = PFX(NONE, NONE, NONE, V2M("lddqu", VL)),
	[0xf7] = P66(ROW("vmaskmovdqu", MASKMOVDQU, A_AVX | IA_RM_REG | IA_IMPL, Vx, Ux, IMPL(rDI), L0)),
};

/* ---- 0F38 ---- */

#define EXTEND(o, n, bytes, fraction) [o] = P66(V2(n, fraction)),
#define MASK_LOAD(n, ...) P66( \
	ROW("v" n, MASKMOV, A_AVX | IA_RM_MEM, Vx, Hx, MEM_(READ, VL), ##__VA_ARGS__))
#define MASK_STORE(n, ...) P66( \
	ROW("v" n, MASKMOV, A_AVX | IA_RM_MEM, Vx, Hx, MEM_(WRITE, VL), ##__VA_ARGS__))
/* W selects the element size; vvvv is the mask, read and cleared */
#define GATHER(n) P66(ROW("v" n, GATHER, A_AVX | IA_RM_MEM, Vx, Hx, MEM_(READ, OP48)))
#define FMA_PACKED(o, n) \
	[o] = P66(BY_W(V3F(n "ps", VL), V3F(n "pd", VL)))
#define FMA_SCALAR(o, n) \
	[o] = P66(BY_W(V3F(n "ss", 4), V3F(n "sd", 8)))
#define FMA(o, order) \
	FMA_PACKED((o) + 0, "fmaddsub" order), FMA_PACKED((o) + 1, "fmsubadd" order), \
	FMA_PACKED((o) + 2, "fmadd" order), FMA_SCALAR((o) + 3, "fmadd" order), \
	FMA_PACKED((o) + 4, "fmsub" order), FMA_SCALAR((o) + 5, "fmsub" order), \
	FMA_PACKED((o) + 6, "fnmadd" order), FMA_SCALAR((o) + 7, "fnmadd" order), \
	FMA_PACKED((o) + 8, "fnmsub" order), FMA_SCALAR((o) + 9, "fnmsub" order)

/* BMI: general registers; L must be 0. Flags from the instruction pages. */
#define BMI(n, flags, ...) ROW(n, NATIVE, A_BMI, Gv, By, Ey(READ), L0, ##__VA_ARGS__, flags)
#define BMI_NOFLAGS(n) ROW(n, NATIVE, A_BMI, Gv, By, Ey(READ), L0)
#define BMI_LOW(n) PFX(ROW(n, NATIVE, A_BMI, By, Ey(READ), L0, \
	F_ALWAYS(FL_ZF | FL_SF | FL_CF | FL_OF, FL_AF | FL_PF)))

const struct insn_desc insn_vex_0f38[256] = {
	LIST_SSSE3(INT3) LIST_PABS(INT2) LIST_SSE41(INT3)
	LIST_EXTEND(EXTEND, 0x20, "pmovsx") LIST_EXTEND(EXTEND, 0x30, "pmovzx")
	[0x0c] = P66(V3("permilps", VL, W0)),
	[0x0d] = P66(V3("permilpd", VL, W0)),
	[0x0e] = P66(V2("testps", VL, W0, F_ARITH)),
	[0x0f] = P66(V2("testpd", VL, W0, F_ARITH)),
	[0x13] = P66(V2F("cvtph2ps", VL2, W0)),
	[0x16] = P66(V3("permps", VL, L1W0)),
	[0x17] = P66(V2("ptest", VL, F_ARITH)),
	[0x18] = P66(V2("broadcastss", 4, W0)),
	[0x19] = P66(V2("broadcastsd", 8, L1W0)),
	[0x1a] = P66(V2M("broadcastf128", 16, L1W0)),
	[0x2a] = P66(ROW("vmovntdqa", NATIVE, A_AVX | IA_ALIGN | IA_RM_MEM, Vx, MEM_(READ, VL))),
	[0x2c] = MASK_LOAD("maskmovps", W0), [0x2d] = MASK_LOAD("maskmovpd", W0),
	[0x2e] = MASK_STORE("maskmovps", W0), [0x2f] = MASK_STORE("maskmovpd", W0),
	[0x36] = P66(V3("permd", VL, L1W0)),
	[0x41] = P66(V2("phminposuw", VL, L0)),
	[0x45] = P66(V3("psrlvd", VL)),
	[0x46] = P66(V3("psravd", VL, W0)),
	[0x47] = P66(V3("psllvd", VL)),
	[0x58] = P66(V2("pbroadcastd", 4, W0)),
	[0x59] = P66(V2("pbroadcastq", 8, W0)),
	[0x5a] = P66(V2M("broadcasti128", 16, L1W0)),
	[0x78] = P66(V2("pbroadcastb", 1, W0)),
	[0x79] = P66(V2("pbroadcastw", 2, W0)),
	[0x8c] = MASK_LOAD("pmaskmovd"), [0x8e] = MASK_STORE("pmaskmovd"),
	[0x90] = GATHER("pgatherdd"), [0x91] = GATHER("pgatherqd"),
	[0x92] = GATHER("gatherdps"), [0x93] = GATHER("gatherqps"),
	FMA(0x96, "132"), FMA(0xa6, "213"), FMA(0xb6, "231"),
	[0xcf] = P66(V3("gf2p8mulb", VL, W0)),
	[0xdb] = P66(V2("aesimc", VL, L0)),

	[0xf2] = PFX(BMI("andn", F_ALWAYS(FL_ZF | FL_SF | FL_CF | FL_OF, FL_AF | FL_PF))),
	[0xf3] = REG(NONE, BMI_LOW("blsr"), BMI_LOW("blsmsk"), BMI_LOW("blsi")),
	[0xf5] = PFX(BMI("bzhi", F_ALWAYS(FL_ZF | FL_SF | FL_CF | FL_OF, FL_AF | FL_PF)), NONE,
		BMI_NOFLAGS("pext"), BMI_NOFLAGS("pdep")),
	[0xf6] = PFX(NONE, NONE, NONE,
		ROW("mulx", NATIVE, A_BMI | IA_IMPL, Gv, By, Ey(READ), L0, IMPL(rDX))),
	[0xf7] = PFX(BMI("bextr", F_ALWAYS(FL_ZF | FL_CF | FL_OF, FL_AF | FL_PF | FL_SF)),
		BMI_NOFLAGS("shlx"), BMI_NOFLAGS("sarx"), BMI_NOFLAGS("shrx")),
};

/* ---- 0F3A ---- */

#define EXTRACT(n, s, ck, attr) P66( \
	ROW("v" n, NATIVE, A_AVX | (attr), Vx, E_(WRITE, s), Ib, CK(ck)))
#define INSERT(n, s, ck, attr) P66( \
	ROW("v" n, NATIVE, A_AVX | (attr), Vx, Hx, E_(READ, s), Ib, CK(ck)))
#define INSERT128(n) P66(V3(n, 16, Ib, L1W0))
#define EXTRACT128(n) P66(VST(n, 16, Ib, L1W0))
#define STRCMP(n, regs, attr) P66( \
	ROW("v" n, NATIVE, A_AVX | (attr), Vx, W_(READ, 16), Ib, L0, IMPL(regs), F_ARITH))

const struct insn_desc insn_vex_0f3a[256] = {
	LIST_IMM(IMM3)
	[0x00] = P66(V2("permq", VL, Ib, CK(CK_L1 | CK_W1))),
	[0x01] = P66(V2("permpd", VL, Ib, CK(CK_L1 | CK_W1))),
	[0x02] = P66(V3("pblendd", VL, Ib, W0)),
	[0x04] = P66(V2("permilps", VL, Ib, W0)),
	[0x05] = P66(V2("permilpd", VL, Ib, W0)),
	[0x06] = P66(V3("perm2f128", VL, Ib, L1W0)),
	[0x08] = P66(V2F("roundps", VL, Ib)),
	[0x09] = P66(V2F("roundpd", VL, Ib)),
	[0x0a] = P66(V3F("roundss", 4, Ib)),
	[0x0b] = P66(V3F("roundsd", 8, Ib)),
	[0x0f] = P66(V3("palignr", VL, Ib)),
	[0x14] = EXTRACT("pextrb", 1, CK_L0, IA_VEXW_NOGPR),
	[0x15] = EXTRACT("pextrw", 2, CK_L0, IA_VEXW_NOGPR),
	[0x16] = EXTRACT("pextrd", OP48, CK_L0, 0),
	[0x17] = EXTRACT("extractps", 4, CK_L0, IA_VEXW_NOGPR),
	[0x18] = INSERT128("insertf128"),
	[0x19] = EXTRACT128("extractf128"),
	[0x1d] = P66(ROW("vcvtps2ph", NATIVE, A_AVX | IA_FAULTS, Vx, W_(WRITE, VL2), Ib, W0)),
	[0x20] = INSERT("pinsrb", 1, CK_L0, IA_VEXW_NOGPR),
	[0x21] = P66(V3("insertps", 4, Ib, L0)),
	[0x22] = INSERT("pinsrd", OP48, CK_L0, 0),
	[0x30] = OPMASK_SHIFT("kshiftr", "b", "w"), [0x31] = OPMASK_SHIFT("kshiftr", "d", "q"),
	[0x32] = OPMASK_SHIFT("kshiftl", "b", "w"), [0x33] = OPMASK_SHIFT("kshiftl", "d", "q"),
	[0x38] = INSERT128("inserti128"),
	[0x39] = EXTRACT128("extracti128"),
	[0x40] = P66(V3F("dpps", VL, Ib)),
	[0x41] = P66(V3F("dppd", VL, Ib, L0)),
	[0x46] = P66(V3("perm2i128", VL, Ib, L1W0)),
	/* bits 7:4 of the immediate name a fourth register */
	[0x4a] = P66(V3("blendvps", VL, Ib, W0)),
	[0x4b] = P66(V3("blendvpd", VL, Ib, W0)),
	[0x4c] = P66(V3("pblendvb", VL, Ib, W0)),
	[0x60] = STRCMP("pcmpestrm", rAX | rDX, IA_IMPL),
	[0x61] = STRCMP("pcmpestri", rAX | rDX | rCX, IA_IMPL),
	[0x62] = STRCMP("pcmpistrm", 0, 0),
	[0x63] = STRCMP("pcmpistri", rCX, IA_IMPL),
	[0xce] = P66(V3("gf2p8affineqb", VL, Ib, CK(CK_W1))),
	[0xcf] = P66(V3("gf2p8affineinvqb", VL, Ib, CK(CK_W1))),
	[0xdf] = P66(V2("aeskeygenassist", VL, Ib, L0)),
	[0xf0] = PFX(NONE, NONE, NONE, ROW("rorx", NATIVE, A_BMI, Gv, Ey(READ), Ib, L0)),
};
