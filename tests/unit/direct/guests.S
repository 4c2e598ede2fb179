/* SPDX-License-Identifier: MIT */
/*
 * User code of direct_test.c, each piece from its label to the next one, copied to USER. It ends in SYSCALL, by which the kernel tells the
 * test (OUT), and goes on behind it if the test lets it.
 */
#include "../../guest_code.S"

	.section .rodata

/* A bit of everything that user code has: all registers, flags, x87, SSE, the bases; in rounds, long enough to be found at it. */
	GUEST mix
	mov $200000, %ecx
	fld1
	fldpi
1:	add %rcx, %rax
	rol $7, %rax
	xor %rax, %rbx
	imul %rbx, %r8
	lea 5(%r8,%rax,2), %r9
	adc %r9, %r10
	sbb %r10, %r11
	bswap %r12
	add %r11, %r12
	crc32q %r12, %r13
	cvtsi2sd %r13, %xmm1
	addsd %xmm1, %xmm2
	pxor %xmm2, %xmm3
	paddq %xmm3, %xmm4
	fmul %st(1), %st
	fsqrt
	dec %ecx
	jnz 1b
	rdfsbase %r14
	rdgsbase %r15
	lea 3(%r14,%r15), %rdi
	wrfsbase %rdi
	std
	stc
	syscall
	END mix

/* Adds up a word of each page from rsi on, rdx of them, and leaves the sum there; again and again, rdi times. */
	GUEST pages
2:	mov %rsi, %r8
	mov %rdx, %r9
1:	add (%r8), %rax
	incq 8(%r8)
	add $4096, %r8
	dec %r9
	jnz 1b
	dec %rdi
	jnz 2b
	mov %rax, (%rsi)
	syscall
	jmp guest_pages
	END pages

/* Its own code: the operand of the second instruction counts up. */
	GUEST rewrite
	mov $3000, %ecx
1:	mov $0, %eax
	add %rax, %rbx
	incl 1b+1(%rip)
	dec %ecx
	jnz 1b
	syscall
	END rewrite

/* What the processor is and shows: the guest's, not the host's. Between long stretches of plain code. */
	GUEST shown
	mov $0x40000000, %eax
	cpuid
	mov %ebx, %r8d
	rdtsc
	mov %rdx, %r9
	sldt %r10
	mov $1000000, %r11d
1:	dec %r11d
	jnz 1b
	syscall
	END shown

/* Calls of rbx, r12 times. */
	GUEST caller
1:	call *%rbx
	dec %r12
	jnz 1b
	syscall
	END caller

/* Hot code beside a CPUID, which is executed once in 2^20 times. */
	GUEST beside
	inc %r13
	test $0xfffff, %r13d
	jnz 1f
	push %rbx
	mov $0x40000000, %eax
	cpuid
	add %rbx, %r14
	pop %rbx
1:	ret
	END beside

/* For ever. */
	GUEST spin
1:	inc %rax
	jmp 1b
	END spin

/* Exceptions, after a while. */
	GUEST breakpoint
	mov $2000000, %ecx
1:	dec %ecx
	jnz 1b
	int3
	END breakpoint

	GUEST privileged
	mov $2000000, %ecx
1:	dec %ecx
	jnz 1b
	hlt
	END privileged

	GUEST undefined
	mov $2000000, %ecx
1:	dec %ecx
	jnz 1b
	ud2
	END undefined

/* Of what rsi points to: reads, or writes, after a while. */
	GUEST read
	mov $2000000, %ecx
1:	dec %ecx
	jnz 1b
	mov (%rsi), %rax
	syscall
	END read

	GUEST write
	mov $2000000, %ecx
1:	dec %ecx
	jnz 1b
	mov %rcx, (%rsi)
	syscall
	END write

	GUEST jump
	mov $2000000, %ecx
1:	dec %ecx
	jnz 1b
	jmp *%rsi
	END jump

	GUEST trap
	mov $2000000, %ecx
1:	dec %ecx
	jnz 1b
	pushf
	orl $0x100, (%rsp)
	popf
	nop
	nop
	END trap

/* Code that has run before becomes RDTSC. */
	GUEST late
	mov $2, %r12d
3:	mov $3000000, %ecx
1:	dec %ecx
	jnz 1b
	call late_code
	lea late_code(%rip), %rdi
	movl $0xc390310f, (%rdi) /* RDTSC, NOP, RET */
	dec %r12d
	jnz 3b
	syscall
	.p2align 4
late_code:
	nop
	nop
	nop
	ret
	END late

/* A store to rdi, twice. */
	GUEST twice
	mov $3000000, %ecx
1:	dec %ecx
	jnz 1b
	incq (%rdi)
	mov $3000000, %ecx
1:	dec %ecx
	jnz 1b
	syscall
	jmp guest_twice
	END twice

/* Values in registers of all kinds, over stores to rdx pages from rsi on. */
	GUEST many
	mov $0x12345678, %eax
	movq %rax, %xmm5
	fldpi
	mov $2000000, %ecx
1:	dec %ecx
	jnz 1b
1:	incq 8(%rsi)
	add $4096, %rsi
	dec %rdx
	jnz 1b
	movq %xmm5, %rbx
	syscall
	END many

/* The kernel: SYSCALL tells, and returns; exceptions tell their vector, which their entry has put on the stack. */
	GUEST kernel
	out %al, $0x10
	invlpg (%rsi)
	sysretq
	END kernel

	.section .note.GNU-stack, "", @progbits
