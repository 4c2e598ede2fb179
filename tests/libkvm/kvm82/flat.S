/* SPDX-License-Identifier: MIT */
/*
 * The guest, loaded at 0x100000 and entered there by the first vCPU; the others are told their entry by port SIPI_ADDR.
 * Says what it finds through the console, and ends with the number of failures.
 */
#include "ports.h"

	.text
	.code32
	.globl _start
_start:	movl $stack0, %esp
	lidtl idt_pointer
	movl $hello, %esi /* the whole text by one instruction */
	call print

	movl $MEMORY_SIZE_PORT, %edx
	inl %dx, %eax
	cmpl $0x1000000, %eax
	movl $memory, %esi
	call verdict

	movl $0x12345678, IORAM_BASE /* memory that only the driver has */
	movw $0xabcd, IORAM_BASE + 2
	movl IORAM_BASE, %eax
	cmpl $0xabcd5678, %eax
	movl $ioram, %esi
	call verdict

	sti
	movl $0x40, %eax /* an interrupt of the driver's, at once */
	movl $INJECT_PORT, %edx
	outl %eax, %dx
	nop
	cli
	cmpl $1, interrupts
	movl $injected, %esi
	call verdict

	movl $INJECT_PORT, %edx /* one that has to wait */
	movl $0x40, %eax
	outl %eax, %dx
	nop
	nop
	cmpl $1, interrupts
	movl $masked, %esi
	call verdict
	sti
	nop
	nop
	cli
	cmpl $2, interrupts
	movl $unmasked, %esi
	call verdict

	movl $APIC_NCPU, %edx
	inl %dx, %eax
	movl %eax, %ebp
	movl $1, %ebx
cpus:	cmpl %ebp, %ebx
	jae done
	call one_cpu
	incl %ebx
	jmp cpus
done:	movl failures, %eax
	movl $EXIT_PORT, %edx
	outl %eax, %dx
1:	hlt
	jmp 1b

/* Starts vCPU ebx, waits until it halts, wakes it by an interrupt that it answers. */
one_cpu:
	movl $0, alive
	movl $other, %eax
	movl $APIC_SIPI_ADDR, %edx
	outl %eax, %dx
	movl %ebx, %eax
	movl $APIC_SEND_SIPI, %edx
	outl %eax, %dx
1:	pause
	cmpl $1, alive
	jb 1b
	movl $0x41, %eax
	movl $APIC_IPI_VECTOR, %edx
	outl %eax, %dx
	movl %ebx, %eax
	movl $APIC_SEND_IPI, %edx
	outl %eax, %dx
2:	pause
	cmpl $2, alive
	jb 2b
	cmpl %ebx, who
	movl $ipi, %esi
	jmp verdict

other:	movl $APIC_ID, %edx
	inl %dx, %eax
	movl %eax, %esp
	shll $12, %esp
	addl $stack0, %esp
	lgdtl gdt_pointer
	lidtl idt_pointer
	movl $1, alive
1:	sti
	hlt
	jmp 1b

/* ZF: what esi names is right. */
verdict:
	pushfl
	call print
	popfl
	movl $right, %esi
	jz print
	incl failures
	movl $wrong, %esi
print:	movl %esi, %edi
	xorl %ecx, %ecx
1:	cmpb $0, (%edi, %ecx)
	je 2f
	incl %ecx
	jmp 1b
2:	movl $CONSOLE_PORT, %edx
	cld
	rep outsb
	ret

count:	incl interrupts
	iretl

answer:	pushal
	movl $APIC_ID, %edx
	inl %dx, %eax
	movl %eax, who
	movl $2, alive
	popal
	iretl

hello:	.asciz "hello from a flat file\n"
memory:	.asciz "memory size"
ioram:	.asciz "memory of the driver"
injected: .asciz "interrupt at once"
masked:	.asciz "interrupt held back"
unmasked: .asciz "and delivered"
ipi:	.asciz "another cpu, started and interrupted"
right:	.asciz ": ok\n"
wrong:	.asciz ": WRONG\n"

	.balign 8
gdt:	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt
interrupts: .long 0
failures: .long 0
alive:	.long 0
who:	.long 0
idt_pointer:
	.word idt_end - idt - 1
	.long idt
	.balign 8
idt:	.fill 0x40, 8, 0
	.word count - _start, 8, 0x8e00, 0x10 /* 0x100000 and up */
	.word answer - _start, 8, 0x8e00, 0x10
idt_end:
	.balign 4096
	.fill 4096
stack0:	.fill 4096 * 16
