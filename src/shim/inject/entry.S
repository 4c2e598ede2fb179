/* SPDX-License-Identifier: MIT */
/*
 * The borders between the program and us.
 *
 * A signal is the only way in: the kernel saves the program's registers on our stack and comes to
 * inject_entry with fs still the program's. rt_sigreturn is the only way out. Asynchronous signals
 * are blocked all the time between; the four that faults raise are not, so that one sent by kill()
 * can arrive at any instruction here: where fs is not ours yet, or no more, it is only noted. (The other way
 * in is site.S, where nothing is blocked.)
 *
 * Where the processor cannot set fs without the kernel (T_FS_CALLS), the program's is known from its own
 * calls, and what can be decided without ours is (inject_forward()).
 */
#include <asm/prctl.h>
#include <sys/syscall.h>

#include "shim/inject/layout.h"

	.intel_syntax noprefix
	.text

	/* To rsi. System calls must be ours. */
	.macro SET_FS
	mov edi, ARCH_SET_FS
	mov eax, SYS_arch_prctl
	syscall
	.endm

	/* edi: signal, rsi: siginfo, rdx: struct context. */
	.globl inject_entry
	.hidden inject_entry
	.type inject_entry, @function
inject_entry:
	mov rcx, rsp
	and rcx, -BLOCK_SIZE
	cmp byte ptr [rcx + T_INSIDE], 0
	jne inside
	mov rax, [rdx + UC_RSP]
	sub rax, rcx
	cmp rax, BLOCK_SIZE
	jb edge
	mov rbx, rcx
	sub rsp, 8
	cmp byte ptr [rbx + T_FS_CALLS], 0
	jne fs_calls
	rdfsbase rax
	mov [rbx + T_PROGRAM_FS], rax
	mov rax, [rbx + T_OUR_FS]
	wrfsbase rax
	mov byte ptr [rbx + T_SELECTOR], 0
work:
	mov byte ptr [rbx + T_INSIDE], 1
	call inject_signal
	/* rbx: thread, rsp: 16 below the context. */
resume:
	mov byte ptr [rbx + T_INSIDE], 0
	mov rsi, [rbx + T_PROGRAM_FS]
	cmp byte ptr [rbx + T_FS_CALLS], 0
	jne 1f
	wrfsbase rsi
	jmp back
1:
	SET_FS
back:
	mov byte ptr [rbx + T_SELECTOR], 1
	add rsp, 16
	lea rax, [rbx + GADGETS + GADGET_RETURN]
	jmp rax

fs_calls:
	mov ebp, edi
	mov r12, rsi
	mov r13, rdx
	call inject_forward
	test al, al
	jnz back
	mov byte ptr [rbx + T_SELECTOR], 0
	mov rsi, [rbx + T_OUR_FS]
	SET_FS
	mov edi, ebp
	mov rsi, r12
	mov rdx, r13
	mov rcx, rbx
	jmp work

	/* While we work: a fault, which is the engine's, or inject_copy()'s, or our mistake. */
inside:
	sub rsp, 8
	call inject_signal_inside
	add rsp, 16
	mov eax, 15
	syscall
	ud2

edge:
	mov rbx, rcx
	sub rsp, 8
	call inject_edge
	add rsp, 16
	lea rax, [rbx + GADGETS + GADGET_RETURN]
	jmp rax
	.size inject_entry, . - inject_entry

	/* Never reached by a return: the kernel's handlers need some restorer. */
	.globl inject_restorer
	.hidden inject_restorer
	.type inject_restorer, @function
inject_restorer:
	mov eax, 15
	syscall
	ud2
	.size inject_restorer, . - inject_restorer

	/* inject_enter(thread, context): comes back by inject_leave(thread). */
	.globl inject_enter
	.hidden inject_enter
	.type inject_enter, @function
inject_enter:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	mov [rdi + T_HOME], rsp
	mov rbx, rdi
	lea rsp, [rsi - 16]
	jmp resume
	.size inject_enter, . - inject_enter

	.globl inject_leave
	.hidden inject_leave
	.type inject_leave, @function
inject_leave:
	mov rsp, [rdi + T_HOME]
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret
	.size inject_leave, . - inject_leave

	/* After a detour's system call: not in the gadgets, so that it is dispatched to us. */
	.globl inject_finish
	.hidden inject_finish
	.globl inject_finished
	.hidden inject_finished
inject_finish:
	syscall
inject_finished:
	ud2

	/*
	 * inject_clone(flags, stack, run, arg): clone() whose child calls run(arg) on that stack.
	 * The child must not return from it.
	 */
	.globl inject_clone
	.hidden inject_clone
	.type inject_clone, @function
inject_clone:
	mov r8, rdx
	mov r9, rcx
	xor edx, edx
	xor r10d, r10d
	mov eax, 56
	mov [rsi - 8], r8
	mov [rsi - 16], r9
	syscall
	test rax, rax
	jz 1f
	ret
1:
	xor ebp, ebp
	mov rax, [rsp - 8]
	mov rdi, [rsp - 16]
	sub rsp, 32
	and rsp, -16
	call rax
	ud2
	.size inject_clone, . - inject_clone

	/* inject_copy(to, from, bytes): how many were not copied, because there is no memory. */
	.globl inject_copy
	.hidden inject_copy
	.globl inject_copy_at
	.hidden inject_copy_at
	.globl inject_copy_out
	.hidden inject_copy_out
	.type inject_copy, @function
inject_copy:
	mov rcx, rdx
inject_copy_at:
	rep movsb
inject_copy_out:
	mov rax, rcx
	ret
	.size inject_copy, . - inject_copy

	.section .note.GNU-stack, "", @progbits
