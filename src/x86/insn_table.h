/* SPDX-License-Identifier: MIT */
/*
 * The decoder's tables and the vocabulary that their rows are written in. Private to src/x86.
 *
 * A table is indexed by opcode byte. Its rows are instructions, or inner nodes, which say by what
 * bits of the selector word (enum insn_key) sub is indexed next. A row left out is all zero, that is
 * OP_UD. Operand names follow the SDM, volume 2, appendix A.2: E and G are
 * ModRM.rm and ModRM.reg as general registers, W/V vector, Q/P MMX, H and B VEX.vvvv, I immediate.
 */
/* clang-format off */
#ifndef X86_INSN_TABLE_H
#define X86_INSN_TABLE_H

#include "x86/insn.h"
#include "x86/regs.h"

/* What can decide between instructions beyond the opcode byte, packed so that a node needs no switch. */
enum insn_key {
	KEY_RM = 0, /* modrm.rm */
	KEY_REG = 3, /* modrm.reg */
	KEY_MOD = 6, /* r/m is a register; next to reg, so that both can index one array */
	KEY_PFX = 7, /* mandatory prefix, F2/F3 before 66: 0 none, 1 66, 2 F3, 3 F2 */
	KEY_W = 9, /* REX.W, VEX.W or EVEX.W */
	KEY_L = 10, /* VEX.L; EVEX: the vector length is more than 16 */
	KEY_B = 11, /* REX.B */
	KEY_64 = 12, /* 64-bit mode */
	KEY_MODRM = 0x7f, /* those that come from ModRM */
};

/* A node: next is sub[(key >> node_shift) & node_mask]. Only the decoder looks at these fields. */
#define OP_NODE    0xff
#define node_shift mem
#define node_mask  msize
_Static_assert(OP_COUNT < OP_NODE, "an op would be taken for a node");

extern const struct insn_desc insn_legacy[256], insn_legacy_0f[256], insn_legacy_0f38[256],
	insn_legacy_0f3a[256], insn_vex_0f[256], insn_vex_0f38[256], insn_vex_0f3a[256],
	insn_evex_0f[256], insn_evex_0f38[256], insn_evex_0f3a[256];
extern const struct insn_desc insn_x87[8][16]; /* D8-DF, as for MODREG() */

/* ---- rows and nodes ---- */

#define ROW(name_, op_, attr_, ...) {.name = name_, .op = OP_##op_, .attr = (attr_), ##__VA_ARGS__}
#define NODE_(shift, mask, rows) {.op = OP_NODE, .node_shift = shift, .node_mask = mask, .sub = rows}
#define NODE(shift, mask, n, ...) NODE_(shift, mask, ((const struct insn_desc[n]){__VA_ARGS__}))
#define REG(...)      NODE(KEY_REG, 7, 8, __VA_ARGS__)
#define MODREG(...)   NODE(KEY_REG, 15, 16, __VA_ARGS__) /* eight memory forms, eight register forms */
#define RM(...)       NODE(KEY_RM, 7, 8, __VA_ARGS__)
#define MOD(...)      NODE(KEY_MOD, 1, 2, __VA_ARGS__) /* memory, register */
#define PFX(...)      NODE(KEY_PFX, 3, 4, __VA_ARGS__) /* none, 66, F3, F2 */
#define BY_W(...)     NODE(KEY_W, 1, 2, __VA_ARGS__)
#define BY_L(...)     NODE(KEY_L, 1, 2, __VA_ARGS__)
#define BY_B(...)     NODE(KEY_B, 1, 2, __VA_ARGS__)
#define BY_64(...)    NODE(KEY_64, 1, 2, __VA_ARGS__)
#define PAIR(...)     NODE(0, 0, 2, __VA_ARGS__) /* a row and its CK_COUNT companion */
#define REG_PAIR(...) NODE(KEY_REG - 1, 14, 16, __VA_ARGS__) /* eight such pairs */
#define NONE        {.op = OP_UD}

/* ---- operands ---- */

#define MEM_(m, s) .mem = MEM_##m, .msize = MS_##s
#define Eb(m)      .rm = RK_GPR8, MEM_(m, 1)
#define Ev(m)      .rm = RK_GPR, MEM_(m, OP)
#define Ey(m)      .rm = RK_GPR, MEM_(m, OP48)
#define E_(m, s)   .rm = RK_GPR, MEM_(m, s)
#define W_(m, s)   .rm = RK_VEC, MEM_(m, s)
#define Q_(m, s)   .rm = RK_MMX, MEM_(m, s)
#define Gb         .reg = RK_GPR8
#define Gv         .reg = RK_GPR
#define Vx         .reg = RK_VEC
#define Pq         .reg = RK_MMX
#define Hx         .vvvv = RK_VEC
#define By         .vvvv = RK_GPR
#define Ux         .rm = RK_VEC
#define Nq         .rm = RK_MMX
#define Kr         .reg = RK_MASK /* opmask registers */
#define Km         .rm = RK_MASK
#define Kv         .vvvv = RK_MASK
#define Ry         .rm = RK_GPR
#define Ib         .imm = IMM_8
#define Ibs        .imm = IMM_8S
#define Iw         .imm = IMM_16
#define Iz         .imm = IMM_Z
#define CK(bits)   .check = (bits)
#define IMPL(regs) .impl_regs = (regs)
#define rAX        BIT(RAX)
#define rCX        BIT(RCX)
#define rDX        BIT(RDX)
#define rBX        BIT(RBX)
#define rBP        BIT(RBP)
#define rSI        BIT(RSI)
#define rDI        BIT(RDI)

/* ---- flags ---- */

#define F_READ(r)       .flags_read = (r)
#define F_ALWAYS(w, u)  .flags_written = (w) | (u), .flags_always = (w) | (u), .flags_undefined = (u)
#define F_MAYBE(w, u)   .flags_written = (w) | (u), .flags_undefined = (u)
#define F_ARITH         F_ALWAYS(FL_STATUS, 0)
#define F_LOGIC         F_ALWAYS(FL_STATUS, FL_AF)
#define F_NOT_CF        (FL_STATUS & ~FL_CF)

/* Flags that condition code cc depends on, SDM 1: appendix B. */
#define CC_FLAGS(cc) (\
	(cc) >> 1 == 0 ? FL_OF : (cc) >> 1 == 1 ? FL_CF : (cc) >> 1 == 2 ? FL_ZF : \
	(cc) >> 1 == 3 ? FL_CF | FL_ZF : (cc) >> 1 == 4 ? FL_SF : (cc) >> 1 == 5 ? FL_PF : \
	(cc) >> 1 == 6 ? FL_SF | FL_OF : FL_SF | FL_OF | FL_ZF)

/* ---- attributes that go together ---- */

#define A_M     IA_MODRM
#define A_MB    (IA_MODRM | IA_BYTE)
#define A_SSE   (IA_MODRM | IA_SSE | IA_OP48)
#define A_MMX   (IA_MODRM | IA_MMX | IA_OP48 | IA_FAULTS /* pending x87 exception */)
#define A_SSEMMX (A_MMX | IA_SSE)
#define A_AVX   (IA_MODRM | IA_AVX | IA_REALUD | IA_OP48)
#define A_EVEX  (A_AVX | IA_AVX512)
#define A_BMI   (IA_MODRM | IA_REALUD | IA_OP48)
#define A_CPL0  IA_CPL0
#define A_NEAR  IA_FORCE64

#endif
