/* SPDX-License-Identifier: MIT */
/*
 * The EVEX map 0F (SDM volume 2, the instruction pages): AVX-512 F, VL, BW, DQ. The other maps are in insn_table_evex38.c.
 *
 * A row without vvvv requires the field to be 1111, as in the VEX maps.
 */
#include "x86/insn_evex.h"

/* clang-format off */

/* bytes and words, whatever W: with and without fault suppression */
#define B3(o, n)  [o] = P66(Z3(n, VL, 1, 0)),
#define H3(o, n)  [o] = P66(Z3(n, VL, 2, 0)),
#define H3W(o, n) [o] = P66(Z3(n, VL, 2, WHOLE)),
#define B3W(o, n) [o] = P66(Z3(n, VL, 1, WHOLE)),
#define D3(o, n)  [o] = P66(W0(Z3(n, VL, 4, BC))),
#define D3W(o, n) [o] = P66(W0(Z3(n, VL, 4, BC | WHOLE))),
#define Q3(o, n)  [o] = P66(W1(Z3(n, VL, 8, BC))),
#define Q3W(o, n) [o] = P66(W1(Z3(n, VL, 8, BC | WHOLE))),
/* four instructions of one opcode */
#define FP(o, n, ev) [o] = PFX( \
	W0(Z3F(n "ps", VL, 4, BC | (ev))), W1(Z3F(n "pd", VL, 8, BC | (ev))), \
	W0(Z3F(n "ss", 4, 4, ONE | (ev))), W1(Z3F(n "sd", 8, 8, ONE | (ev)))),
#define FP_BITS(o, n, ev) [o] = PFX( \
	W0(Z3(n "ps", VL, 4, BC | (ev))), W1(Z3(n "pd", VL, 8, BC | (ev)))),
#define COMPARE(o, n) [o] = PFX( \
	W0(EROW(n "ss", IA_FAULTS, ONE | WHOLE | SAE, 4, Vx, W_(READ, 4), F_ARITH)), \
	W1(EROW(n "sd", IA_FAULTS, ONE | WHOLE | SAE, 8, Vx, W_(READ, 8), F_ARITH)))
/* the second operand is a count of 16 bytes, or an immediate */
#define COUNT(n, el)      Z3(n, 16, el, WHOLE)
#define SHIFT(n, el, ev)  EROW(n, 0, MZ | (ev), el, Hx, W_(READ, VL), Ib)
#define SHIFT_DQ(n)       EROW(n, 0, WHOLE, 1, Hx, W_(READ, VL), Ib)
#define SCALAR_LOAD(n, s) MOD(EROW(n, 0, MZ | ONE, s, Vx, MEM_(READ, s)), EROW(n, 0, MZ | ONE, s, Vx, Hx, Ux))
#define SCALAR_STORE(n, s) \
	MOD(EROW(n, 0, EV_MASK | ONE, s, Vx, MEM_(WRITE, s)), EROW(n, 0, MZ | ONE, s, Vx, Hx, Ux))
#define HALF(n, ev)       Z2F(n, VL2, 4, BC | (ev))
#define FULL4(n, ev)      Z2F(n, VL, 4, BC | (ev))
#define FULL8(n, ev)      Z2F(n, VL, 8, BC | (ev))

const struct insn_desc insn_evex_0f[256] = {
	[0x10] = PFX(W0(Z2("movups", VL, 4, 0)), W1(Z2("movupd", VL, 8, 0)),
		W0(SCALAR_LOAD("movss", 4)), W1(SCALAR_LOAD("movsd", 8))),
	[0x11] = PFX(W0(ZST("movups", VL, 4, 0)), W1(ZST("movupd", VL, 8, 0)),
		W0(SCALAR_STORE("movss", 4)), W1(SCALAR_STORE("movsd", 8))),
	[0x12] = PFX(W0(MOD(N3M("movlps", 8, L0), N3("movhlps", 8, 8, L0))), W1(N3M("movlpd", 8, L0)),
		W0(Z2("movsldup", VL, 4, WHOLE)),
		W1(BY_L(Z2("movddup", 8, 8, WHOLE), Z2("movddup", VL, 8, WHOLE)))),
	[0x13] = PFX(W0(NSTM("movlps", 8, L0)), W1(NSTM("movlpd", 8, L0))),
	FP_BITS(0x14, "unpckl", WHOLE) FP_BITS(0x15, "unpckh", WHOLE)
	[0x16] = PFX(W0(MOD(N3M("movhps", 8, L0), N3("movlhps", 8, 8, L0))), W1(N3M("movhpd", 8, L0)),
		W0(Z2("movshdup", VL, 4, WHOLE))),
	[0x17] = PFX(W0(NSTM("movhps", 8, L0)), W1(NSTM("movhpd", 8, L0))),
	[0x28] = PFX(W0(Z2A("movaps", 4)), W1(Z2A("movapd", 8))),
	[0x29] = PFX(W0(ZSTA("movaps", 4)), W1(ZSTA("movapd", 8))),
	[0x2a] = PFX(NONE, NONE, FROM_GPR("cvtsi2ss", IA_FAULTS, ER),
		BY_W(FROM_GPR("cvtsi2sd", 0, ER), FROM_GPR("cvtsi2sd", IA_FAULTS, ER))),
	[0x2b] = PFX(W0(NT("movntps")), W1(NT("movntpd"))),
	[0x2c] = PFX(NONE, NONE, TO_GPR("cvttss2si", 4, SAE), TO_GPR("cvttsd2si", 8, SAE)),
	[0x2d] = PFX(NONE, NONE, TO_GPR("cvtss2si", 4, ER), TO_GPR("cvtsd2si", 8, ER)),
	COMPARE(0x2e, "ucomi"), COMPARE(0x2f, "comi"),

	[0x51] = PFX(W0(FULL4("sqrtps", ER)), W1(FULL8("sqrtpd", ER)),
		W0(Z3F("sqrtss", 4, 4, ONE | ER)), W1(Z3F("sqrtsd", 8, 8, ONE | ER))),
	FP_BITS(0x54, "and", 0) FP_BITS(0x55, "andn", 0) FP_BITS(0x56, "or", 0) FP_BITS(0x57, "xor", 0)
	FP(0x58, "add", ER) FP(0x59, "mul", ER) FP(0x5c, "sub", ER) FP(0x5d, "min", SAE)
	FP(0x5e, "div", ER) FP(0x5f, "max", SAE)
	[0x5a] = PFX(W0(HALF("cvtps2pd", SAE)), W1(FULL8("cvtpd2ps", ER)),
		W0(Z3F("cvtss2sd", 4, 4, ONE | SAE)), W1(Z3F("cvtsd2ss", 8, 8, ONE | ER))),
	[0x5b] = PFX(BY_W(FULL4("cvtdq2ps", ER), FULL8("cvtqq2ps", ER)), W0(FULL4("cvtps2dq", ER)),
		W0(FULL4("cvttps2dq", SAE))),

	B3W(0x60, "punpcklbw") H3W(0x61, "punpcklwd") D3W(0x62, "punpckldq") B3W(0x63, "packsswb")
	[0x64] = P66(K3("pcmpgtb", VL, 1, 0)), [0x65] = P66(K3("pcmpgtw", VL, 2, 0)),
	[0x66] = P66(W0(K3("pcmpgtd", VL, 4, BC))),
	B3W(0x67, "packuswb") B3W(0x68, "punpckhbw") H3W(0x69, "punpckhwd") D3W(0x6a, "punpckhdq")
	D3W(0x6b, "packssdw") Q3W(0x6c, "punpcklqdq") Q3W(0x6d, "punpckhqdq")
	[0x6e] = P66(EROW("movd", 0, WHOLE, 4, Vx, Ey(READ), L0)),
	[0x6f] = PFX(NONE, BY_W(Z2A("movdqa32", 4), Z2A("movdqa64", 8)),
		BY_W(Z2("movdqu32", VL, 4, 0), Z2("movdqu64", VL, 8, 0)),
		BY_W(Z2("movdqu8", VL, 1, 0), Z2("movdqu16", VL, 2, 0))),

	[0x70] = PFX(NONE, W0(Z2("pshufd", VL, 4, BC | WHOLE, Ib)), Z2("pshufhw", VL, 2, WHOLE, Ib),
		Z2("pshuflw", VL, 2, WHOLE, Ib)),
	[0x71] = P66(REG(NONE, NONE, SHIFT("psrlw", 2, 0), NONE, SHIFT("psraw", 2, 0), NONE,
		SHIFT("psllw", 2, 0))),
	[0x72] = P66(REG(BY_W(SHIFT("prord", 4, BC), SHIFT("prorq", 8, BC)),
		BY_W(SHIFT("prold", 4, BC), SHIFT("prolq", 8, BC)), W0(SHIFT("psrld", 4, BC)), NONE,
		BY_W(SHIFT("psrad", 4, BC), SHIFT("psraq", 8, BC)), NONE, W0(SHIFT("pslld", 4, BC)))),
	[0x73] = P66(REG(NONE, NONE, W1(SHIFT("psrlq", 8, BC)), SHIFT_DQ("psrldq"), NONE, NONE,
		W1(SHIFT("psllq", 8, BC)), SHIFT_DQ("pslldq"))),
	[0x74] = P66(K3("pcmpeqb", VL, 1, 0)), [0x75] = P66(K3("pcmpeqw", VL, 2, 0)),
	[0x76] = P66(W0(K3("pcmpeqd", VL, 4, BC))),
	[0x78] = PFX(BY_W(FULL4("cvttps2udq", SAE), FULL8("cvttpd2udq", SAE)),
		BY_W(HALF("cvttps2uqq", SAE), FULL8("cvttpd2uqq", SAE)),
		TO_GPR("cvttss2usi", 4, SAE), TO_GPR("cvttsd2usi", 8, SAE)),
	[0x79] = PFX(BY_W(FULL4("cvtps2udq", ER), FULL8("cvtpd2udq", ER)),
		BY_W(HALF("cvtps2uqq", ER), FULL8("cvtpd2uqq", ER)),
		TO_GPR("cvtss2usi", 4, ER), TO_GPR("cvtsd2usi", 8, ER)),
	[0x7a] = PFX(NONE, BY_W(HALF("cvttps2qq", SAE), FULL8("cvttpd2qq", SAE)),
		BY_W(Z2("cvtudq2pd", VL2, 4, BC | ER), FULL8("cvtuqq2pd", ER)),
		BY_W(FULL4("cvtudq2ps", ER), FULL8("cvtuqq2ps", ER))),
	[0x7b] = PFX(NONE, BY_W(HALF("cvtps2qq", ER), FULL8("cvtpd2qq", ER)),
		FROM_GPR("cvtusi2ss", IA_FAULTS, ER),
		BY_W(FROM_GPR("cvtusi2sd", 0, ER), FROM_GPR("cvtusi2sd", IA_FAULTS, ER))),
	[0x7e] = PFX(NONE, EROW("movd", 0, WHOLE, 4, Vx, Ey(WRITE), L0),
		W1(EROW("movq", 0, WHOLE, 8, Vx, W_(READ, 8), L0))),
	[0x7f] = PFX(NONE, BY_W(ZSTA("movdqa32", 4), ZSTA("movdqa64", 8)),
		BY_W(ZST("movdqu32", VL, 4, 0), ZST("movdqu64", VL, 8, 0)),
		BY_W(ZST("movdqu8", VL, 1, 0), ZST("movdqu16", VL, 2, 0))),

	[0xc2] = PFX(W0(K3F("cmpps", VL, 4, BC | SAE, Ib)), W1(K3F("cmppd", VL, 8, BC | SAE, Ib)),
		W0(K3F("cmpss", 4, 4, ONE | SAE, Ib)), W1(K3F("cmpsd", 8, 8, ONE | SAE, Ib))),
	[0xc4] = P66(EROW("pinsrw", IA_VEXW_NOGPR, WHOLE, 2, Vx, Hx, E_(READ, 2), Ib, L0)),
	[0xc5] = P66(EROW("pextrw", IA_RM_REG | IA_VEXW_NOGPR, 0, 0, Gv, Ux, Ib, L0)),
	[0xc6] = PFX(W0(Z3("shufps", VL, 4, BC | WHOLE, Ib)), W1(Z3("shufpd", VL, 8, BC | WHOLE, Ib))),

	[0xd1] = P66(COUNT("psrlw", 2)), [0xd2] = P66(W0(COUNT("psrld", 4))),
	[0xd3] = P66(W1(COUNT("psrlq", 8))),
	Q3(0xd4, "paddq") H3(0xd5, "pmullw")
	[0xd6] = P66(W1(EROW("movq", 0, WHOLE, 8, Vx, W_(WRITE, 8), L0))),
	B3(0xd8, "psubusb") H3(0xd9, "psubusw") B3(0xda, "pminub") B3(0xdc, "paddusb")
	[0xdb] = P66(DQ3("pand", 0)),
	H3(0xdd, "paddusw") B3(0xde, "pmaxub")
	[0xdf] = P66(DQ3("pandn", 0)),
	B3(0xe0, "pavgb") H3(0xe3, "pavgw") H3(0xe4, "pmulhuw") H3(0xe5, "pmulhw")
	[0xe1] = P66(COUNT("psraw", 2)),
	[0xe2] = P66(BY_W(COUNT("psrad", 4), COUNT("psraq", 8))),
	[0xe6] = PFX(NONE, W1(FULL8("cvttpd2dq", SAE)),
		BY_W(Z2("cvtdq2pd", VL2, 4, BC | ER), FULL8("cvtqq2pd", ER)), W1(FULL8("cvtpd2dq", ER))),
	[0xe7] = P66(W0(NT("movntdq"))),
	B3(0xe8, "psubsb") H3(0xe9, "psubsw") H3(0xea, "pminsw")
	[0xeb] = P66(DQ3("por", 0)),
	B3(0xec, "paddsb") H3(0xed, "paddsw") H3(0xee, "pmaxsw")
	[0xef] = P66(DQ3("pxor", 0)),
	[0xf1] = P66(COUNT("psllw", 2)), [0xf2] = P66(W0(COUNT("pslld", 4))),
	[0xf3] = P66(W1(COUNT("psllq", 8))),
	Q3(0xf4, "pmuludq") H3W(0xf5, "pmaddwd")
	[0xf6] = P66(N3("psadbw", VL, 1)),
	B3(0xf8, "psubb") H3(0xf9, "psubw") D3(0xfa, "psubd") Q3(0xfb, "psubq")
	B3(0xfc, "paddb") H3(0xfd, "paddw") D3(0xfe, "paddd")
};
