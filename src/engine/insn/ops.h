/* SPDX-License-Identifier: MIT */
/*
 * Handlers of the instructions that the host must not execute as they stand, one per enum insn_op. See "How an instruction ends" in cpu.h.
 *
 * On entry cpu->rip is the instruction's address and cpu->next_rip the following one (truncated to
 * the code size). The privilege, mode, and FPU/SSE/AVX availability checks that insn_desc.attr
 * describes have been made by step(). A handler that transfers control sets cpu->next_rip, a cs load
 * included; step() copies it to rip after CPU_OK and clears the interrupt shadow that was in force
 * before the instruction.
 */
#ifndef ENGINE_INSN_OPS_H
#define ENGINE_INSN_OPS_H

#include "engine/core/cpu.h"

/*
 * ops_stack.c; ops_branch.c: near transfers; ops_far.c, ops_iret.c, ops_syscall.c: far ones; ops_int.c; ops_string.c, ops_io.c;
 * ops_system.c, ops_cr.c, ops_dtable.c, ops_hypercall.c; ops_segment.c; ops_misc.c; ops_fpustate.c, ops_x87env.c, ops_vecmem.c;
 * step.c: what is no business of the engine's.
 */
#define INSN_OP(op, handler, generator, needs, class, intercept)                                   \
	int op_##handler(struct cpu *cpu, const struct insn *in);
#include "x86/insn_ops.def"
#undef INSN_OP

#endif
