/* SPDX-License-Identifier: MIT */
/*
 * A boot sector that loads Linux by the BIOS alone: INT 13h extended reads into low memory, INT 15h/87h to carry
 * it above 1 MiB. Exercises real mode, the BIOS's own switches to protected mode, and its disk driver.
 *
 * qemu.py writes the table at 0x1b0: for the kernel and the initrd first sector, number of 32 KiB chunks, and
 * where to. The 60 KiB from sector 1 are the kernel's setup, already filled in, with the command line.
 */
	.code16
	.globl _start
_start:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $0x7c00, %sp
	sti
	cld
	movb %dl, drive

	movw $0x8000, packet + 6	/* setup to 0x80000: twice 60 sectors */
	movl $1, packet + 8
	call read60
	addw $0x780, packet + 6
	addl $60, packet + 8
	call read60

	movw $0x1000, packet + 6
	movw $64, packet + 2
	movw $0x7c00 + 0x1b0, %bx
	call region
	call region

	cli
	movw $0x8000, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %fs
	movw %ax, %gs
	movw %ax, %ss
	movw $0xdff0, %sp
	ljmp $0x8020, $0

read60:	movw $60, packet + 2
read:	movb $0x42, %ah
	movb drive, %dl
	movw $packet, %si
	int $0x13
	jc fail
	ret

/* bx: first sector, chunks, destination; leaves bx behind them. */
region:	movl (%bx), %eax
	movl %eax, packet + 8
	movl 8(%bx), %eax
	movl %eax, dest
1:	call read
	movl dest, %eax
	movw %ax, gdt + 26
	shrl $16, %eax
	movb %al, gdt + 28
	movb %ah, gdt + 31
	movb $0x87, %ah
	movw $0x4000, %cx
	movw $gdt, %si
	int $0x15
	jc fail
	addl $64, packet + 8
	addl $0x8000, dest
	decl 4(%bx)
	jnz 1b
	addw $12, %bx
	ret

fail:	movw $0x3f8, %dx
	movb $'!', %al
	outb %al, %dx
	hlt
	jmp fail

drive:	.byte 0
	.balign 4
dest:	.long 0
packet:	.byte 16, 0
	.word 0, 0, 0
	.quad 0
gdt:	.quad 0, 0
	.word 0x7fff, 0x0000
	.byte 0x01, 0x93, 0, 0		/* from 0x10000 */
	.word 0x7fff, 0x0000
	.byte 0x10, 0x93, 0, 0		/* to: filled in */
	.quad 0, 0
	.org 0x1b0
	.space 24
	.org 510
	.word 0xaa55
