/* SPDX-License-Identifier: MIT */
/*
 * The vocabulary of the EVEX tables. A row says beside its operands what the prefix may say of it (EV_*) and how large
 * an element of its memory operand is. Most may have an opmask and zero what it masks out; letters behind the number of
 * operands tell what differs.
 */
/* clang-format off */
#ifndef X86_INSN_EVEX_H
#define X86_INSN_EVEX_H

#include "x86/insn_table.h"

#define MZ    (EV_MASK | EV_ZERO)
#define BC    EV_BROADCAST
#define ER    EV_ROUND
#define SAE   EV_SAE
#define ONE   EV_SCALAR
#define WHOLE EV_WHOLE /* exception classes named NF */

#define P66(row) PFX(NONE, row)
#define W0(row)  BY_W(row)
#define W1(row)  BY_W(NONE, row)
#define L0 CK(CK_L0)
#define L1 CK(CK_L1) /* 32 or 64 bytes */
#define L2 CK(CK_L2)

/* name, size of the memory operand, of its element, EV_* */
#define EROW(n, attr, ev, el, ...) ROW("v" n, NATIVE, A_EVEX | (attr), .evex = (ev), .element = (el), ##__VA_ARGS__)
#define Z3(n, s, el, ev, ...)  EROW(n, 0, MZ | (ev), el, Vx, Hx, W_(READ, s), ##__VA_ARGS__)
#define Z3F(n, s, el, ev, ...) EROW(n, IA_FAULTS, MZ | (ev), el, Vx, Hx, W_(READ, s), ##__VA_ARGS__)
#define Z2(n, s, el, ev, ...)  EROW(n, 0, MZ | (ev), el, Vx, W_(READ, s), ##__VA_ARGS__)
#define Z2F(n, s, el, ev, ...) EROW(n, IA_FAULTS, MZ | (ev), el, Vx, W_(READ, s), ##__VA_ARGS__)
#define Z2A(n, el)             EROW(n, IA_ALIGN, MZ, el, Vx, W_(READ, VL))
#define Z2M(n, s, el, ev, ...) EROW(n, IA_RM_MEM, MZ | (ev), el, Vx, MEM_(READ, s), ##__VA_ARGS__)
#define ZST(n, s, el, ev, ...) EROW(n, 0, MZ | (ev), el, Vx, W_(WRITE, s), ##__VA_ARGS__)
#define ZSTA(n, el)            EROW(n, IA_ALIGN, MZ, el, Vx, W_(WRITE, VL))
/* to an opmask register */
#define K3(n, s, el, ev, ...)  EROW(n, 0, EV_MASK | (ev), el, Kr, Hx, W_(READ, s), ##__VA_ARGS__)
#define K3F(n, s, el, ev, ...) EROW(n, IA_FAULTS, EV_MASK | (ev), el, Kr, Hx, W_(READ, s), ##__VA_ARGS__)
#define K2(n, s, el, ev, ...)  EROW(n, 0, EV_MASK | (ev), el, Kr, W_(READ, s), ##__VA_ARGS__)
/* without opmask */
#define N3(n, s, el, ...)      EROW(n, 0, WHOLE, el, Vx, Hx, W_(READ, s), ##__VA_ARGS__)
#define N3M(n, s, ...)         EROW(n, IA_RM_MEM, WHOLE, s, Vx, Hx, MEM_(READ, s), ##__VA_ARGS__)
#define NSTM(n, s, ...)        EROW(n, IA_RM_MEM, WHOLE, s, Vx, MEM_(WRITE, s), ##__VA_ARGS__)
#define NT(n)                  EROW(n, IA_ALIGN | IA_RM_MEM, WHOLE, 1, Vx, MEM_(WRITE, VL))
#define TO_GPR(n, s, ev)       EROW(n, IA_FAULTS, ONE | WHOLE | (ev), s, Gv, W_(READ, s))
#define FROM_GPR(n, attr, ev)  EROW(n, attr, ONE | WHOLE | (ev), 4, Vx, Hx, Ey(READ))
#define MASK_TO_VEC(n)         EROW(n, IA_RM_REG, 0, 0, Vx, Km)
#define VEC_TO_MASK(n)         EROW(n, IA_RM_REG, 0, 0, Kr, Ux)

/* one of 4 and one of 8 bytes: d and q, ps and pd, ss and sd */
#define DQ3(n, ev, ...)   BY_W(Z3(n "d", VL, 4, BC | (ev), ##__VA_ARGS__), Z3(n "q", VL, 8, BC | (ev), ##__VA_ARGS__))
#define DQ2(n, ev, ...)   BY_W(Z2(n "d", VL, 4, BC | (ev), ##__VA_ARGS__), Z2(n "q", VL, 8, BC | (ev), ##__VA_ARGS__))
#define PSD3(n, ev, ...)  BY_W(Z3(n "ps", VL, 4, BC | (ev), ##__VA_ARGS__), Z3(n "pd", VL, 8, BC | (ev), ##__VA_ARGS__))
#define PSD3F(n, ev, ...) BY_W(Z3F(n "ps", VL, 4, BC | (ev), ##__VA_ARGS__), Z3F(n "pd", VL, 8, BC | (ev), ##__VA_ARGS__))
#define PSD2(n, ev, ...)  BY_W(Z2(n "ps", VL, 4, BC | (ev), ##__VA_ARGS__), Z2(n "pd", VL, 8, BC | (ev), ##__VA_ARGS__))
#define PSD2F(n, ev, ...) BY_W(Z2F(n "ps", VL, 4, BC | (ev), ##__VA_ARGS__), Z2F(n "pd", VL, 8, BC | (ev), ##__VA_ARGS__))
#define SSD3(n, ev, ...)  BY_W(Z3(n "ss", 4, 4, ONE | (ev), ##__VA_ARGS__), Z3(n "sd", 8, 8, ONE | (ev), ##__VA_ARGS__))
#define SSD3F(n, ev, ...) BY_W(Z3F(n "ss", 4, 4, ONE | (ev), ##__VA_ARGS__), Z3F(n "sd", 8, 8, ONE | (ev), ##__VA_ARGS__))
/* one of 1 and one of 2 bytes */
#define BW3(n, ev, ...)   BY_W(Z3(n "b", VL, 1, ev, ##__VA_ARGS__), Z3(n "w", VL, 2, ev, ##__VA_ARGS__))

#endif
