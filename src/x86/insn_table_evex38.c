/* SPDX-License-Identifier: MIT */
/*
 * The EVEX maps 0F38 and 0F3A (SDM volume 2, the instruction pages): AVX-512 F, VL, BW, DQ, CD, IFMA, VBMI, VBMI2, VNNI,
 * BITALG, VPOPCNTDQ, BF16, and the EVEX forms of GFNI, VAES and VPCLMULQDQ. ER, PF, 4FMAPS, 4VNNIW, VP2INTERSECT and FP16
 * are absent.
 */
#include "x86/insn_evex.h"

/* clang-format off */

#define BYTES(n, ev)     P66(Z3(n, VL, 1, ev))
#define WORDS(n, ev)     P66(Z3(n, VL, 2, ev))
#define DWORDS(n, ev)    W0(Z3(n, VL, 4, BC | (ev)))
#define QWORDS(n, ev)    W1(Z3(n, VL, 8, BC | (ev)))
/* without prefix F3 wider elements, with it narrower ones, which may be stored */
#define EXTEND(n, s, el) Z2(n, s, el, 0)
#define NARROW(n, s, el) W0(ZST(n, s, el, 0))
#define EXTEND_(o, n, u) \
	[(o) + 0] = PFX(NONE, EXTEND(n "bw", VL2, 1), NARROW("pmov" u "wb", VL2, 1)), \
	[(o) + 1] = PFX(NONE, EXTEND(n "bd", VL4, 1), NARROW("pmov" u "db", VL4, 1)), \
	[(o) + 2] = PFX(NONE, EXTEND(n "bq", VL8, 1), NARROW("pmov" u "qb", VL8, 1)), \
	[(o) + 3] = PFX(NONE, EXTEND(n "wd", VL2, 2), NARROW("pmov" u "dw", VL2, 2)), \
	[(o) + 4] = PFX(NONE, EXTEND(n "wq", VL4, 2), NARROW("pmov" u "qw", VL4, 2)), \
	[(o) + 5] = PFX(NONE, W0(EXTEND(n "dq", VL2, 4)), NARROW("pmov" u "qd", VL2, 4))
/* of one element, or a few, to all places */
#define SPREAD(n, s, el, ...)  Z2(n, s, el, 0, ##__VA_ARGS__)
#define SPREAD_M(n, s, el, ck) Z2M(n, s, el, 0, ck)
#define SPREAD_GPR(n)          EROW(n, IA_RM_REG, MZ, 0, Vx, Ry)
#define PACKED_LOAD(n, el) MOD( \
	ROW("v" n, EXPAND, A_EVEX, .evex = MZ, .element = (el), Vx, MEM_(READ, VL)), \
	EROW(n, 0, MZ, el, Vx, Ux))
#define PACKED_STORE(n, el) MOD( \
	ROW("v" n, COMPRESS, A_EVEX, .evex = EV_MASK, .element = (el), Vx, MEM_(WRITE, VL)), \
	EROW(n, 0, MZ, el, Vx, Ux))
#define PACKED(o, n, nd, nq, kind) [o] = P66(BY_W(kind(n nd, 4), kind(n nq, 8)))
/* W selects the element; the index is the address's */
#define GATHER(n)  P66(BY_W(GATHER_(n, 4), GATHER_(n, 8)))
#define GATHER_(n, el) ROW("v" n, GATHER, A_EVEX | IA_RM_MEM, \
	.evex = EV_MASK | EV_NEEDS, .element = (el), Vx, MEM_(READ, el))
#define SCATTER(n) P66(BY_W(SCATTER_(n, 4), SCATTER_(n, 8)))
#define SCATTER_(n, el) ROW("v" n, SCATTER, A_EVEX | IA_RM_MEM, \
	.evex = EV_MASK | EV_NEEDS, .element = (el), Vx, MEM_(WRITE, el))
#define FMA_PACKED(o, n) [o] = P66(PSD3F(n, ER))
#define FMA_SCALAR(o, n) [o] = P66(SSD3F(n, ER))
#define FMA(o, order) \
	FMA_PACKED((o) + 0, "fmaddsub" order), FMA_PACKED((o) + 1, "fmsubadd" order), \
	FMA_PACKED((o) + 2, "fmadd" order), FMA_SCALAR((o) + 3, "fmadd" order), \
	FMA_PACKED((o) + 4, "fmsub" order), FMA_SCALAR((o) + 5, "fmsub" order), \
	FMA_PACKED((o) + 6, "fnmadd" order), FMA_SCALAR((o) + 7, "fnmadd" order), \
	FMA_PACKED((o) + 8, "fnmsub" order), FMA_SCALAR((o) + 9, "fnmsub" order)
#define AES(n) P66(N3(n, VL, 1))

const struct insn_desc insn_evex_0f38[256] = {
	[0x00] = BYTES("pshufb", WHOLE), [0x04] = WORDS("pmaddubsw", WHOLE), [0x0b] = WORDS("pmulhrsw", 0),
	[0x0c] = P66(W0(Z3("permilps", VL, 4, BC | WHOLE))),
	[0x0d] = P66(W1(Z3("permilpd", VL, 8, BC | WHOLE))),
	[0x10] = PFX(NONE, W1(Z3("psrlvw", VL, 2, 0)), NARROW("pmovuswb", VL2, 1)),
	[0x11] = PFX(NONE, W1(Z3("psravw", VL, 2, 0)), NARROW("pmovusdb", VL4, 1)),
	[0x12] = PFX(NONE, W1(Z3("psllvw", VL, 2, 0)), NARROW("pmovusqb", VL8, 1)),
	[0x13] = PFX(NONE, W0(Z2F("cvtph2ps", VL2, 2, SAE)), NARROW("pmovusdw", VL2, 2)),
	[0x14] = PFX(NONE, DQ3("prorv", 0), NARROW("pmovusqw", VL4, 2)),
	[0x15] = PFX(NONE, DQ3("prolv", 0), NARROW("pmovusqd", VL2, 4)),
	[0x16] = P66(PSD3("perm", WHOLE, L1)),
	[0x18] = P66(W0(SPREAD("broadcastss", 4, 4))),
	[0x19] = P66(BY_W(SPREAD("broadcastf32x2", 8, 4, L1), SPREAD("broadcastsd", 8, 8, L1))),
	[0x1a] = P66(BY_W(SPREAD_M("broadcastf32x4", 16, 4, L1), SPREAD_M("broadcastf64x2", 16, 8, L1))),
	[0x1b] = P66(BY_W(SPREAD_M("broadcastf32x8", 32, 4, L2), SPREAD_M("broadcastf64x4", 32, 8, L2))),
	[0x1c] = P66(Z2("pabsb", VL, 1, 0)), [0x1d] = P66(Z2("pabsw", VL, 2, 0)),
	[0x1e] = P66(W0(Z2("pabsd", VL, 4, BC))), [0x1f] = P66(W1(Z2("pabsq", VL, 8, BC))),
	EXTEND_(0x20, "pmovsx", "s"),
	[0x26] = PFX(NONE, BY_W(K3("ptestmb", VL, 1, 0), K3("ptestmw", VL, 2, 0)),
		BY_W(K3("ptestnmb", VL, 1, 0), K3("ptestnmw", VL, 2, 0))),
	[0x27] = PFX(NONE, BY_W(K3("ptestmd", VL, 4, BC), K3("ptestmq", VL, 8, BC)),
		BY_W(K3("ptestnmd", VL, 4, BC), K3("ptestnmq", VL, 8, BC))),
	[0x28] = PFX(NONE, QWORDS("pmuldq", 0), BY_W(MASK_TO_VEC("pmovm2b"), MASK_TO_VEC("pmovm2w"))),
	[0x29] = PFX(NONE, W1(K3("pcmpeqq", VL, 8, BC)),
		BY_W(VEC_TO_MASK("pmovb2m"), VEC_TO_MASK("pmovw2m"))),
	[0x2a] = PFX(NONE, W0(EROW("movntdqa", IA_ALIGN | IA_RM_MEM, WHOLE, 1, Vx, MEM_(READ, VL))),
		W1(MASK_TO_VEC("pbroadcastmb2q"))),
	[0x2b] = P66(DWORDS("packusdw", WHOLE)),
	[0x2c] = P66(PSD3F("scalef", ER)), [0x2d] = P66(SSD3F("scalef", ER)),
	EXTEND_(0x30, "pmovzx", ""),
	[0x36] = P66(DQ3("perm", WHOLE, L1)),
	[0x37] = P66(W1(K3("pcmpgtq", VL, 8, BC))),
	[0x38] = PFX(NONE, Z3("pminsb", VL, 1, 0), BY_W(MASK_TO_VEC("pmovm2d"), MASK_TO_VEC("pmovm2q"))),
	[0x39] = PFX(NONE, DQ3("pmins", 0), BY_W(VEC_TO_MASK("pmovd2m"), VEC_TO_MASK("pmovq2m"))),
	[0x3a] = PFX(NONE, Z3("pminuw", VL, 2, 0), W0(MASK_TO_VEC("pbroadcastmw2d"))),
	[0x3b] = P66(DQ3("pminu", 0)), [0x3c] = BYTES("pmaxsb", 0), [0x3d] = P66(DQ3("pmaxs", 0)),
	[0x3e] = WORDS("pmaxuw", 0), [0x3f] = P66(DQ3("pmaxu", 0)),
	[0x40] = P66(DQ3("pmull", 0)),
	[0x42] = P66(PSD2F("getexp", SAE)), [0x43] = P66(SSD3F("getexp", SAE)),
	[0x44] = P66(DQ2("plzcnt", 0)),
	[0x45] = P66(DQ3("psrlv", 0)), [0x46] = P66(DQ3("psrav", 0)), [0x47] = P66(DQ3("psllv", 0)),
	[0x4c] = P66(PSD2("rcp14", 0)), [0x4d] = P66(SSD3("rcp14", 0)),
	[0x4e] = P66(PSD2("rsqrt14", 0)), [0x4f] = P66(SSD3("rsqrt14", 0)),
	[0x50] = P66(DWORDS("pdpbusd", 0)), [0x51] = P66(DWORDS("pdpbusds", 0)),
	[0x52] = PFX(NONE, DWORDS("pdpwssd", 0), DWORDS("dpbf16ps", 0)),
	[0x53] = P66(DWORDS("pdpwssds", 0)),
	[0x54] = P66(BY_W(Z2("popcntb", VL, 1, 0), Z2("popcntw", VL, 2, 0))),
	[0x55] = P66(DQ2("popcnt", 0)),
	[0x58] = P66(W0(SPREAD("pbroadcastd", 4, 4))),
	[0x59] = P66(BY_W(SPREAD("broadcasti32x2", 8, 4), SPREAD("pbroadcastq", 8, 8))),
	[0x5a] = P66(BY_W(SPREAD_M("broadcasti32x4", 16, 4, L1), SPREAD_M("broadcasti64x2", 16, 8, L1))),
	[0x5b] = P66(BY_W(SPREAD_M("broadcasti32x8", 32, 4, L2), SPREAD_M("broadcasti64x4", 32, 8, L2))),
	[0x62] = P66(BY_W(PACKED_LOAD("pexpandb", 1), PACKED_LOAD("pexpandw", 2))),
	[0x63] = P66(BY_W(PACKED_STORE("pcompressb", 1), PACKED_STORE("pcompressw", 2))),
	[0x64] = P66(DQ3("pblendm", 0)), [0x65] = P66(PSD3("blendm", 0)), [0x66] = P66(BW3("pblendm", 0)),
	[0x70] = P66(W1(Z3("pshldvw", VL, 2, 0))), [0x71] = P66(DQ3("pshldv", 0)),
	[0x72] = PFX(NONE, W1(Z3("pshrdvw", VL, 2, 0)), W0(Z2("cvtneps2bf16", VL, 4, BC)),
		DWORDS("cvtne2ps2bf16", WHOLE)),
	[0x73] = P66(DQ3("pshrdv", 0)),
	[0x75] = P66(BW3("permi2", WHOLE)), [0x76] = P66(DQ3("permi2", WHOLE)),
	[0x77] = P66(PSD3("permi2", WHOLE)),
	[0x78] = P66(W0(SPREAD("pbroadcastb", 1, 1))), [0x79] = P66(W0(SPREAD("pbroadcastw", 2, 2))),
	[0x7a] = P66(W0(SPREAD_GPR("pbroadcastb"))), [0x7b] = P66(W0(SPREAD_GPR("pbroadcastw"))),
	[0x7c] = P66(SPREAD_GPR("pbroadcastd")),
	[0x7d] = P66(BW3("permt2", WHOLE)), [0x7e] = P66(DQ3("permt2", WHOLE)),
	[0x7f] = P66(PSD3("permt2", WHOLE)),
	[0x83] = P66(QWORDS("pmultishiftqb", WHOLE)),
	PACKED(0x88, "expand", "ps", "pd", PACKED_LOAD), PACKED(0x89, "pexpand", "d", "q", PACKED_LOAD),
	PACKED(0x8a, "compress", "ps", "pd", PACKED_STORE), PACKED(0x8b, "pcompress", "d", "q", PACKED_STORE),
	[0x8d] = P66(BW3("perm", WHOLE)),
	[0x8f] = P66(W0(K3("pshufbitqmb", VL, 1, 0))),
	[0x90] = GATHER("pgatherdd"), [0x91] = GATHER("pgatherqd"),
	[0x92] = GATHER("gatherdps"), [0x93] = GATHER("gatherqps"),
	[0xa0] = SCATTER("pscatterdd"), [0xa1] = SCATTER("pscatterqd"),
	[0xa2] = SCATTER("scatterdps"), [0xa3] = SCATTER("scatterqps"),
	FMA(0x96, "132"), FMA(0xa6, "213"), FMA(0xb6, "231"),
	[0xb4] = P66(QWORDS("pmadd52luq", 0)), [0xb5] = P66(QWORDS("pmadd52huq", 0)),
	[0xc4] = P66(DQ2("pconflict", WHOLE)),
	[0xcf] = P66(W0(Z3("gf2p8mulb", VL, 1, 0))),
	[0xdc] = AES("aesenc"), [0xdd] = AES("aesenclast"), [0xde] = AES("aesdec"), [0xdf] = AES("aesdeclast"),
};

/* ---- 0F3A ---- */

#define EXTRACT(n, s, el, ck)  ZST(n, s, el, WHOLE, Ib, ck)
#define INSERT(n, s, el, ck)   Z3(n, s, el, WHOLE, Ib, ck)
#define EXTRACT2(a, sa, b, sb, s, ck) P66(BY_W(EXTRACT(a, s, sa, ck), EXTRACT(b, s, sb, ck)))
#define INSERT2(a, sa, b, sb, s, ck)  P66(BY_W(INSERT(a, s, sa, ck), INSERT(b, s, sb, ck)))
#define EXTRACT_GPR(n, s, attr) P66(EROW(n, attr, WHOLE, 1, Vx, E_(WRITE, s), Ib, L0))
#define INSERT_GPR(n, s, attr)  P66(EROW(n, attr, WHOLE, 1, Vx, Hx, E_(READ, s), Ib, L0))

const struct insn_desc insn_evex_0f3a[256] = {
	[0x00] = P66(W1(Z2("permq", VL, 8, BC | WHOLE, Ib, L1))),
	[0x01] = P66(W1(Z2("permpd", VL, 8, BC | WHOLE, Ib, L1))),
	[0x03] = P66(DQ3("align", WHOLE, Ib)),
	[0x04] = P66(W0(Z2("permilps", VL, 4, BC | WHOLE, Ib))),
	[0x05] = P66(W1(Z2("permilpd", VL, 8, BC | WHOLE, Ib))),
	[0x08] = P66(W0(Z2F("rndscaleps", VL, 4, BC | SAE, Ib))),
	[0x09] = P66(W1(Z2F("rndscalepd", VL, 8, BC | SAE, Ib))),
	[0x0a] = P66(W0(Z3F("rndscaless", 4, 4, ONE | SAE, Ib))),
	[0x0b] = P66(W1(Z3F("rndscalesd", 8, 8, ONE | SAE, Ib))),
	[0x0f] = P66(Z3("palignr", VL, 1, WHOLE, Ib)),
	[0x14] = EXTRACT_GPR("pextrb", 1, IA_VEXW_NOGPR), [0x15] = EXTRACT_GPR("pextrw", 2, IA_VEXW_NOGPR),
	[0x16] = EXTRACT_GPR("pextrd", OP48, 0), [0x17] = EXTRACT_GPR("extractps", 4, IA_VEXW_NOGPR),
	[0x18] = INSERT2("insertf32x4", 4, "insertf64x2", 8, 16, L1),
	[0x19] = EXTRACT2("extractf32x4", 4, "extractf64x2", 8, 16, L1),
	[0x1a] = INSERT2("insertf32x8", 4, "insertf64x4", 8, 32, L2),
	[0x1b] = EXTRACT2("extractf32x8", 4, "extractf64x4", 8, 32, L2),
	[0x1d] = P66(W0(EROW("cvtps2ph", IA_FAULTS, MZ | SAE, 2, Vx, W_(WRITE, VL2), Ib))),
	[0x1e] = P66(BY_W(K3("pcmpud", VL, 4, BC, Ib), K3("pcmpuq", VL, 8, BC, Ib))),
	[0x1f] = P66(BY_W(K3("pcmpd", VL, 4, BC, Ib), K3("pcmpq", VL, 8, BC, Ib))),
	[0x20] = INSERT_GPR("pinsrb", 1, IA_VEXW_NOGPR),
	[0x21] = P66(W0(N3("insertps", 4, 4, Ib, L0))),
	[0x22] = INSERT_GPR("pinsrd", OP48, 0),
	[0x23] = P66(BY_W(Z3("shuff32x4", VL, 4, BC | WHOLE, Ib, L1), Z3("shuff64x2", VL, 8, BC | WHOLE, Ib, L1))),
	[0x25] = P66(DQ3("pternlog", 0, Ib)),
	[0x26] = P66(PSD2F("getmant", SAE, Ib)), [0x27] = P66(SSD3F("getmant", SAE, Ib)),
	[0x38] = INSERT2("inserti32x4", 4, "inserti64x2", 8, 16, L1),
	[0x39] = EXTRACT2("extracti32x4", 4, "extracti64x2", 8, 16, L1),
	[0x3a] = INSERT2("inserti32x8", 4, "inserti64x4", 8, 32, L2),
	[0x3b] = EXTRACT2("extracti32x8", 4, "extracti64x4", 8, 32, L2),
	[0x3e] = P66(BY_W(K3("pcmpub", VL, 1, 0, Ib), K3("pcmpuw", VL, 2, 0, Ib))),
	[0x3f] = P66(BY_W(K3("pcmpb", VL, 1, 0, Ib), K3("pcmpw", VL, 2, 0, Ib))),
	[0x42] = P66(W0(Z3("dbpsadbw", VL, 1, WHOLE, Ib))),
	[0x43] = P66(BY_W(Z3("shufi32x4", VL, 4, BC | WHOLE, Ib, L1), Z3("shufi64x2", VL, 8, BC | WHOLE, Ib, L1))),
	[0x44] = P66(N3("pclmulqdq", VL, 8, Ib)),
	[0x50] = P66(PSD3F("range", SAE, Ib)), [0x51] = P66(SSD3F("range", SAE, Ib)),
	[0x54] = P66(PSD3F("fixupimm", SAE, Ib)), [0x55] = P66(SSD3F("fixupimm", SAE, Ib)),
	[0x56] = P66(PSD2F("reduce", SAE, Ib)), [0x57] = P66(SSD3F("reduce", SAE, Ib)),
	[0x66] = P66(BY_W(K2("fpclassps", VL, 4, BC, Ib), K2("fpclasspd", VL, 8, BC, Ib))),
	[0x67] = P66(BY_W(K2("fpclassss", 4, 4, ONE, Ib), K2("fpclasssd", 8, 8, ONE, Ib))),
	[0x70] = P66(W1(Z3("pshldw", VL, 2, 0, Ib))), [0x71] = P66(DQ3("pshld", 0, Ib)),
	[0x72] = P66(W1(Z3("pshrdw", VL, 2, 0, Ib))), [0x73] = P66(DQ3("pshrd", 0, Ib)),
	[0xce] = P66(W1(Z3("gf2p8affineqb", VL, 8, BC | WHOLE, Ib))),
	[0xcf] = P66(W1(Z3("gf2p8affineinvqb", VL, 8, BC | WHOLE, Ib))),
};
