/* SPDX-License-Identifier: MIT */
/*
 * Loops for processors that do not run 64-bit code: a boot sector for 0x7c00. Each loop announces itself at port 0xe9,
 * so that whoever reads the port has the times; a PC emulator runs the same bytes. 0xf0 ends it.
 */
	.code16
	.section .modes16, "a"
	.globl modes16_begin, modes16_end
	.set SECTOR, 0x7c00
#define AT(label) (SECTOR + (label) - modes16_begin)

modes16_begin:
	ljmp $0, $AT(start)
start:
	cli
	cld
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $0x7000, %sp
	movw $AT(handler), 0x60 * 4
	movw %ax, 0x60 * 4 + 2

	movb $'a', %al /* registers: 5 instructions, 65536 * 64 times */
	call announce
1:	addw %bx, %ax
	rolw $1, %bx
	xorw %ax, %dx
	decw %cx
	jnz 1b
	decw %bp
	jnz 1b

	movb $'b', %al /* memory: 6 */
	call announce
2:	movb (%si), %al
	addb %al, 0x4000(%bx)
	incw %si
	andw $0x3ff, %si
	decw %cx
	jnz 2b
	decw %bp
	jnz 2b

	movb $'c', %al /* strings: 6 */
	call announce
3:	lodsw
	stosw
	andw $0x5fff, %si
	andw $0x5fff, %di
	decw %cx
	jnz 3b
	decw %bp
	jnz 3b

	movb $'d', %al /* calls: 8 */
	call announce
4:	call near
	decw %cx
	jnz 4b
	decw %bp
	jnz 4b

	movb $'e', %al /* far calls: 4 */
	call announce
5:	lcall $0x7c0, $far - modes16_begin
	decw %cx
	jnz 5b
	decw %bp
	jnz 5b

	movb $'f', %al /* interrupts: 4 */
	call announce
6:	int $0x60
	decw %cx
	jnz 6b
	decw %bp
	jnz 6b

	movb $'g', %al /* segment registers: 7 */
	call announce
7:	movw %dx, %es
	movw %es:0x4000, %ax
	pushw %es
	popw %fs
	movw %fs:(%bx), %ax
	decw %cx
	jnz 7b
	decw %bp
	jnz 7b

	movb $'h', %al /* as compilers write it: prefixes, 8 */
	call announce
	movzwl %sp, %esp
	movl $0x4000, %ebx
8:	movl (%ebx), %eax
	pushl %eax
	addl %eax, (%esp)
	popl %edx
	calll 9f
9:	addl $4, %esp
	decw %cx
	jnz 8b
	decw %bp
	jnz 8b

	movb $'i', %al /* flags: 5 */
	call announce
10:	pushfw
	cli
	popfw
	decw %cx
	jnz 10b
	decw %bp
	jnz 10b

	lgdtw AT(gdtr) /* 32-bit code with fs: 5 */
	movl %cr0, %eax
	orb $1, %al
	movl %eax, %cr0
	ljmp $8, $AT(protected)

near:
	pushw %bp
	movw %sp, %bp
	movw 2(%bp), %ax
	popw %bp
	ret
far:
	lret
handler:
	iret

announce:
	outb %al, $0xe9
	xorw %ax, %ax
	xorw %bx, %bx
	xorw %cx, %cx
	xorw %dx, %dx
	movw $0x4000, %si
	movw $0x5000, %di
	movw $64, %bp
	ret

	.code32
protected:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl $24, %eax
	movl %eax, %fs
	movb $'j', %al
	outb %al, $0xe9
	movl $0x400000, %ecx
11:	movl %fs:0x10, %eax
	addl %fs:0x20, %eax
	movl %eax, %fs:0x30
	decl %ecx
	jnz 11b
	movb $'k', %al /* the same without */
	outb %al, $0xe9
	movl $0x400000, %ecx
12:	movl 0x5010, %eax
	addl 0x5020, %eax
	movl %eax, 0x5030
	decl %ecx
	jnz 12b
	movb $0, %al
	outb %al, $0xe9
	movb $0, %al
	outb %al, $0xf0
13:	hlt
	jmp 13b

	.balign 8
gdt:
	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x004093005000ffff
gdtr:
	.word 31
	.long AT(gdt)
	.org modes16_begin + 510
	.word 0xaa55
modes16_end:
	.section .note.GNU-stack, "", @progbits
