/* SPDX-License-Identifier: MIT */
/*
 * The guest for a machine with an irqchip, loaded at 0x100000: a line of the PIC, the local APIC, and other vCPUs
 * started by INIT and SIPI and interrupted by IPIs.
 *
 * prints
 *
 *     line: ok
 *     self: ok
 *     cpu 1: ok
 *     cpu 2: ok
 */
#include "ports.h"

#define APIC       0xfee00000
#define TRAMPOLINE 0x8000

	.text
	.code32
	.globl _start
_start:	movl $stack0, %esp
	lgdtl gdt_pointer
	lidtl idt_pointer

	movl $icw, %esi /* the first 8259: vectors from 0x20, input 4 */
	lodsb
	outb %al, $0x20
1:	lodsb
	outb %al, $0x21
	cmpl $icw_end, %esi
	jb 1b
	sti
	movl $1, %eax /* the driver raises it, and it is seen at once */
	movl $LINE_PORT + 4, %edx
	outl %eax, %dx
1:	cmpl $1, lines
	jne 1b
	movl $line, %esi
	call verdict

	movl $0x1ff, APIC + 0xf0 /* the APIC on, spurious vector 0xff */
	movl $0x44041, APIC + 0x300 /* to myself */
1:	cmpl $1, answers
	jne 1b
	movl $self, %esi
	call verdict

	movl $trampoline, %esi
	movl $TRAMPOLINE, %edi
	movl $trampoline_end - trampoline, %ecx
	rep movsb
	movl $APIC_NCPU, %edx
	inl %dx, %eax
	movl %eax, %ebp
	movl $1, %ebx
cpus:	cmpl %ebp, %ebx
	jae done
	movl $0, alive
	movl $0, answers
	movl %ebx, %eax
	shll $24, %eax
	movl %eax, APIC + 0x310
	movl $0x4500, APIC + 0x300 /* INIT */
	movl $0x4600 + TRAMPOLINE / 4096, APIC + 0x300 /* SIPI */
1:	pause
	cmpl $0, alive
	je 1b
	movl %eax, APIC + 0x310
	movl $0x4041, APIC + 0x300
1:	pause
	cmpl $0, answers
	je 1b
	leal '0'(%ebx), %eax
	movb %al, number
	cmpl %ebx, who
	movl $cpu, %esi
	call verdict
	incl %ebx
	jmp cpus
done:	movl failures, %eax
	movl $EXIT_PORT, %edx
	outl %eax, %dx

other:	movw $16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	lidtl idt_pointer
	movl APIC + 0x20, %eax
	shrl $24, %eax
	movl %eax, %ebx
	shll $12, %eax
	leal stack0(%eax), %esp
	movl $0x1ff, APIC + 0xf0
	movl $1, alive
1:	sti
	hlt
	jmp 1b

verdict:
	pushfl
	call print
	popfl
	movl $right, %esi
	jz print
	incl failures
	movl $wrong, %esi
print:	movl $CONSOLE_PORT, %edx
1:	lodsb
	testb %al, %al
	jz 2f
	outb %al, %dx
	jmp 1b
2:	ret

on_line: pushal
	xorl %eax, %eax
	movl $LINE_PORT + 4, %edx
	outl %eax, %dx
	movb $0x20, %al
	outb %al, $0x20
	movl $1, lines
	popal
	iretl

on_ipi:	pushal
	movl APIC + 0x20, %eax
	shrl $24, %eax
	movl %eax, who
	movl $0, APIC + 0xb0
	incl answers
	popal
	iretl

	.code16
trampoline:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	lgdtl TRAMPOLINE + small_pointer - trampoline
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $8, $other
small_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt
trampoline_end:

icw:	.byte 0x11, 0x20, 0x04, 0x01, 0xef
icw_end:
line:	.asciz "line"
self:	.asciz "self"
cpu:	.ascii "cpu "
number:	.asciz "?"
right:	.asciz ": ok\n"
wrong:	.asciz ": WRONG\n"

	.balign 8
gdt:	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt
lines:	.long 0
answers: .long 0
alive:	.long 0
who:	.long 0
failures: .long 0
idt_pointer:
	.word idt_end - idt - 1
	.long idt
	.balign 8
idt:	.fill 0x24, 8, 0
	.word on_line - _start, 8, 0x8e00, 0x10 /* 0x100000 and up */
	.fill 0x41 - 0x25, 8, 0
	.word on_ipi - _start, 8, 0x8e00, 0x10
idt_end:
	.balign 4096
	.fill 4096
stack0:	.fill 4096 * 16
