/* SPDX-License-Identifier: MIT */
#ifndef ENGINE_INSN_NATIVE_H
#define ENGINE_INSN_NATIVE_H

#include "engine/core/cpu.h"

/* Stubs by instruction form: operands' registers, opcode and immediate, but not address and displacement. */
struct native_key {
	u64 form, imm;
};
#define NATIVE_ENTRIES 2048
struct native_stub {
	struct native_key key;
	const u8 *code; /* executable view; NULL: empty */
	u8 borrowed;
};
struct native_cache {
	struct native_stub stub[NATIVE_ENTRIES];
};

/*
 * Execute one OP_NATIVE-like instruction on the host with the guest's registers, flags and vector state. If
 * it has a memory operand, the host accesses mem (or nothing, when mem is NULL, for register forms).
 * CPU_FAULT with #DE, #XM, #MF, #GP or #UD if it faulted.
 */
int native_exec(struct cpu *cpu, const struct insn *in, void *mem);

#endif
