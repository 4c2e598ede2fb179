/* SPDX-License-Identifier: MIT */
/* Hardware task switches: SDM 3:7.3 (order of checks: table 7-1), 3:7.4. */
#include "prot_macros.inc"
#include "prot.inc"

/* Task 1 is running again, task 2 is new and begins at `ip`, at CPL 0. */
#define NEW_TASK(ip)                                                                               \
	movl $ip, %eax;                                                                            \
	calll new_task
#define SET(offset, value) movl $value, tss2 + offset

checks32:
	NEW_TASK(1f)
	K("ljmp to a TSS", NONE, NOERR, ljmp $TSS2, $0; 1:)
	EQ("task: ecx", %ecx, 0x22)
	EQ("task: ebp", %ebp, 0x26)
	EQ("task: edi", %edi, 0x28)
	EQ("task: esp", got_esp, ISTACK)
	EQ("task: fs", got_fs, UDATA)
	FLAGS("ljmp to a TSS: flags", 0xffff, FL_CF | 2)
	EQ("ljmp to a TSS: old eip", tss + 0x20, 1b)
	EQ("ljmp to a TSS: old esp", tss + 0x38, ORIGIN)
	EQ("ljmp to a TSS: link is left", tss2, 0xdead)
	movzbl gdt + TSS + 5, %eax
	EQ("ljmp to a TSS: the old one is available", %eax, 0x89)
	movzbl gdt + TSS2 + 5, %eax
	EQ("ljmp to a TSS: the new one is busy", %eax, 0x8b)
	str %eax
	EQ("ljmp to a TSS: tr", %eax, TSS2)
	movl %cr0, %eax
	andl $8, %eax
	EQ("a task switch sets CR0.TS", %eax, 8)
	movl $0, %eax
	K("ljmp to a busy TSS", 13, TSS2, ljmp $TSS2, $0)

	NEW_TASK(1f)
	K("lcall of a TSS", NONE, NOERR, pushl $2; popfl; lcall $TSS2, $0; 1:)
	FLAGS("lcall of a TSS: NT", FL_NT, FL_NT)
	EQ("lcall of a TSS: link", tss2, 0x0000 + TSS)
	movzbl gdt + TSS + 5, %eax
	EQ("lcall of a TSS: the old one stays busy", %eax, 0x8b)
	EQ("lcall of a TSS: old flags without NT", tss + 0x24, 2)

	NEW_TASK(3f)
	K("iret to the old task", NONE, NOERR, movl $0x55, %ebx; lcall $TSS2, $0; jmp 4f; 3: iretl; 2: nop; 4:)
	EQ("iret to the old task: ebx", %ebx, 0x55)
	movzbl gdt + TSS2 + 5, %eax
	EQ("iret to the old task: the nested one is available", %eax, 0x89)
	movzbl gdt + TSS + 5, %eax
	EQ("iret to the old task: it is busy", %eax, 0x8b)
	EQ("iret to the old task: nested eip", tss2 + 0x20, 2b)
	EQ("iret to the old task: nested flags have lost NT", tss2 + 0x24, FL_CF | 2)
	str %eax
	EQ("iret to the old task: tr", %eax, TSS)

	NEW_TASK(1f)
	U("task gate at CPL 3", NONE, NOERR, lcall $TGATE + 3, $0; 1:)
	EQ("task gate at CPL 3: cs", got_cs, KCODE)
	EQ("task gate at CPL 3: old cs", tss + 0x4c, UCODE)
	EQ("task gate at CPL 3: old ss", tss + 0x50, UDATA)

	/* Faults before the switch are the old task's. */
	NEW_TASK(1f)
	K("ljmp to its own TSS", 13, TSS, ljmp $TSS, $0)
	U("ljmp to a TSS at CPL 3", 13, TSS2, ljmp $TSS2, $0)
	K("ljmp to a TSS with RPL 3", 13, TSS2, ljmp $TSS2 + 3, $0)
	movb $0x09, gdt + TSS2 + 5
	K("ljmp to an absent TSS", 11, TSS2, ljmp $TSS2, $0)
	K("task gate to an absent TSS", 11, TSS2, ljmp $TGATE, $0)
	movb $0x89, gdt + TSS2 + 5
	movw $0x66, gdt + TSS2
	K("ljmp to a short TSS", 10, TSS2, ljmp $TSS2, $0)
	movw $0x67, gdt + TSS2
	movb $0x65, gdt + TGATE + 5
	K("task gate absent", 11, TGATE, ljmp $TGATE, $0)
	movb $0x85, gdt + TGATE + 5
	U("task gate of DPL 0 at CPL 3", 13, TGATE, lcall $TGATE, $0)
	movb $0xe5, gdt + TGATE + 5
	movb $0x8b, gdt + TSS2 + 5
	K("task gate to a busy TSS", 13, TSS2, lcall $TGATE, $0)
	movb $0x89, gdt + TSS2 + 5
	movw $KDATA, gdt + TGATE + 2
	K("task gate to data", 13, KDATA, lcall $TGATE, $0)
	movw $TSS2, gdt + TGATE + 2
	movl $TSS2, tss
	KT("iret to a TSS that is not busy", 10, TSS2, pushl $FL_NT + 2; popfl; 1: iretl)
	EQ("iret to a TSS that is not busy: ip", got_ip, 1b)
	movl $0, tss
	KT("iret to a null TSS", 10, 0, pushl $FL_NT + 2; popfl; iretl)
	movl $KDATA, tss
	KT("iret to data for a TSS", 10, KDATA, pushl $FL_NT + 2; popfl; iretl)

	/* Faults after it are the new task's, here one of CPL 3, before its first instruction. */
#define USER_TASK(ip)                                                                              \
	NEW_TASK(ip);                                                                              \
	SET(0x4c, UCODE);                                                                          \
	SET(0x50, UDATA);                                                                          \
	SET(0x48, UDATA);                                                                          \
	SET(0x54, UDATA);                                                                          \
	SET(0x24, 2)
	USER_TASK(1f)
	K("task of CPL 3", NONE, NOERR, ljmp $TSS2, $0; 1:)
	EQ("task of CPL 3: cs", got_cs, UCODE)
	EQ("task of CPL 3: ds", got_ds, UDATA)
#define BAD(name, vec, err, offset, selector)                                                      \
	USER_TASK(1f);                                                                             \
	SET(offset, selector);                                                                     \
	KT(name, vec, err, ljmp $TSS2, $0; 1:);                                                    \
	str %eax;                                                                                  \
	EQ(name, %eax, TSS2);                                                                      \
	EQ(name, got_ip, 1b)
	BAD("task with data in ldt", 10, KDATA, 0x60, KDATA)
	BAD("task with ldt in the ldt", 10, 4, 0x60, 4)
	movl $0xffff, gdt + TEST
	movl $0x00cf7b00, gdt + TEST + 4
	BAD("task with absent code", 11, TEST, 0x4c, TEST + 3)
	BAD("task with null code of RPL 3", 10, 0, 0x4c, 3)
	BAD("task with data in cs", 10, UDATA - 3, 0x4c, UDATA)
	BAD("task with RPL 3 for code of level 0", 10, KCODE, 0x4c, KCODE + 3)
	BAD("task with ss of level 0", 10, KDATA, 0x50, KDATA)
	BAD("task with ss beyond the table", 10, BEYOND, 0x50, BEYOND + 3)
	BAD("task with execute-only ds", 10, XONLY, 0x54, XONLY)
	BAD("task with ds of level 0", 10, KDATA, 0x54, KDATA)
	movl $0x00cf7300, gdt + TEST + 4
	BAD("task with absent fs", 11, TEST, 0x58, TEST + 3)
	USER_TASK(1f)
	SET(0x54, 0)
	K("task with null ds", NONE, NOERR, ljmp $TSS2, $0; 1:)
	EQ("task with null ds", got_ds, 0)

	NEW_TASK(1f)
	SET(0x60, LDT)
	SET(0x58, 4)
	K("task with an LDT", NONE, NOERR, ljmp $TSS2, $0; 1:)
	EQ("task with an LDT: fs", got_fs, 4)
	sldt %eax
	EQ("task with an LDT: ldtr", %eax, LDT)

	NEW_TASK(1f)
	SET(0x64, 1)
	movl $0, %eax
	movl %eax, %dr6
	KT("TSS.T", 1, NOERR, ljmp $TSS2, $0; 1: nop; nop)
	EQ("TSS.T: ip", got_ip, 1b)
	movl %dr6, %eax
	EQ("TSS.T: DR6.BT", %eax, 0xffff8ff0)

	/* DR7's local bits are cleared. */
	NEW_TASK(1f)
	movl $0x6100, %eax
	movl %eax, %dr0
	movl $0xd0003, %eax
	movl %eax, %dr7
	K("task switch and DR7", NONE, NOERR, ljmp $TSS2, $0; 1: movl %dr7, %eax)
	EQ("a task switch clears local breakpoints", %eax, 0xd0402)
	movl $0, %eax
	movl %eax, %dr7

	/* 16 bits. */
	NEW_TASK(1f)
	K("ljmp to a TSS of 16 bits", NONE, NOERR, ljmp $TSS16, $0; 1:)
	movzwl %cx, %ecx
	EQ("TSS of 16 bits: cx", %ecx, 0x32)
	movzwl got_esp, %eax
	EQ("TSS of 16 bits: sp", %eax, ISTACK)
	EQ("TSS of 16 bits: fs", got_fs, 0)
	str %eax
	EQ("TSS of 16 bits: tr", %eax, TSS16)
	NEW_TASK(3f)
	K("iret from a TSS of 16 bits", NONE, NOERR, lcall $TSS16, $0; jmp 4f; 3: iretl; 4:)
	str %eax
	EQ("iret from a TSS of 16 bits: tr", %eax, TSS)
	movl tss16 + 0xe, %eax
	movzwl %ax, %eax
	EQ("iret from a TSS of 16 bits: saved ip", %eax, 4b)
	NEW_TASK(1f)
	movw $0x2a, gdt + TSS16
	K("short TSS of 16 bits", 10, TSS16, ljmp $TSS16, $0)
	movw $0x2b, gdt + TSS16

	/* Interrupts through task gates: nested, an error code is on the new stack. */
	movl $TSS2 << 16, IDT_AT(0x44)
	movl $0xe500, IDT_AT(0x44) + 4
	NEW_TASK(1f)
	U("int through a task gate", NONE, NOERR, int $0x44; 2: nop; 1:)
	FLAGS("int through a task gate: NT", FL_NT, FL_NT)
	EQ("int through a task gate: link", tss2, TSS)
	EQ("int through a task gate: old ip", tss + 0x20, 2b)
	EQ("int through a task gate: esp", got_esp, ISTACK)
	movl IDT_AT(13), %eax
	movl %eax, idt_13
	movl $TSS2 << 16, IDT_AT(13)
	movl $0xe500, IDT_AT(13) + 4
	NEW_TASK(1f)
	U("fault through a task gate", NONE, NOERR, movl $KDATA, %eax; 2: movw %ax, %ds; 1: popl %ebx)
	EQ("fault through a task gate: error code", %ebx, KDATA)
	EQ("fault through a task gate: esp", got_esp, ISTACK)
	EQ("fault through a task gate: old ip", tss + 0x20, 2b)
	EQ("fault through a task gate: RF of the old task", tss + 0x24, FL_RF | 2)
	movl idt_13, %eax
	movl %eax, IDT_AT(13)
	movl $0xee00, IDT_AT(13) + 4
	movb $0x65, IDT_AT(0x44) + 5
	NEW_TASK(1f)
	K("int through an absent task gate", 11, 0x44 * 8 + 2, int $0x44)
	movb $0x85, IDT_AT(0x44) + 5
	U("int through a task gate of DPL 0", 13, 0x44 * 8 + 2, int $0x44)
	movb $0x8b, gdt + TSS2 + 5
	K("int through a task gate to a busy TSS", 13, TSS2, int $0x44)
	movb $0x09, gdt + TSS2 + 5
	K("int through a task gate to an absent TSS", 11, TSS2, int $0x44)
	movb $0x89, gdt + TSS2 + 5
	jmp the_end

new_task:
	movl %eax, tss2 + 0x20
	movw %ax, tss16 + 0xe
	clts
	pushl $2
	popfl
	movl $0, %eax
	lldt %ax
	movb $0x89, gdt + TSS + 5
	movb $0x89, gdt + TSS2 + 5
	movb $0x81, gdt + TSS16 + 5
	movl $TSS, %eax
	ltr %ax
	movl $0, tss
	movl $0, tss + 0x60
	movl $0xdead, tss2
	SET(0x04, ORIGIN)
	SET(0x08, KDATA)
	SET(0x1c, 0)
	SET(0x24, FL_CF | 2)
	movl $0x21, %eax
	movl $tss2 + 0x28, %edi
1:	stosl
	incl %eax
	cmpl $0x29, %eax
	jb 1b
	SET(0x38, ISTACK)
	SET(0x48, KDATA)
	SET(0x4c, KCODE)
	SET(0x50, KDATA)
	SET(0x54, KDATA)
	SET(0x58, UDATA)
	SET(0x5c, 0)
	SET(0x60, 0)
	SET(0x64, 0)
	movw $ORIGIN, tss16 + 2
	movw $KDATA, tss16 + 4
	movw $2, tss16 + 0x10
	movl $0x31, %eax
	movl $tss16 + 0x12, %edi
1:	stosw
	incl %eax
	cmpl $0x39, %eax
	jb 1b
	movw $ISTACK, tss16 + 0x1a
	movw $KDATA, tss16 + 0x22
	movw $KCODE, tss16 + 0x24
	movw $DATA16, tss16 + 0x26	/* what is above 16 bits of esp is not defined (3:7.6) */
	movw $KDATA, tss16 + 0x28
	movw $0, tss16 + 0x2a
	retl
	DATA
idt_13:	.long 0
	END_DATA
