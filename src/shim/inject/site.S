/* SPDX-License-Identifier: MIT */
/*
 * From a rewritten call site to who answers, and back: see site.h.
 *
 * r11 points to the site's struct slot_data, gs to the thread; all else is the program's, flags and stack
 * included. The kernel's own calls are sent on to it by instructions that change no flag.
 *
 * Signals are not blocked here. One that comes while rsp is in the thread's block is held: it is sent
 * again, all are blocked, and T_HELD says so (inject_edge(), inject_signal_inside()). Whoever is past that
 * question is put back to it, as long as rsp is ours.
 */
#include <asm/prctl.h>
#include <sys/syscall.h>

#include "shim/inject/layout.h"

	.intel_syntax noprefix
	.text

	.macro GLOBAL name
	.globl \name
	.hidden \name
\name:
	.endm

	GLOBAL inject_site
	mov gs:[T_SITE], r11
	mov eax, eax
	mov r11d, CALL_CLASSES_LOG
	shrx ecx, eax, r11d
	jrcxz 1f
	jmp site_slow
1:
	mov rcx, gs:[T_CLASSES]
	movzx ecx, byte ptr [rcx + rax]
	jrcxz site_pass
	lea rcx, [rcx - 1]
	jrcxz site_slow
	jmp site_work

site_pass:
	mov r11, gs:[T_SITE]
	mov r11, [r11 + DATA_RESUME]
	mov gs:[T_RET], r11
	jmp qword ptr gs:[T_PASS]

	/* Comes to us by SIGSYS. */
site_slow:
	syscall
	GLOBAL inject_site_slow
	ud2

site_work:
	mov gs:[T_SITE_RSP], rsp
	mov rsp, gs:[T_SITE_STACK]
	pushfq
	pop qword ptr [rsp + UC_RFLAGS]
	cld
	mov [rsp + UC_R8], r8
	mov [rsp + UC_R8 + 8], r9
	mov [rsp + UC_R8 + 16], r10
	mov [rsp + UC_R8 + 32], r12
	mov [rsp + UC_R8 + 40], r13
	mov [rsp + UC_R8 + 48], r14
	mov [rsp + UC_R8 + 56], r15
	mov [rsp + UC_RDI], rdi
	mov [rsp + UC_RDI + 8], rsi
	mov [rsp + UC_RDI + 16], rbp
	mov [rsp + UC_RDI + 24], rbx
	mov [rsp + UC_RDI + 32], rdx
	mov [rsp + UC_RDI + 40], rax
	mov rbx, rsp
	and rbx, -BLOCK_SIZE
	mov rax, [rbx + T_SITE_RSP]
	mov [rsp + UC_RSP], rax
	mov rax, [rbx + T_SITE]
	mov rax, [rax + DATA_SHOWN]
	mov [rsp + UC_RIP], rax
	mov rdi, rbx
	mov rsi, rsp
	call inject_site_check
	cmp eax, SITE_SERVE
	jne decided

	/* Of the header it leaves most as it was, and xrstor wants zeros there. */
	xor edx, edx
	.irp word, 1, 2, 3, 4, 5, 6, 7
	mov [rsp + SITE_XSAVE + 512 + 8 * \word], rdx
	.endr
	mov eax, [rbx + T_XMASK]
	cmp byte ptr [rbx + T_XSAVEC], 0
	je 1f
	xsavec64 [rsp + SITE_XSAVE]
	jmp 2f
1:
	xsave64 [rsp + SITE_XSAVE]
2:
	mov byte ptr [rbx + T_SELECTOR], 0
	mov rsi, [rbx + T_OUR_FS]
	cmp byte ptr [rbx + T_FS_CALLS], 0
	jne 1f
	rdfsbase rax
	mov [rbx + T_PROGRAM_FS], rax
	wrfsbase rsi
	jmp 2f
1:
	mov edi, ARCH_SET_FS
	mov eax, SYS_arch_prctl
	syscall
2:
	mov byte ptr [rbx + T_INSIDE], 1
	mov rdi, rbx
	mov rsi, rsp
	call inject_site_serve
	mov ebp, eax
	mov byte ptr [rbx + T_INSIDE], 0
	mov rsi, [rbx + T_PROGRAM_FS]
	cmp byte ptr [rbx + T_FS_CALLS], 0
	jne 1f
	wrfsbase rsi
	jmp 2f
1:
	mov edi, ARCH_SET_FS
	mov eax, SYS_arch_prctl
	syscall
2:
	mov byte ptr [rbx + T_SELECTOR], 1
	mov eax, [rbx + T_XMASK]
	xor edx, edx
	xrstor64 [rsp + SITE_XSAVE]
	mov eax, ebp

decided:
	lea rcx, [rip + site_slow]
	lea rdx, [rip + site_pass]
	cmp eax, SITE_PASS
	cmove rcx, rdx
	lea rdx, [rip + inject_site_done]
	cmp eax, SITE_DONE
	cmove rcx, rdx
	mov [rbx + T_NEXT], rcx

	/* A signal that comes between here and inject_site_jump comes back here. */
	GLOBAL inject_site_check_held
	mov rsp, gs:[T_SITE_STACK]
	cmp dword ptr gs:[T_HELD], 0
	jne held
	cmp dword ptr gs:[T_EDGE], 0
	jne held
	push qword ptr [rsp + UC_RFLAGS]
	popfq
	.macro REGISTERS_BACK
	mov r8, [rsp + UC_R8]
	mov r9, [rsp + UC_R8 + 8]
	mov r10, [rsp + UC_R8 + 16]
	mov r12, [rsp + UC_R8 + 32]
	mov r13, [rsp + UC_R8 + 40]
	mov r14, [rsp + UC_R8 + 48]
	mov r15, [rsp + UC_R8 + 56]
	mov rdi, [rsp + UC_RDI]
	mov rsi, [rsp + UC_RDI + 8]
	mov rbp, [rsp + UC_RDI + 16]
	mov rbx, [rsp + UC_RDI + 24]
	mov rdx, [rsp + UC_RDI + 32]
	mov rax, [rsp + UC_RDI + 40]
	mov rsp, [rsp + UC_RSP]
	.endm
	REGISTERS_BACK
	GLOBAL inject_site_jump
	jmp qword ptr gs:[T_NEXT]

	GLOBAL inject_site_done
	mov r11, gs:[T_SITE]
	jmp qword ptr [r11 + DATA_RESUME]
	GLOBAL inject_site_done_end

	/* All is done but for the signals: SIGSYS brings us to release() with the registers as they shall be. */
held:
	push qword ptr [rsp + UC_RFLAGS]
	popfq
	REGISTERS_BACK
	syscall
	GLOBAL inject_site_held
	ud2
	GLOBAL inject_site_end

	.section .note.GNU-stack, "", @progbits
