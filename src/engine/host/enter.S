/* SPDX-License-Identifier: MIT */
/*
 * The border between C and generated code.
 *
 * code_enter(cpu, target, area) loads the guest's registers and jumps to generated code; generated code comes
 * back by `lea r10, [record]; jmp code_leave`, and code_enter returns that record's address. There
 * are no nested calls: generated code never calls C.
 *
 * Guest registers are in the host registers of the same name, but rsp is in r11, r9 and r10 are
 * scratch, and guest r9-r11 are in cpu->frame. The host's rsp points to struct cpu, which has a stack below it
 * (layout.h), so signal handlers may run at any point.
 *
 * r9 is cpu->rip on the way in: what a look-up in the jump table would have left there.
 *
 * area: NULL, or an xsave area between which and the host's registers vector state moves on each
 * passage (builds whose C code uses vector registers).
 */
#include "engine/core/layout.h"

#define XSTATE_MASK 0xe7 /* XSTATE_OFFERED */

	.intel_syntax noprefix
	.text

	.globl code_enter
	.hidden code_enter
	.type code_enter, @function
code_enter:
	.cfi_startproc
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	push rdx
	mov [rdi + CPU_HOST_RSP], rsp
	mov rsp, rdi
	mov [rsp + CPU_SCRATCH(SLOT_TARGET)], rsi
	test rdx, rdx
	jz 1f
	mov rcx, rdx
	mov eax, XSTATE_MASK
	xor edx, edx
	xrstor64 [rcx]
1:
	mov rax, [rsp + CPU_RFLAGS]
	mov ecx, eax
	and ecx, FLAG_IF
	mov [rsp + CPU_IFLAG], ecx
	mov rcx, rax
	and rcx, ~SYS_FLAGS_DROP
	mov [rsp + CPU_SYS_FLAGS], rcx
	and eax, HOST_FLAGS
	or eax, 2
	push rax
	popfq
	mov rax, [rsp + CPU_GPR(9)]
	mov [rsp + FRAME_GPR(9)], rax
	mov rax, [rsp + CPU_GPR(10)]
	mov [rsp + FRAME_GPR(10)], rax
	mov rax, [rsp + CPU_GPR(11)]
	mov [rsp + FRAME_GPR(11)], rax
	mov rax, [rsp + CPU_GPR(0)]
	mov rcx, [rsp + CPU_GPR(1)]
	mov rdx, [rsp + CPU_GPR(2)]
	mov rbx, [rsp + CPU_GPR(3)]
	mov r9, [rsp + CPU_RIP]
	mov r11, [rsp + CPU_GPR(4)]
	mov rbp, [rsp + CPU_GPR(5)]
	mov rsi, [rsp + CPU_GPR(6)]
	mov rdi, [rsp + CPU_GPR(7)]
	mov r8, [rsp + CPU_GPR(8)]
	mov r12, [rsp + CPU_GPR(12)]
	mov r13, [rsp + CPU_GPR(13)]
	mov r14, [rsp + CPU_GPR(14)]
	mov r15, [rsp + CPU_GPR(15)]
	jmp qword ptr [rsp + CPU_SCRATCH(SLOT_TARGET)]

	.globl code_leave
	.hidden code_leave
	.type code_leave, @function
code_leave:
	mov [rsp + CPU_SCRATCH(SLOT_RECORD)], r10
	mov [rsp + CPU_GPR(0)], rax
	mov [rsp + CPU_GPR(1)], rcx
	mov [rsp + CPU_GPR(2)], rdx
	mov [rsp + CPU_GPR(3)], rbx
	mov [rsp + CPU_GPR(4)], r11
	mov [rsp + CPU_GPR(5)], rbp
	mov [rsp + CPU_GPR(6)], rsi
	mov [rsp + CPU_GPR(7)], rdi
	mov [rsp + CPU_GPR(8)], r8
	mov [rsp + CPU_GPR(12)], r12
	mov [rsp + CPU_GPR(13)], r13
	mov [rsp + CPU_GPR(14)], r14
	mov [rsp + CPU_GPR(15)], r15
	mov rax, [rsp + FRAME_GPR(9)]
	mov [rsp + CPU_GPR(9)], rax
	mov rax, [rsp + FRAME_GPR(10)]
	mov [rsp + CPU_GPR(10)], rax
	mov rax, [rsp + FRAME_GPR(11)]
	mov [rsp + CPU_GPR(11)], rax
	pushfq
	pop rax
	cld
	and eax, HOST_FLAGS
	mov rcx, [rsp + CPU_RFLAGS]
	and rcx, ~(HOST_FLAGS | FLAG_IF)
	or rcx, rax
	mov eax, [rsp + CPU_IFLAG]
	or rcx, rax
	mov [rsp + CPU_RFLAGS], rcx
	mov rdi, rsp
	mov rsp, [rdi + CPU_HOST_RSP]
	pop rcx
	test rcx, rcx
	jz 1f
	mov eax, XSTATE_MASK
	xor edx, edx
	xsave64 [rcx]
	mov dword ptr [rdi + CPU_SCRATCH(SLOT_MXCSR)], 0x1f80
	ldmxcsr [rdi + CPU_SCRATCH(SLOT_MXCSR)]
	fninit
1:
	mov rax, [rdi + CPU_SCRATCH(SLOT_RECORD)]
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret
	.cfi_endproc
	.size code_enter, . - code_enter

/* call_on(stack_top, fn, arg): fn(arg) on another stack. */
	.globl call_on
	.hidden call_on
	.type call_on, @function
call_on:
	.cfi_startproc
	push rbp
	.cfi_def_cfa_offset 16
	.cfi_offset rbp, -16
	mov rbp, rsp
	.cfi_def_cfa_register rbp
	mov rsp, rdi
	mov rdi, rdx
	call rsi
	leave
	.cfi_def_cfa rsp, 8
	ret
	.cfi_endproc
	.size call_on, . - call_on

	.section .note.GNU-stack, "", @progbits
