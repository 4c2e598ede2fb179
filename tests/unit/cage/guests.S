/* SPDX-License-Identifier: MIT */
/* Code that runs in a cage, as user code of a 64-bit guest. Position-independent; see layout.h of this folder. */
#include <sys/syscall.h>

#include "../../guest_code.S"
#include "cage/layout.h"

	.section .rodata

/* rax: the sum of 1 to rcx */
	GUEST sum
	xor %eax, %eax
1:	add %rcx, %rax
	dec %rcx
	jnz 1b
	syscall
	END sum

/* Each register plus one; no flag changes. */
	GUEST registers
	lea 1(%rax), %rax
	lea 2(%rcx), %rcx
	lea 3(%rdx), %rdx
	lea 4(%rbx), %rbx
	lea 5(%rsp), %rsp
	lea 6(%rbp), %rbp
	lea 7(%rsi), %rsi
	lea 8(%rdi), %rdi
	lea 9(%r8), %r8
	lea 10(%r9), %r9
	lea 11(%r10), %r10
	lea 12(%r11), %r11
	lea 13(%r12), %r12
	lea 14(%r13), %r13
	lea 15(%r14), %r14
	lea 16(%r15), %r15
	ud2
	END registers

	GUEST flags /* those that went in, to rax; ID and NT change */
	pushfq
	mov (%rsp), %rax
	xorq $0x204000, (%rsp)
	popfq
	ud2
	END flags

	GUEST xmm
	paddq %xmm0, %xmm1
	ud2
	END xmm

	GUEST ymm
	vpaddq %ymm0, %ymm1, %ymm2
	ud2
	END ymm

/* All bits to rcx, then to rbx. */
	GUEST mxcsr
	movl $-1, (%rcx)
	jmp *%rbx
	END mxcsr

	GUEST bases
	mov %fs:0, %rax
	mov %gs:8, %rbx
	add $16, %rcx
	wrfsbase %rcx
	add $16, %rdx
	wrgsbase %rdx
	ud2
	END bases

	GUEST selectors
	mov %ds, %eax
	mov %es, %ebx
	mov %fs, %ecx
	mov %gs, %edx
	mov $0x2b, %esi
	mov %esi, %ds
	mov %esi, %es
	ud2
	END selectors

/* rax loaded from rsi, rbx stored to rdi, and a call of rdx */
	GUEST accesses
	mov (%rsi), %rax
	mov %rbx, (%rdi)
	call *%rdx
	syscall
	END accesses

	GUEST return
	ret
	END return

	GUEST endless
1:	incq (%rdi)
	jmp 1b
	END endless

	GUEST jump
	jmp *%rbx
	END jump

/* The whole of rcx bytes from rdi on is al, then a fault at 0. */
	GUEST scribble
	rep stosb
	mov 0, %rax
	END scribble

/* Calls with the numbers in r12, one stop each, for ever. */
	GUEST calls
1:	mov %r12, %rax
	syscall
	jmp 1b
	END calls

	GUEST old_calls
1:	mov %r12, %rax
	int $0x80
	jmp 1b
	END old_calls

	.section .note.GNU-stack, "", @progbits
