/* SPDX-License-Identifier: MIT */
/*
 * x87: D8-DF. The first eight rows of each opcode are the memory forms, the other eight the
 * register forms (SDM volume 2, appendix A.5). The host executes all of them but the four that load
 * or store the environment, whose instruction and data pointers would be the host's.
 *
 * Every form but the non-waiting control ones reports a pending exception (#MF) when executed.
 */
#include "x86/insn_table.h"

/* clang-format off */

#define A_FPU    (IA_MODRM | IA_X87 | IA_FAULTS)
#define A_FPU_NW (IA_MODRM | IA_X87) /* non-waiting */
#define FM(n, m, s) ROW(n, NATIVE, A_FPU, MEM_(m, s))
#define FR(n, ...)  ROW(n, NATIVE, A_FPU, .rm = RK_X87, ##__VA_ARGS__)
#define F0(n, ...)  ROW(n, NATIVE, A_FPU, ##__VA_ARGS__)

#define F_COMPARE .flags_written = FL_STATUS, .flags_always = FL_ZF | FL_PF | FL_CF

#define ARITH_MEM(prefix, suffix, s) \
	FM(prefix "add" suffix, READ, s), FM(prefix "mul" suffix, READ, s), \
	FM(prefix "com" suffix, READ, s), FM(prefix "comp" suffix, READ, s), \
	FM(prefix "sub" suffix, READ, s), FM(prefix "subr" suffix, READ, s), \
	FM(prefix "div" suffix, READ, s), FM(prefix "divr" suffix, READ, s)

#define FCMOV(n, flags) FR(n, F_READ(flags))

const struct insn_desc insn_x87[8][16] = {
	[0] = {ARITH_MEM("f", "", 4),
		FR("fadd"), FR("fmul"), FR("fcom"), FR("fcomp"),
		FR("fsub"), FR("fsubr"), FR("fdiv"), FR("fdivr")},
	[1] = {FM("fld", READ, 4), NONE, FM("fst", WRITE, 4), FM("fstp", WRITE, 4),
		ROW("fldenv", FLDENV, A_FPU, MEM_(READ, STATE)),
		FM("fldcw", READ, 2),
		ROW("fnstenv", FNSTENV, A_FPU_NW, MEM_(WRITE, STATE)),
		ROW("fnstcw", NATIVE, A_FPU_NW, MEM_(WRITE, 2)),
		FR("fld"), FR("fxch"), RM(F0("fnop")), FR("fstp"),
		RM(F0("fchs"), F0("fabs"), NONE, NONE, F0("ftst"), F0("fxam")),
		RM(F0("fld1"), F0("fldl2t"), F0("fldl2e"), F0("fldpi"),
			F0("fldlg2"), F0("fldln2"), F0("fldz")),
		RM(F0("f2xm1"), F0("fyl2x"), F0("fptan"), F0("fpatan"),
			F0("fxtract"), F0("fprem1"), F0("fdecstp"), F0("fincstp")),
		RM(F0("fprem"), F0("fyl2xp1"), F0("fsqrt"), F0("fsincos"),
			F0("frndint"), F0("fscale"), F0("fsin"), F0("fcos"))},
	[2] = {ARITH_MEM("fi", "", 4),
		FCMOV("fcmovb", FL_CF), FCMOV("fcmove", FL_ZF), FCMOV("fcmovbe", FL_CF | FL_ZF),
		FCMOV("fcmovu", FL_PF), NONE, RM(NONE, F0("fucompp"))},
	[3] = {FM("fild", READ, 4), FM("fisttp", WRITE, 4), FM("fist", WRITE, 4),
		FM("fistp", WRITE, 4), NONE, FM("fld", READ, 10), NONE, FM("fstp", WRITE, 10),
		FCMOV("fcmovnb", FL_CF), FCMOV("fcmovne", FL_ZF), FCMOV("fcmovnbe", FL_CF | FL_ZF),
		FCMOV("fcmovnu", FL_PF),
		/* E0, E1 and E4 controlled the 8087 and 80287; they have no effect now. */
		RM(ROW("fneni", NATIVE, A_FPU_NW), ROW("fndisi", NATIVE, A_FPU_NW),
			ROW("fnclex", NATIVE, A_FPU_NW), ROW("fninit", NATIVE, A_FPU_NW),
			ROW("fnsetpm", NATIVE, A_FPU_NW)),
		FR("fucomi", F_COMPARE), FR("fcomi", F_COMPARE)},
	[4] = {ARITH_MEM("f", "", 8),
		FR("fadd"), FR("fmul"), FR("fcom2"), FR("fcomp3"),
		FR("fsubr"), FR("fsub"), FR("fdivr"), FR("fdiv")},
	[5] = {FM("fld", READ, 8), FM("fisttp", WRITE, 8), FM("fst", WRITE, 8),
		FM("fstp", WRITE, 8),
		ROW("frstor", FRSTOR, A_FPU, MEM_(READ, STATE)), NONE,
		ROW("fnsave", FNSAVE, A_FPU_NW, MEM_(WRITE, STATE)),
		ROW("fnstsw", NATIVE, A_FPU_NW, MEM_(WRITE, 2)),
		FR("ffree"), FR("fxch4"), FR("fst"), FR("fstp"), FR("fucom"), FR("fucomp")},
	[6] = {ARITH_MEM("fi", "", 2),
		FR("faddp"), FR("fmulp"), FR("fcomp5"), RM(NONE, F0("fcompp")),
		FR("fsubrp"), FR("fsubp"), FR("fdivrp"), FR("fdivp")},
	[7] = {FM("fild", READ, 2), FM("fisttp", WRITE, 2), FM("fist", WRITE, 2),
		FM("fistp", WRITE, 2), FM("fbld", READ, 10), FM("fild", READ, 8),
		FM("fbstp", WRITE, 10), FM("fistp", WRITE, 8),
		FR("ffreep"), FR("fxch7"), FR("fstp8"), FR("fstp9"),
		RM(ROW("fnstsw", NATIVE, A_FPU_NW | IA_IMPL, IMPL(rAX))),
		FR("fucomip", F_COMPARE), FR("fcomip", F_COMPARE)},
};
