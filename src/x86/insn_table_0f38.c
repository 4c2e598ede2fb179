/* SPDX-License-Identifier: MIT */
/*
 * The 0F38 and 0F3A opcode maps in their legacy encoding (SDM volume 2, appendix A, tables A-4 and
 * SSSE3, SSE4, AES, PCLMULQDQ, SHA, GFNI, movbe, crc32, adcx.
 */
#include "x86/insn_table.h"
#include "x86/insn_vector.h"

/* clang-format off */

#define XA(n, ...) ROW(n, NATIVE, A_SSE | IA_ALIGN, Vx, W_(READ, 16), ##__VA_ARGS__)
/* SDM 2 says that these need alignment, AMD's processors do not care. */
#define SHA(n, ...) PFX(ROW(n, NATIVE, A_SSE | IA_FAULTS | IA_ALIGN_INTEL, Vx, W_(READ, 16), ##__VA_ARGS__))
#define XAF(n, ...) ROW(n, NATIVE, A_SSE | IA_ALIGN | IA_FAULTS, Vx, W_(READ, 16), ##__VA_ARGS__)
#define XS(n, s, ...) ROW(n, NATIVE, A_SSE, Vx, W_(READ, s), ##__VA_ARGS__)
#define XSF(n, s, ...) ROW(n, NATIVE, A_SSE | IA_FAULTS, Vx, W_(READ, s), ##__VA_ARGS__)
#define MM(n, ...) ROW(n, NATIVE, A_MMX, Pq, Q_(READ, 8), ##__VA_ARGS__)
#define P66(row) PFX(NONE, row)

#define BOTH(o, n) [o] = PFX(MM(n), XA(n)),
#define ONLY66(o, n) [o] = P66(XA(n)),
#define ONLY66_IMM(o, n) [o] = P66(XA(n, Ib)),
#define EXTEND(o, n, bytes, fraction) [o] = P66(XS(n, bytes)),

/* Stores of one element; a register destination is a general one, zero-extended. */
#define EXTRACT(n, s, attr) P66(ROW(n, NATIVE, A_SSE | (attr), Vx, E_(WRITE, s), Ib))
#define INSERT(n, s, attr) P66(ROW(n, NATIVE, A_SSE | (attr), Vx, E_(READ, s), Ib))

/* SDM 2: PCMPESTRI; no alignment rule for its operand */
#define STRCMP(n, regs, attr) \
	P66(ROW(n, NATIVE, A_SSE | (attr), Vx, W_(READ, 16), Ib, IMPL(regs), F_ARITH))

#define MOVBE(m) ROW("movbe", NATIVE, A_M | IA_RM_MEM, Gv, MEM_(m, OP))
#define ADD_CARRY(n, flag) ROW(n, NATIVE, A_M | IA_OP48, Gv, Ey(READ), F_READ(flag), F_ALWAYS(flag, 0))

const struct insn_desc insn_legacy_0f38[256] = {
	LIST_SSSE3(BOTH) LIST_PABS(BOTH) LIST_SSE41(ONLY66)
	LIST_EXTEND(EXTEND, 0x20, "pmovsx") LIST_EXTEND(EXTEND, 0x30, "pmovzx")
	[0x10] = P66(XA("pblendvb")),
	[0x14] = P66(XA("blendvps")),
	[0x15] = P66(XA("blendvpd")),
	[0x17] = P66(XA("ptest", F_ARITH)),
	[0x2a] = P66(ROW("movntdqa", NATIVE, A_SSE | IA_ALIGN | IA_RM_MEM, Vx, MEM_(READ, 16))),
	[0x41] = P66(XA("phminposuw")),
	[0x82] = P66(ROW("invpcid", INVPCID, A_M | A_CPL0 | IA_FORCE64 | IA_OP48 | IA_RM_MEM,
		Gv, MEM_(READ, 16))),
	[0xc8] = SHA("sha1nexte"),
	[0xc9] = SHA("sha1msg1"),
	[0xca] = SHA("sha1msg2"),
	[0xcb] = SHA("sha256rnds2"),
	[0xcc] = SHA("sha256msg1"),
	[0xcd] = SHA("sha256msg2"),
	[0xcf] = P66(XA("gf2p8mulb")),
	[0xdb] = P66(XA("aesimc")),
	/* crc32: 66 is operand size beside F2; the destination is 32 bits, or 64 with REX.W */
	[0xf0] = PFX(MOVBE(READ), MOVBE(READ), NONE, ROW("crc32", NATIVE, A_MB, Gv, Eb(READ))),
	[0xf1] = PFX(MOVBE(WRITE), MOVBE(WRITE), NONE, ROW("crc32", NATIVE, A_M, Gv, Ev(READ))),
	[0xf6] = PFX(NONE, ADD_CARRY("adcx", FL_CF), ADD_CARRY("adox", FL_OF)),
};

const struct insn_desc insn_legacy_0f3a[256] = {
	LIST_IMM(ONLY66_IMM)
	[0x08] = P66(XAF("roundps", Ib)),
	[0x09] = P66(XAF("roundpd", Ib)),
	[0x0a] = P66(XSF("roundss", 4, Ib)),
	[0x0b] = P66(XSF("roundsd", 8, Ib)),
	[0x0f] = PFX(MM("palignr", Ib), XA("palignr", Ib)),
	[0x14] = EXTRACT("pextrb", 1, IA_VEXW_NOGPR),
	[0x15] = EXTRACT("pextrw", 2, IA_VEXW_NOGPR),
	[0x16] = EXTRACT("pextrd", OP48, 0),
	[0x17] = EXTRACT("extractps", 4, IA_VEXW_NOGPR),
	[0x20] = INSERT("pinsrb", 1, IA_VEXW_NOGPR),
	[0x21] = P66(XS("insertps", 4, Ib)),
	[0x22] = INSERT("pinsrd", OP48, 0),
	[0x40] = P66(XAF("dpps", Ib)),
	[0x41] = P66(XAF("dppd", Ib)),
	[0x60] = STRCMP("pcmpestrm", rAX | rDX, IA_IMPL),
	[0x61] = STRCMP("pcmpestri", rAX | rDX | rCX, IA_IMPL),
	[0x62] = STRCMP("pcmpistrm", 0, 0),
	[0x63] = STRCMP("pcmpistri", rCX, IA_IMPL),
	[0xcc] = SHA("sha1rnds4", Ib),
	[0xce] = P66(XA("gf2p8affineqb", Ib)),
	[0xcf] = P66(XA("gf2p8affineinvqb", Ib)),
	[0xdf] = P66(XA("aeskeygenassist", Ib)),
};
