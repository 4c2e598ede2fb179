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

#endif
