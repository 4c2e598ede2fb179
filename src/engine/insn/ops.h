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

#define OP(name) int op_##name(struct cpu *cpu, const struct insn *in)

/* ops_stack.c */
/* clang-format off */
OP(push_reg); OP(push_imm); OP(push_rm); OP(push_seg); OP(pop_reg); OP(pop_rm); OP(pop_seg);
OP(pusha); OP(popa); OP(pushf); OP(popf); OP(enter); OP(leave);
/* ops_branch.c: near transfers */
OP(jcc); OP(jmp_rel); OP(jmp_rm); OP(call_rel); OP(call_rm); OP(ret); OP(loop); OP(jcxz);
/* ops_far.c, ops_iret.c, ops_syscall.c: far transfers */
OP(jmp_far_imm); OP(jmp_far_m); OP(call_far_imm); OP(call_far_m); OP(ret_far); OP(iret);
OP(syscall); OP(sysret); OP(sysenter); OP(sysexit);
/* ops_int.c */
OP(int3); OP(int_imm); OP(into); OP(int1);
/* ops_string.c, ops_io.c */
OP(movs); OP(cmps); OP(stos); OP(lods); OP(scas); OP(ins); OP(outs);
OP(in_imm); OP(in_dx); OP(out_imm); OP(out_dx);
/* ops_system.c, ops_cr.c, ops_dtable.c, ops_hypercall.c */
OP(cli); OP(sti); OP(clac); OP(stac); OP(hlt); OP(cpuid); OP(rdmsr); OP(wrmsr); OP(rdtsc);
OP(rdtscp); OP(rdpmc); OP(rdpid); OP(mov_from_cr); OP(mov_to_cr); OP(mov_from_dr);
OP(mov_to_dr); OP(clts); OP(lmsw); OP(smsw); OP(lgdt); OP(lidt); OP(sgdt); OP(sidt);
OP(invlpg); OP(invpcid); OP(invd); OP(wbinvd); OP(swapgs); OP(rdfsbase); OP(rdgsbase);
OP(wrfsbase); OP(wrgsbase); OP(xgetbv); OP(xsetbv); OP(monitor); OP(mwait); OP(vmcall);
OP(vmmcall); OP(rsm);
/* ops_segment.c */
OP(lldt); OP(sldt); OP(ltr); OP(str); OP(lar); OP(lsl); OP(verr); OP(verw); OP(arpl);
OP(mov_from_seg); OP(mov_to_seg); OP(load_far);
/* ops_misc.c */
OP(mov_moffs); OP(xlat); OP(bt_mem); OP(bcd); OP(bound); OP(salc); OP(inc_dec_short); OP(clflush);
/* ops_fpustate.c, ops_vecmem.c */
OP(fnstenv); OP(fldenv); OP(fnsave); OP(frstor); OP(fxsave); OP(fxrstor); OP(xsave); OP(xsaveopt);
OP(xsavec); OP(xsaves); OP(xrstor); OP(xrstors); OP(maskmov); OP(maskmovdqu); OP(gather); OP(vzero);
/* clang-format on */
#undef OP

#endif
