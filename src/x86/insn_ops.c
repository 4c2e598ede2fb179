/* SPDX-License-Identifier: MIT */
/* The columns of insn_ops.def that are facts of the architecture. */
#include "x86/insn.h"

const struct insn_op_info insn_op_info[OP_COUNT] = {
#define INSN_OP(op, handler, generator, needs, class_, intercept_)                                 \
	[OP_##op] = {.class = (class_), .intercept = INTERCEPT_##intercept_},
#include "x86/insn_ops.def"
#undef INSN_OP
};
