/* SPDX-License-Identifier: MIT */
/* The bootstrap, loaded at 0xf0000: from the reset vector at its end to flat 32-bit code at 0x100000. */
	.code16
start:	cli
	xorw %ax, %ax
	movw %cs, %ax
	movw %ax, %ds
	lgdtl gdt_pointer - start
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $8, $flat + 0xf0000 - start

	.code32
flat:	movw $16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $0x100000, %eax
	jmp *%eax

	.balign 8
gdt:	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt + 0xf0000 - start

	.org 0xfff0
	.code16
	ljmpw $0xf000, $0
	.org 0x10000
