/* SPDX-License-Identifier: MIT */
/*
 * Re-encoding a guest instruction for the host: the same operation with its registers and its memory
 * operand where the engine keeps them. Shared by step (native.c) and translate.
 */
#ifndef ENGINE_CODE_REWRITE_H
#define ENGINE_CODE_REWRITE_H

#include "engine/code/emit.h"
#include "x86/insn.h"
#include "x86/regs.h"

/* Where the memory operand is. */
enum rewrite_mem {
	RW_NO_MEM,
	RW_MEM_R9,     /* at [r9] */
	RW_MEM_R9_R10, /* at [r9 + r10 + disp] */
};

/* The most that rewrite_insn() emits. */
#define REWRITE_MAX 96

/* A guest register that holds something else while the instruction runs; its value is in SLOT_BORROW. */
struct rewrite_result {
	u8 borrowed; /* REG_NONE: none */
	bool done;   /* false: this form cannot be re-encoded, nothing was emitted */
};

/* Emits it, with loads and stores of displaced registers around. Flags are as the instruction finds and leaves them. */
struct rewrite_result rewrite_insn(
	struct emit *e, const struct insn *in, enum rewrite_mem mem, s32 disp);

/* May it write this general register? No is certain, yes is not. reguse.c */
bool insn_may_write(const struct insn *in, unsigned reg);

/* Guest registers that do not live in the host register of the same number. */
static inline bool reg_displaced(unsigned guest)
{
	return guest >= R9 && guest <= R11;
}

#endif
