/* SPDX-License-Identifier: MIT */
/*
 * Into a case's instructions on the bare host, and back. Everything goes through the context page at a fixed
 * address, so no register is needed to find it.
 */
#include <asm/prctl.h>
#include <asm/unistd.h>

#include "insn/layout.h"

	.intel_syntax noprefix
	.text

#define C(x)   ds:[L_CONTEXT + x]
#define REG(x) ds:[L_CONTEXT + HC_REGS + x]

/* arch_prctl(rdi, rsi); changes rax, rcx, r11. */
arch_prctl:
	mov eax, __NR_arch_prctl
	syscall
	ret

/* The bases of fs and gs: to and from rdi and rsi. Change rax, rcx, rdx, r8, r11. */
read_bases:
	cmp byte ptr C(HC_FSGSBASE), 0
	je 1f
	rdfsbase rdi
	rdgsbase rsi
	ret
1:	sub rsp, 24
	mov edi, ARCH_GET_FS
	mov rsi, rsp
	call arch_prctl
	mov edi, ARCH_GET_GS
	lea rsi, [rsp + 8]
	call arch_prctl
	mov rdi, [rsp]
	mov rsi, [rsp + 8]
	add rsp, 24
	ret

write_bases:
	cmp byte ptr C(HC_FSGSBASE), 0
	je 1f
	wrfsbase rdi
	wrgsbase rsi
	ret
1:	mov r8, rsi
	mov rsi, rdi
	mov edi, ARCH_SET_FS
	call arch_prctl
	mov rsi, r8
	mov edi, ARCH_SET_GS
	jmp arch_prctl

	.globl host_enter
	.type host_enter, @function
host_enter:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	sub rsp, 8
	stmxcsr [rsp]
	fnstcw [rsp + 4]
	mov C(HC_HOST_RSP), rsp
	call read_bases
	mov C(HC_HOST_FS), rdi
	mov C(HC_HOST_GS), rsi
	mov eax, SEL_USER_DATA
	mov ds, eax
	mov es, eax
	mov eax, XSTATE_ALL
	xor edx, edx
	xrstor64 REG(R_XSAVE)
	mov rdi, REG(R_FS)
	mov rsi, REG(R_GS)
	call write_bases
	mov byte ptr C(HC_SELECTOR), 1
	mov byte ptr C(HC_IN), 1
	push qword ptr REG(R_RFLAGS)
	popfq
	mov rax, REG(R_GPR(0))
	mov rcx, REG(R_GPR(1))
	mov rdx, REG(R_GPR(2))
	mov rbx, REG(R_GPR(3))
	mov rsp, REG(R_GPR(4))
	mov rbp, REG(R_GPR(5))
	mov rsi, REG(R_GPR(6))
	mov rdi, REG(R_GPR(7))
	mov r8, REG(R_GPR(8))
	mov r9, REG(R_GPR(9))
	mov r10, REG(R_GPR(10))
	mov r11, REG(R_GPR(11))
	mov r12, REG(R_GPR(12))
	mov r13, REG(R_GPR(13))
	mov r14, REG(R_GPR(14))
	mov r15, REG(R_GPR(15))
	jmp qword ptr C(HC_TARGET)
	.size host_enter, . - host_enter

	.globl host_go
host_go:
	jmp qword ptr C(HC_RIP)
	.globl host_go32
host_go32:
	.byte 0xff, 0x2c, 0x25 /* jmp m16:32 */
	.long L_CONTEXT + HC_RIP

/* Segments of the LDT; the far pointer's is one, too. */
	.globl host_go_low
host_go_low:
	mov es, word ptr C(HC_SEGMENTS + 0)
	mov ds, word ptr C(HC_SEGMENTS + 4)
	mov fs, word ptr C(HC_SEGMENTS + 6)
	mov gs, word ptr C(HC_SEGMENTS + 8)
	mov ss, word ptr C(HC_SEGMENTS + 2)
	.byte 0xff, 0x2c, 0x25 /* jmp m16:32 */
	.long L_CONTEXT + HC_RIP

/* The sequence is done: L_LAND jumps here. */
	.globl host_land
host_land:
	mov REG(R_GPR(0)), rax
	mov REG(R_GPR(1)), rcx
	mov REG(R_GPR(2)), rdx
	mov REG(R_GPR(3)), rbx
	mov REG(R_GPR(4)), rsp
	mov REG(R_GPR(5)), rbp
	mov REG(R_GPR(6)), rsi
	mov REG(R_GPR(7)), rdi
	mov REG(R_GPR(8)), r8
	mov REG(R_GPR(9)), r9
	mov REG(R_GPR(10)), r10
	mov REG(R_GPR(11)), r11
	mov REG(R_GPR(12)), r12
	mov REG(R_GPR(13)), r13
	mov REG(R_GPR(14)), r14
	mov REG(R_GPR(15)), r15
	mov rsp, C(HC_HOST_RSP)
	pushfq
	pop qword ptr REG(R_RFLAGS)
	push 2
	popfq
	mov byte ptr C(HC_SELECTOR), 0
	call read_bases
	mov REG(R_FS), rdi
	mov REG(R_GS), rsi
	mov rdi, C(HC_HOST_FS)
	mov rsi, C(HC_HOST_GS)
	call write_bases
	mov eax, XSTATE_ALL
	xor edx, edx
	xsave64 REG(R_XSAVE)
	xor eax, eax

/* The handler of the signal that ended a sequence has saved all that; eax is the result. */
	.globl host_unwind
host_unwind:
	mov rsp, C(HC_HOST_RSP)
	mov byte ptr C(HC_IN), 0
	mov byte ptr C(HC_SELECTOR), 0
	cmp word ptr C(HC_SEGMENTS), 0
	je 1f
	mov ecx, SEL_USER_DATA
	mov ds, ecx
	mov es, ecx
	xor ecx, ecx
	mov fs, ecx
	mov gs, ecx
	mov rdi, C(HC_HOST_FS)
	mov rsi, C(HC_HOST_GS)
	push rax
	call write_bases
	pop rax
1:
	fninit
	vzeroupper
	ldmxcsr [rsp]
	fldcw [rsp + 4]
	add rsp, 8
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret

/* Handler of all signals: C code needs its fs base, and system calls. */
	.globl host_signal
	.type host_signal, @function
host_signal:
	push 2 /* C code is not written for AC, and Linux leaves it set */
	popfq
	cmp byte ptr C(HC_IN), 0
	jne 1f
	jmp host_signal_other
1:
	mov byte ptr C(HC_SELECTOR), 0
	push rdi
	push rsi
	push rdx
	call read_bases
	mov C(HC_SIGNAL_FS), rdi
	mov C(HC_SIGNAL_GS), rsi
	mov rdi, C(HC_HOST_FS)
	mov rsi, C(HC_HOST_GS)
	call write_bases
	pop rdx
	pop rsi
	pop rdi
	sub rsp, 8
	call host_signal_inside
	add rsp, 8
	test eax, eax
	jnz 2f
	mov rdi, C(HC_SIGNAL_FS) /* goes on, without the guard against system calls */
	mov rsi, C(HC_SIGNAL_GS)
	call write_bases
2:
	ret
	.size host_signal, . - host_signal

	.section .note.GNU-stack, "", @progbits
