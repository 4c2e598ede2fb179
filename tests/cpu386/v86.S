/* SPDX-License-Identifier: MIT */
/* Virtual-8086 mode: SDM 3:21.2, 3:21.3, and its extensions 3:21.3.3, 3:21.4. */
#include "prot_macros.inc"
#include "prot.inc"

#define IOPL(n) movl $FL_VM | 2 | (n) << 12, v86_flags
#define SEG16(reg, value) movw $value, %ax; movw %ax, reg

checks32:
	V("nop", NONE, NOERR, nop)
	FLAGS("VM is saved", FL_VM | FL_IOPL, FL_VM)
	V("segments", NONE, NOERR, SEG16(%ds, 0x2000); SEG16(%es, 0x2001); SEG16(%fs, 0x2002); SEG16(%gs, 0x2003))
	EQ("ds is saved", got_ds, 0x2000)
	EQ("es is saved", got_es, 0x2001)
	EQ("fs is saved", got_fs, 0x2002)
	EQ("gs is saved", got_gs, 0x2003)
	EQ("sp is saved", got_esp, USTACK)
	movl $0x5a5a, SCRATCH + 0x10
	VT("16 bytes a paragraph", NONE, NOERR, SEG16(%ds, SCRATCH >> 4); movl 0x10, %ebx)
	EQ("16 bytes a paragraph", %ebx, 0x5a5a)
	V("word at ffff", 13, 0, movw 0xffff, %bx)
	movl got_vector, %eax
	movl %eax, limit_vector
	V("word at ss:ffff", 12, 0, movw %ss:0xffff, %bx)
	V("write to cs", NONE, NOERR, movw %bx, %cs:0x6100)
	VT("pop at ffff", 12, 0, movl $0xffff, %esp; popw %bx)

	/* IOPL below 3: these go to the monitor. */
	IOPL(0)
	V("cli", 13, 0, cli)
	V("sti", 13, 0, sti)
	V("pushf", 13, 0, pushfw)
	V("popf", 13, 0, popfw)
	V("int n", 13, 0, int $0x40)
	V("iret", 13, 0, iretw)
	VT("int3 does not ask", NONE, NOERR, nop)
	VT("into does not ask", 4, NOERR, movb $0x7f, %al; incb %al; into)
	V("hlt", 13, 0, hlt)
	V("mov cr0", 13, 0, movl %cr0, %eax)
	V("mov dr7", 13, 0, movl %dr7, %eax)
	V("lgdt", 13, 0, lgdtl gdtr)
	V("lmsw", 13, 0, lmsw %ax)
	V("clts", 13, 0, clts)
	V("wbinvd", 13, 0, wbinvd)
	V("smsw", NONE, NOERR, smsww %ax)
	V("sgdt", NONE, NOERR, sgdtl 0x6100)
	V("sldt", 6, NOERR, sldt %ax)
	V("str", 6, NOERR, str %ax)
	V("lldt", 6, NOERR, lldt %ax)
	V("ltr", 6, NOERR, ltr %ax)
	V("lar", 6, NOERR, lar %ax, %bx)
	V("lsl", 6, NOERR, lsl %ax, %bx)
	V("verr", 6, NOERR, verr %ax)
	V("arpl", 6, NOERR, .byte 0x63, 0xc0)
	V("ud2", 6, NOERR, ud2)
	V("div by 0", 0, NOERR, .byte 0xd4, 0)
	V("sysenter", 13, 0, sysenter)
	V("syscall", 6, NOERR, syscall)

	/* I/O asks the map, whatever IOPL is. */
	V("in", NONE, NOERR, inb $0x80, %al)
	movl $0x101, %edx
	V("in of a denied port", 13, 0, inb %dx, %al)
	IOPL(3)
	V("in of a denied port with IOPL 3", 13, 0, inb %dx, %al)

	/* IOPL 3. */
	V("cli with IOPL 3", NONE, NOERR, cli)
	V("sti with IOPL 3", NONE, NOERR, sti; nop; cli)
	V("pushf with IOPL 3", NONE, NOERR, pushfl; popl %ebx)
	EQ("pushfl does not show VM", %ebx, 0x3002)
	V("popf with IOPL 3", NONE, NOERR, pushl $0x40cd7; popfl; pushfl; popl %ebx; cld)
	EQ("popfl does not change IOPL", %ebx, 0x43cd7)
	V("iret with IOPL 3", NONE, NOERR, pushw $0x0002; pushw $0; pushw $1f; iretw; 1: pushfw; popw %bx; movzwl %bx, %ebx)
	EQ("iret does not change IOPL", %ebx, 0x3002)
	VT("int 41h", 0x41, NOERR, int $0x41; 1:)
	EQ("int 41h: ip", got_ip, 1b)
	FLAGS("int 41h: flags", 0x3f000, FL_VM | FL_IOPL)
	movb $0x8e, IDT_AT(0x42) + 5
	V("int to a gate of DPL 0", 13, 0x42 * 8 + 2, int $0x42)
	movb $0xee, IDT_AT(0x42) + 5
	movw $CODE1 - 1, IDT_AT(0x42) + 2
	V("int to level 1", 13, CODE1 - 1, int $0x42)
	movw $CONF, IDT_AT(0x42) + 2
	V("int to conforming code", 13, CONF, int $0x42)
	movb $0x6e, IDT_AT(0x42) + 5
	V("int to an absent gate", 11, 0x42 * 8 + 2, int $0x42)
	/* At CPL 0 an IRET to VM, with its limit of 64 KiB. */
	KT("iret to VM beyond 64 KiB", 13, 0, pushl $0; pushl $0; pushl $0; pushl $0; pushl $0; pushl $USTACK; pushl $FL_VM + 2; pushl $0; pushl $0x10000; 1: iretl)

	/* VME: a clear bit of the map sends INT n to the guest's own vector (3:21.3.3.4, method 5 and 6). */
	movl $1, %eax
	movl $0, %ecx
	cpuid
	testb $2, %dl
	jz the_end
	movl %cr4, %eax
	orl $3, %eax	/* VME, PVI */
	movl %eax, %cr4
	movl $redirected, 0x40 * 4
	movl $redirected, 0x43 * 4
	movb $8, vme_map + 8	/* vector 43h */
	IOPL(0)
	V("int n to the guest's vector", NONE, NOERR, int $0x40; 1:)
	EQ("int n to the guest's vector: ip", frame, 1b)
	EQ("int n to the guest's vector: IOPL reads as 3, IF is VIF", frame + 4, 0x3002)
	V("int n that the map keeps", 13, 0, int $0x43)
	IOPL(3)
	V("int n to the guest's vector with IOPL 3", NONE, NOERR, int $0x40; 1:)
	VT("int n that the map keeps with IOPL 3", 0x43, NOERR, int $0x43)
	IOPL(0)
	V("sti with VME", NONE, NOERR, sti)
	FLAGS("sti sets VIF", FL_VIF | FL_IF, FL_VIF)
	V("pushf with VME", NONE, NOERR, sti; pushfw; popw %bx; movzwl %bx, %ebx)
	EQ("pushf shows VIF as IF, and IOPL 3", %ebx, 0x3202)
	V("cli with VME", NONE, NOERR, sti; cli)
	FLAGS("cli clears VIF", FL_VIF, 0)
	V("popf with VME", NONE, NOERR, pushw $0x0203; popfw)
	FLAGS("popf sets VIF", FL_VIF | FL_IF | FL_CF, FL_VIF | FL_CF)
	VT("popf of TF with VME", 13, 0, pushw $0x0102; popfw)
	V("pushfl with VME", 13, 0, pushfl)
	V("iret with VME", NONE, NOERR, pushw $0x0202; pushw $0; pushw $1f; iretw; 1:)
	FLAGS("iret sets VIF", FL_VIF | FL_IF, FL_VIF)
	V("int n with VIF", NONE, NOERR, sti; int $0x40)
	FLAGS("int n to the guest's vector clears VIF", FL_VIF, 0)
	orl $FL_VIP, v86_flags
	V("sti with VIP", 13, 0, sti)
	VT("popf with VIP", 13, 0, pushw $0x0202; popfw)
	V("cli with VIP", NONE, NOERR, cli)
	/* PVI: the same for CLI and STI at CPL 3 (3:21.4). */
	U("sti with PVI", NONE, NOERR, sti)
	FLAGS("sti with PVI sets VIF", FL_VIF | FL_IF, FL_VIF)
	U("cli with PVI", NONE, NOERR, sti; cli)
	FLAGS("cli with PVI clears VIF", FL_VIF, 0)
	movl $FL_VIP + 2, user_flags
	U("sti with PVI and VIP", 13, 0, sti)
	jmp the_end

	.code16
redirected:
	popw %cs:frame
	popw %cs:frame + 2
	popw %cs:frame + 4
	pushw %cs:frame + 4
	pushw %cs:frame + 2
	pushw %cs:frame
	int3
	.code32
	DATA
	.balign 4
frame:	.fill 4, 4, 0
	END_DATA
