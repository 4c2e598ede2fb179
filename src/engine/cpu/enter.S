/* SPDX-License-Identifier: MIT */
/*
 * The border between C and generated code.
 *
 * code_enter(target, area) loads the guest's registers and jumps to generated code; generated code comes
 * back by `lea r10, [record]; jmp code_leave`, and code_enter returns that record's address. There
 * are no nested calls: generated code never calls C.
 *
 * Guest registers are in the host registers of the same name, but rsp is in r11, r9 and r10 are
 * scratch, and guest r9-r11 are in the frame at the host's rsp (layout.h). gs points to struct cpu. The host's rsp stays a valid
 * stack pointer throughout, so signal handlers may run at any point.
 *
 * area: NULL, or an xsave area between which and the host's registers vector state moves on each
 * passage (builds whose C code uses vector registers).
 */
#include "engine/cpu/layout.h"

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
	push rsi
	sub rsp, FRAME_SIZE
	mov gs:[CPU_HOST_RSP], rsp
	mov gs:[CPU_SCRATCH(SLOT_TARGET)], rdi
	test rsi, rsi
	jz 1f
	mov rcx, rsi
	mov eax, 7
	xor edx, edx
	xrstor64 [rcx]
1:
	mov rax, gs:[CPU_RFLAGS]
	mov ecx, eax
	and ecx, FLAG_IF
	mov gs:[CPU_IFLAG], ecx
	mov rcx, rax
	and rcx, ~SYS_FLAGS_DROP
	mov gs:[CPU_SYS_FLAGS], rcx
	and eax, HOST_FLAGS
	or eax, 2
	push rax
	popfq
	mov rax, gs:[CPU_GPR(9)]
	mov [rsp + FRAME_GPR(9)], rax
	mov rax, gs:[CPU_GPR(10)]
	mov [rsp + FRAME_GPR(10)], rax
	mov rax, gs:[CPU_GPR(11)]
	mov [rsp + FRAME_GPR(11)], rax
	mov rax, gs:[CPU_GPR(0)]
	mov rcx, gs:[CPU_GPR(1)]
	mov rdx, gs:[CPU_GPR(2)]
	mov rbx, gs:[CPU_GPR(3)]
	mov r11, gs:[CPU_GPR(4)]
	mov rbp, gs:[CPU_GPR(5)]
	mov rsi, gs:[CPU_GPR(6)]
	mov rdi, gs:[CPU_GPR(7)]
	mov r8, gs:[CPU_GPR(8)]
	mov r12, gs:[CPU_GPR(12)]
	mov r13, gs:[CPU_GPR(13)]
	mov r14, gs:[CPU_GPR(14)]
	mov r15, gs:[CPU_GPR(15)]
	jmp qword ptr gs:[CPU_SCRATCH(SLOT_TARGET)]

	.globl code_leave
	.hidden code_leave
	.type code_leave, @function
code_leave:
	mov gs:[CPU_SCRATCH(SLOT_RECORD)], r10
	mov gs:[CPU_GPR(0)], rax
	mov gs:[CPU_GPR(1)], rcx
	mov gs:[CPU_GPR(2)], rdx
	mov gs:[CPU_GPR(3)], rbx
	mov gs:[CPU_GPR(4)], r11
	mov gs:[CPU_GPR(5)], rbp
	mov gs:[CPU_GPR(6)], rsi
	mov gs:[CPU_GPR(7)], rdi
	mov gs:[CPU_GPR(8)], r8
	mov gs:[CPU_GPR(12)], r12
	mov gs:[CPU_GPR(13)], r13
	mov gs:[CPU_GPR(14)], r14
	mov gs:[CPU_GPR(15)], r15
	mov rax, [rsp + FRAME_GPR(9)]
	mov gs:[CPU_GPR(9)], rax
	mov rax, [rsp + FRAME_GPR(10)]
	mov gs:[CPU_GPR(10)], rax
	mov rax, [rsp + FRAME_GPR(11)]
	mov gs:[CPU_GPR(11)], rax
	pushfq
	pop rax
	cld
	and eax, HOST_FLAGS
	mov rcx, gs:[CPU_RFLAGS]
	and rcx, ~(HOST_FLAGS | FLAG_IF)
	or rcx, rax
	mov eax, gs:[CPU_IFLAG]
	or rcx, rax
	mov gs:[CPU_RFLAGS], rcx
	mov rsp, gs:[CPU_HOST_RSP]
	add rsp, FRAME_SIZE
	pop rcx
	test rcx, rcx
	jz 1f
	mov eax, 7
	xor edx, edx
	xsave64 [rcx]
	mov dword ptr gs:[CPU_SCRATCH(SLOT_MXCSR)], 0x1f80
	ldmxcsr gs:[CPU_SCRATCH(SLOT_MXCSR)]
	fninit
1:
	mov rax, gs:[CPU_SCRATCH(SLOT_RECORD)]
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret
	.cfi_endproc
	.size code_enter, . - code_enter

	.section .note.GNU-stack, "", @progbits
