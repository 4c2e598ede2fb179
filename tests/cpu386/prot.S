/* SPDX-License-Identifier: MIT */
/* Protected mode without paging (SDM 3:5, 3:6): segments, gates, levels, interrupts, error codes. */
#include "prot_macros.inc"

#define LD(name, vec, err, reg, selector)                                                          \
	movl $selector, %eax;                                                                      \
	K(name, vec, err, movw %ax, reg)
#define ULD(name, vec, err, reg, selector)                                                         \
	movl $selector, %eax;                                                                      \
	U(name, vec, err, movw %ax, reg)

#include "prot.inc"

checks32:
/* SDM 3:5.6, 2:MOV: loads of data segments. Error codes 3:6.13. */
	LD("ds null", NONE, NOERR, %ds, 0)
	LD("ds null with RPL", NONE, NOERR, %ds, 3)
	KT("use of null ds", 13, 0, SEG(%ds, 0); movl 0x6100, %ebx)
	KT("use of null fs", 13, 0, movl %fs:0x6100, %ebx)
	LD("ds of a TSS", 13, TSS, %ds, TSS)
	LD("ds of a gate", 13, GATE, %ds, GATE)
	LD("ds execute-only", 13, XONLY, %ds, XONLY)
	LD("ds readable code", NONE, NOERR, %ds, KCODE)
	LD("ds conforming code with RPL 3", NONE, NOERR, %ds, CONF + 3)
	LD("ds absent", 11, NPDATA, %ds, NPDATA)
	LD("ds with RPL 3", 13, KDATA, %ds, KDATA + 3)
	LD("ds beyond the table", 13, BEYOND, %ds, BEYOND)
	LD("ds of the LDT when there is none", 13, 12, %ds, 12)
	LD("ds empty descriptor", 13, TEST, %ds, TEST)
	LD("ss null", 13, 0, %ss, 0)
	LD("ss of level 1", 13, 0x80, %ss, 0x80)
	LD("ss with RPL 3", 13, KDATA, %ss, KDATA + 3)
	LD("ss read-only", 13, RODATA, %ss, RODATA)
	LD("ss code", 13, KCODE, %ss, KCODE)
	LD("ss absent", 12, NPDATA, %ss, NPDATA)
	LD("ss beyond the table", 13, BEYOND, %ss, BEYOND)
	movl $0xffff, gdt + TEST
	movl $0x00cf9200, gdt + TEST + 4
	LD("ds sets the accessed bit", NONE, NOERR, %ds, TEST)
	EQ("accessed bit", gdt + TEST + 4, 0x00cf9300)
	movl $0x00cf1200, gdt + TEST + 4
	LD("ds absent, not accessed", 11, TEST, %ds, TEST)
	EQ("a load that faults sets no bit", gdt + TEST + 4, 0x00cf1200)
	KT("pop ss null", 13, 0, pushl $0; 1: popl %ss)
	EQ("pop ss null leaves esp", got_esp, ORIGIN - 4)
	DATA
pointer: .long 0x1234
	.word XONLY
	END_DATA
	movl $0x77, %ecx
	K("lds execute-only", 13, XONLY, ldsl pointer, %ecx)
	EQ("lds that faults leaves its register", %ecx, 0x77)

/* Types: SDM 3:5.5. */
	KT("write to read-only", 13, 0, SEG(%ds, RODATA); movb $1, 0x6100)
	KT("read of read-only", NONE, NOERR, SEG(%ds, RODATA); movb 0x6100, %bl)
	K("write to code", 13, 0, movb $1, %cs:0x6100)
	KT("read of execute-only", 13, 0, ljmp $XONLY, $1f; 1: movb %cs:0x6100, %bl)

/* Limits: SDM 3:5.3. */
	KT("limit: last byte", NONE, NOERR, SEG(%ds, TINY); movb 0xff, %bl)
	KT("limit: beyond", 13, 0, SEG(%ds, TINY); movb 0x100, %bl)
	movl got_vector, %eax
	movl %eax, limit_vector
	KT("limit: dword", NONE, NOERR, SEG(%ds, TINY); movl 0xfc, %ebx)
	KT("limit: dword across", 13, 0, SEG(%ds, TINY); movl 0xfd, %ebx)
	KT("limit: dword far beyond", 13, 0, SEG(%ds, TINY); movl 0xfffffffe, %ebx)
	KT("limit: in the stack segment", 12, 0, STACK(TINY, 0x100); movb %ss:0x100, %bl)
	KT("limit: by ebp", 12, 0, STACK(TINY, 0x100); movl $0x100, %ebp; movb (%ebp), %bl)
	LIMITS(KT("limit: pop", 12, 0, STACK(TINY, 0x100); popl %ebx))
	LIMITS(KT("limit: ret", 12, 0, STACK(TINY, 0x100); ret))
	LIMITS(KT("limit: iret", 12, 0, STACK(TINY, 0xf8); iretl))
	LIMITS(KT("limit: leave", 12, 0, STACK(TINY, 0x80); movl $0x100, %ebp; leave))
	EQ("limit: leave: esp", got_esp, 0x80)
	KT("expand-down: below", 13, 0, SEG(%ds, DOWN); movb 0xfff, %bl)
	KT("expand-down: first", NONE, NOERR, SEG(%ds, DOWN); movb 0x1000, %bl)
	KT("expand-down: across", 13, 0, SEG(%ds, DOWN); movl 0xffe, %ebx)
	KT("expand-down: high", NONE, NOERR, SEG(%ds, DOWN); movb 0x20000, %bl)
	KT("expand-down 16: last", NONE, NOERR, SEG(%ds, DOWN16); movb 0xffff, %bl)
	KT("expand-down 16: beyond", 13, 0, SEG(%ds, DOWN16); movb 0x10000, %bl)
	KT("expand-down 16: across", 13, 0, SEG(%ds, DOWN16); movw 0xffff, %bx)
	KT("expand-down in pages: below", 13, 0, SEG(%ds, BIGDOWN); movb 0xfff, %bl)
	KT("expand-down in pages: first", NONE, NOERR, SEG(%ds, BIGDOWN); movb 0x1000, %bl)
	LIMITS(KT("lgdt beyond the limit", 13, 0, SEG(%ds, TINY); lgdt 0xfb))
	LIMITS(KT("string beyond the limit", 13, 0, SEG(%es, TINY); movl $0xfc, %edi; movl $4, %ecx; 1: rep stosw))
	EQ("string beyond the limit: ecx", %ecx, 2)
	EQ("string beyond the limit: edi", %edi, 0x100)
	LIMITS(K("ljmp beyond the limit", 13, 0, ljmp $CODE16, $0x10000))

/* SDM 2:LAR, LSL, VERR, VERW, ARPL. */
#define LAR(name, selector, want)                                                                  \
	movl $selector, %eax;                                                                      \
	movl $0x77, %ebx;                                                                          \
	K(name, NONE, NOERR, larl %eax, %ebx; jnz 1f; andl $0xf0ff00, %ebx; 1:);                   \
	EQ(name, %ebx, want)
#define LSL(name, selector, want)                                                                  \
	movl $selector, %eax;                                                                      \
	movl $0x77, %ebx;                                                                          \
	K(name, NONE, NOERR, lsll %eax, %ebx);                                                     \
	EQ(name, %ebx, want)
#define VER(name, insn, selector, want)                                                            \
	movl $selector, %eax;                                                                      \
	K(name, NONE, NOERR, insn %ax);                                                            \
	FLAGS(name, FL_ZF, want)
	LAR("lar of code", KCODE, 0xc09b00)
	LAR("lar of null", 0, 0x77)
	LAR("lar with RPL 3", KDATA + 3, 0x77)
	LAR("lar of conforming code with RPL 3", CONF + 3, 0xc09f00)
	LAR("lar of an absent segment", NPDATA, 0xc01300)
	LAR("lar beyond the table", BEYOND, 0x77)
	LAR("lar of a TSS", TSS, 0x008b00)
	LAR("lar of a TSS of 16 bits", TSS16, 0x008100)
	LAR("lar of an LDT", LDT, 0x008200)
	LAR("lar of a call gate", GATE, 0x00ec00)
	LAR("lar of a call gate of 16 bits", GATE16, 0x00e400)
	LAR("lar of a task gate", TGATE, 0x00e500)
	movl $0x8e00, gdt + TEST + 4
	LAR("lar of an interrupt gate", TEST, 0x77)
	movl $0x8000, gdt + TEST + 4
	LAR("lar of type 0", TEST, 0x77)
	movl $0x8800, gdt + TEST + 4
	LAR("lar of type 8", TEST, 0x77)
	movl $KCODE, %eax
	movl $-1, %ebx
	K("lar of 16 bits", NONE, NOERR, larw %ax, %bx)
	EQ("lar of 16 bits", %ebx, 0xffff9b00)
	LSL("lsl of flat data", KDATA, 0xffffffff)
	LSL("lsl in bytes", TINY, 0xff)
	LSL("lsl of expand-down in pages", BIGDOWN, 0xfff)
	LSL("lsl of a TSS", TSS2, 0x67)
	LSL("lsl of an LDT", LDT, 0xf)
	LSL("lsl of a call gate", GATE, 0x77)
	LSL("lsl of a task gate", TGATE, 0x77)
	LSL("lsl with RPL 3", KDATA + 3, 0x77)
	VER("verr of data", verr, KDATA, FL_ZF)
	VER("verr of execute-only", verr, XONLY, 0)
	VER("verr with RPL 3", verr, KDATA + 3, 0)
	VER("verr of conforming code with RPL 3", verr, CONF + 3, FL_ZF)
	VER("verr of a TSS", verr, TSS, 0)
	VER("verr of null", verr, 0, 0)
	VER("verw of data", verw, KDATA, FL_ZF)
	VER("verw of read-only", verw, RODATA, 0)
	VER("verw of code", verw, KCODE, 0)
	movl $UDATA, %eax
	U("lar at CPL 3", NONE, NOERR, lar %eax, %ebx)
	FLAGS("lar at CPL 3", FL_ZF, FL_ZF)
	movl $KDATA, %eax
	U("lar of level 0 at CPL 3", NONE, NOERR, lar %eax, %ebx)
	FLAGS("lar of level 0 at CPL 3", FL_ZF, 0)
	movl $0x10, %eax
	movl $3, %ecx
	U("arpl", NONE, NOERR, arpl %cx, %ax)
	EQ("arpl raises", %eax, 0x13)
	FLAGS("arpl raises: ZF", FL_ZF, FL_ZF)
	U("arpl again", NONE, NOERR, arpl %cx, %ax)
	FLAGS("arpl again: ZF", FL_ZF, 0)

/* SDM 2:LTR, LLDT. */
	movl $0, %eax
	K("ltr null", 13, 0, ltr %ax)
	movl $TSS, %eax
	K("ltr busy", 13, TSS, ltr %ax)
	movl $KDATA, %eax
	K("ltr of data", 13, KDATA, ltr %ax)
	movl $4, %eax
	K("ltr of the LDT", 13, 4, ltr %ax)
	movl $0x0900, gdt + TEST + 4
	movl $TEST, %eax
	K("ltr absent", 11, TEST, ltr %ax)
	movl $0x0200, gdt + TEST + 4
	K("lldt absent", 11, TEST, lldt %ax)
	movl $TSS, %eax
	K("lldt of a TSS", 13, TSS, lldt %ax)
	movl $LDT, %eax
	K("lldt", NONE, NOERR, lldt %ax)
	LD("ds of the LDT", NONE, NOERR, %ds, 4)
	LD("ds beyond the LDT", 13, 0x14, %ds, 0x14)
	K("ljmp into the LDT", NONE, NOERR, ljmp $12, $1f; 1:)
	EQ("ljmp into the LDT: cs", got_cs, 12)
	movl $0, %eax
	K("lldt null", NONE, NOERR, lldt %ax)

/* SDM 2:JMP, CALL far, without gates. */
	K("ljmp null", 13, 0, ljmp $0, $1f)
	K("ljmp null with RPL", 13, 0, ljmp $3, $1f)
	K("ljmp to data", 13, KDATA, ljmp $KDATA, $1f)
	K("ljmp absent", 11, NPCODE, ljmp $NPCODE, $1f)
	K("ljmp beyond the table", 13, BEYOND, ljmp $BEYOND, $1f)
	K("ljmp to level 1", 13, 0x88, ljmp $CODE1, $1f)
	K("ljmp with RPL 3", 13, KCODE, ljmp $KCODE + 3, $1f)
	K("ljmp to conforming code of level 3", 13, 0xb8, ljmp $CONF3, $1f)
	K("ljmp to conforming code with RPL 3", NONE, NOERR, ljmp $CONF + 3, $1f; 1:)
	EQ("ljmp to conforming code: cs has the CPL", got_cs, CONF)
	K("ljmp to an LDT", 13, LDT, ljmp $LDT, $0)
	K("lcall absent", 11, NPCODE, lcall $NPCODE, $1f)
	U("ljmp to level 0 at CPL 3", 13, KCODE, ljmp $KCODE, $1f)
	U("ljmp to conforming code at CPL 3", NONE, NOERR, ljmp $CONF, $1f; 1:)
	EQ("conforming code runs at CPL 3", got_cs, CONF + 3)
	U("ljmp with RPL 0 at CPL 3", NONE, NOERR, ljmp $UCODE - 3, $1f; 1:)
	EQ("ljmp with RPL 0: cs has the CPL", got_cs, UCODE)
	K("code of 16 bits", NONE, NOERR, ljmp $CODE16, $1f; .code16; 1: pushw $1; movl %esp, %ecx; .code32)
	EQ("code of 16 bits: cs", got_cs, CODE16)
	KT("stack of 16 bits", NONE, NOERR, STACK(DATA16, 0x6e00); pushl $0x1234; popl %ebx)
	KT("stack of 16 bits wraps", NONE, NOERR, STACK(DATA16, 0); pushl $0x1234; movl %esp, %ecx)
	EQ("stack of 16 bits wraps: esp", %ecx, 0xfffc)

/* SDM 2:RET far, IRET. */
	KT("lret null", 13, 0, pushl $0; pushl $1f; lretl)
	KT("lret to data", 13, KDATA, pushl $KDATA; pushl $1f; lretl)
	KT("lret absent", 11, NPCODE, pushl $NPCODE; pushl $1f; lretl)
	KT("lret to code with RPL 3 and DPL 0", 13, KCODE, pushl $KCODE + 3; pushl $1f; lretl)
	KT("lret outwards, ss null", 13, 0, pushl $0; pushl $USTACK; pushl $UCODE; pushl $1f; lretl)
	KT("lret outwards, ss of level 0", 13, KDATA, pushl $KDATA; pushl $USTACK; pushl $UCODE; pushl $1f; lretl)
	KT("lret outwards", NONE, NOERR, SEG(%fs, UDATA); pushl $UDATA; pushl $USTACK; pushl $UCODE; pushl $1f; lretl; 1:)
	EQ("lret outwards: cs", got_cs, UCODE)
	EQ("lret outwards: esp", got_esp, USTACK)
	EQ("lret outwards: ds of level 0 is lost", got_ds, 0)
	EQ("lret outwards: fs of level 3 stays", got_fs, UDATA)
	KT("lret 8 outwards", NONE, NOERR, pushl $UDATA; pushl $USTACK; pushl $1; pushl $2; pushl $UCODE; pushl $1f; lretl $8; 1:)
	EQ("lret 8 outwards: both stacks", got_esp, USTACK + 8)
	UT("lret inwards", 13, KCODE, pushl $KCODE; pushl $1f; lretl)
	UT("iret inwards", 13, KCODE, pushl $2; pushl $KCODE; pushl $1f; iretl)
	KT("iret null", 13, 0, pushl $2; pushl $0; pushl $1f; iretl)
	KT("iret to data", 13, KDATA, pushl $2; pushl $KDATA; pushl $1f; iretl)
	KT("iret outwards, ss read-only", 13, RODATA, pushl $RODATA; pushl $USTACK; pushl $2; pushl $UCODE; pushl $1f; iretl)
	KT("iret to the same level", NONE, NOERR, pushl $0x3002; pushl $KCODE; pushl $1f; iretl; 1:)
	FLAGS("iret at CPL 0 loads IOPL", FL_IOPL, FL_IOPL)
	UT("iret at CPL 3", NONE, NOERR, pushl $0x3202; pushl $UCODE; pushl $1f; iretl; 1:)
	FLAGS("iret at CPL 3 loads neither IOPL nor IF", FL_IOPL | FL_IF, 0)
	UT("iret at CPL 3 to VM", NONE, NOERR, pushl $0x20002; pushl $UCODE; pushl $1f; iretl; 1:)
	FLAGS("iret at CPL 3 does not load VM", FL_VM, 0)

/* Call gates: SDM 3:5.8.3 to 3:5.8.5. */
	movl $0, %edx
	U("call gate", NONE, NOERR, pushl $0x11; pushl $0x22; 1: lcall $GATE + 3, $0x999; 2:)
	EQ("call gate: return address", frame, 2b)
	EQ("call gate: cs", frame + 4, UCODE)
	EQ("call gate: last parameter", frame + 8, 0x22)
	EQ("call gate: first parameter", frame + 12, 0x11)
	EQ("call gate: esp", frame + 16, USTACK - 8)
	EQ("call gate: ss", frame + 20, UDATA)
	EQ("call gate: new esp", frame + 24, ORIGIN - 24)
	EQ("call gate: cs inside", frame + 28, KCODE)
	EQ("call gate: esp after lret 8", got_esp, USTACK)
	U("call gate of 16 bits", NONE, NOERR, pushw $0x11; pushw $0x22; lcall $GATE16 + 3, $0; 2:)
	EQ("call gate of 16 bits: cs:ip", frame, UCODE << 16 | (2b - _start + ORIGIN))
	EQ("call gate of 16 bits: parameters", frame + 4, 0x110022)
	EQ("call gate of 16 bits: ss:sp", frame + 8, UDATA << 16 | (USTACK - 4))
	EQ("call gate of 16 bits: new esp", frame + 24, ORIGIN - 12)
	K("call gate at CPL 0", NONE, NOERR, movl %esp, %ecx; pushl $1; pushl $2; lcall $GATE, $0; 2:)
	EQ("call gate at CPL 0: no parameters copied", frame + 8, 2)
	U("jmp through a gate inwards", 13, KCODE, ljmp $GATE + 3, $0)
	K("jmp through a gate", NONE, NOERR, movl $1f, %eax; movw %ax, gdt + GATE1; movw $KCODE, gdt + GATE1 + 2; ljmp $GATE1, $0; 1:)
	movl $gate1_target, %eax
	movw %ax, gdt + GATE1
	movw $CODE1, gdt + GATE1 + 2
	movb $0x8c, gdt + GATE + 5
	U("call gate of DPL 0", 13, GATE, lcall $GATE + 3, $0)
	movb $0x6c, gdt + GATE + 5
	U("call gate absent", 11, GATE, lcall $GATE + 3, $0)
	movb $0xcc, gdt + GATE + 5
	K("call gate of DPL 2 with RPL 3", 13, GATE, lcall $GATE + 3, $0)
	movb $0xec, gdt + GATE + 5
	movw $0, gdt + GATE + 2
	U("call gate to null", 13, 0, lcall $GATE + 3, $0)
	movw $KDATA, gdt + GATE + 2
	U("call gate to data", 13, KDATA, lcall $GATE + 3, $0)
	movw $NPCODE, gdt + GATE + 2
	U("call gate to absent code", 11, NPCODE, lcall $GATE + 3, $0)
	movw $UCODE - 3, gdt + GATE + 2
	K("call gate outwards", 13, UCODE - 3, lcall $GATE, $0)
	movw $KCODE, gdt + GATE + 2
	U("call gate to level 1", NONE, NOERR, lcall $GATE1 + 3, $0)
	EQ("call gate to level 1: cs", got_cs, CODE1)
	EQ("call gate to level 1: ss", got_ss, DATA1)
	EQ("call gate to level 1: esp", got_esp, ISTACK - 16)
	movl $0, tss + 16
	U("call gate, ss of the TSS null", 10, 0, lcall $GATE1 + 3, $0)
	movl $KDATA, tss + 16
	U("call gate, ss of the TSS of level 0", 10, KDATA, lcall $GATE1 + 3, $0)
	movl $BEYOND + 1, tss + 16
	U("call gate, ss of the TSS beyond", 10, BEYOND, lcall $GATE1 + 3, $0)
	movl $CODE1, tss + 16
	U("call gate, ss of the TSS code", 10, 0x88, lcall $GATE1 + 3, $0)
	movl $0xffff, gdt + TEST
	movl $0x00cf3300, gdt + TEST + 4
	movl $TEST + 1, tss + 16
	U("call gate, ss of the TSS absent", 12, TEST, lcall $GATE1 + 3, $0)
	movl $0x0040b300, gdt + TEST + 4
	movl $0x8, gdt + TEST
	movl $4, tss + 12
	LIMITS(U("call gate, no room on the stack", 12, TEST, lcall $GATE1 + 3, $0))
	movl $ISTACK, tss + 12
	movl $DATA1, tss + 16

/* SDM 3:6.12, 3:6.13: interrupts, and the error codes of what goes wrong. */
	KT("int 40h", 0x40, NOERR, int $0x40; 1:)
	EQ("int 40h: ip", got_ip, 1b)
	EQ("int 40h at CPL 0: esp", got_esp, ORIGIN)
	KT("int keeps IOPL", 0x40, NOERR, pushl $0x7002; popfl; int $0x40)
	FLAGS("int saves the flags", 0xff00, 0x7000)
	UT("int 41h at CPL 3", 0x41, NOERR, int $0x41)
	EQ("int 41h at CPL 3: ss", got_ss, UDATA)
	movb $0x8e, IDT_AT(0x42) + 5
	U("int to a gate of DPL 0", 13, 0x42 * 8 + 2, int $0x42)
	UT("an exception does not ask the DPL", 6, NOERR, ud2)
	movb $0x6e, IDT_AT(0x42) + 5
	K("int to an absent gate", 11, 0x42 * 8 + 2, int $0x42)
	K("int beyond the table", 13, 0x50 * 8 + 2, int $0x50)
	movb $0xec, IDT_AT(0x42) + 5
	K("int to a call gate", 13, 0x42 * 8 + 2, int $0x42)
	movb $0x8e, IDT_AT(0x42) + 5
	movw $0, IDT_AT(0x42) + 2
	K("int to null", 13, 0, int $0x42)
	movw $KDATA, IDT_AT(0x42) + 2
	K("int to data", 13, KDATA, int $0x42)
	movw $NPCODE, IDT_AT(0x42) + 2
	K("int to absent code", 11, NPCODE, int $0x42)
	movw $UCODE, IDT_AT(0x42) + 2
	K("int outwards", 13, UCODE - 3, int $0x42)
	movw $CONF, IDT_AT(0x42) + 2
	movb $0xee, IDT_AT(0x42) + 5
	/* EXT is set when an exception meets it, not for INT n, INT3 and INTO (3:6.13). */
	movb $0x6e, IDT_AT(0) + 5
	K("absent gate of #DE is a double fault", 8, 0, .byte 0xd4, 0)
	movb $0xee, IDT_AT(0) + 5
	movw $0, IDT_AT(6) + 2
	K("exception to null", 13, 1, ud2)
	movw $KDATA, IDT_AT(6) + 2
	K("exception to data", 13, KDATA + 1, ud2)
	movw $KCODE, IDT_AT(6) + 2
	movb $0x6e, IDT_AT(4) + 5
	KT("into to an absent gate", 11, 4 * 8 + 2, movb $0x7f, %al; incb %al; into)
	movb $0x8e, IDT_AT(4) + 5
	UT("into to a gate of DPL 0", 13, 4 * 8 + 2, movb $0x7f, %al; incb %al; into)
	movb $0xee, IDT_AT(4) + 5
	movb $0x6e, IDT_AT(13) + 5
	UT("double fault", 8, 0, hlt)
	movb $0xee, IDT_AT(13) + 5
	movb $0x6e, IDT_AT(6) + 5
	K("a benign exception and a fault are no double fault", 11, 6 * 8 + 3, ud2)
	movb $0xee, IDT_AT(6) + 5
	/* Interrupt gates clear IF, trap gates do not; gates of 16 bits push words. */
	movb $0xef, IDT_AT(0x43) + 5
	movl $trap_target, %eax
	movw %ax, IDT_AT(0x43)
	K("trap gate", NONE, NOERR, pushl $0x4102 - FL_TF; popfl; int $0x43; pushl $2; popfl)
	EQ("trap gate: flags inside", frame, 2)
	movb $0xe6, IDT_AT(0x43) + 5
	movl $gate16_int, %eax
	movw %ax, IDT_AT(0x43)
	K("interrupt gate of 16 bits", NONE, NOERR, int $0x43; 2:)
	EQ("interrupt gate of 16 bits: cs:ip", frame, KCODE << 16 | (2b - _start + ORIGIN))
	EQ("interrupt gate of 16 bits: esp", frame + 8, ORIGIN - 6)
	U("interrupt gate of 16 bits at CPL 3", NONE, NOERR, int $0x43; 2:)
	EQ("interrupt gate of 16 bits at CPL 3: esp", frame + 8, ORIGIN - 10)
	EQ("interrupt gate of 16 bits at CPL 3: ss:sp", frame + 12, UDATA << 16 | USTACK)
	/* RF is saved set by faults, not by traps and INT n (3:17.3.1.1). */
	K("RF of a fault", 6, NOERR, ud2)
	FLAGS("RF of a fault", FL_RF, FL_RF)
	KT("RF of int n", 0x40, NOERR, int $0x40)
	FLAGS("RF of int n", FL_RF, 0)

/* SDM 3:5.9: privileged instructions, and 1:18.5: IOPL and the I/O permission map. */
	U("hlt", 13, 0, hlt)
	U("cli", 13, 0, cli)
	U("sti", 13, 0, sti)
	U("clts", 13, 0, clts)
	U("lgdt", 13, 0, lgdt gdtr)
	U("lidt", 13, 0, lidt idtr)
	U("lldt at CPL 3", 13, 0, lldt %ax)
	U("ltr at CPL 3", 13, 0, ltr %ax)
	U("lmsw", 13, 0, lmsw %ax)
	U("mov from cr0", 13, 0, movl %cr0, %eax)
	U("mov to cr3", 13, 0, movl %eax, %cr3)
	U("mov from dr7", 13, 0, movl %dr7, %eax)
	U("mov to dr0", 13, 0, movl %eax, %dr0)
	U("invlpg", 13, 0, invlpg 0x6100)
	U("invd", 13, 0, invd)
	U("wbinvd", 13, 0, wbinvd)
	U("rdmsr", 13, 0, rdmsr)
	U("wrmsr", 13, 0, wrmsr)
	U("rdpmc", 13, 0, rdpmc)
	U("smsw at CPL 3", NONE, NOERR, smsw %eax)
	U("sgdt at CPL 3", NONE, NOERR, sgdt 0x6100)
	U("sldt at CPL 3", NONE, NOERR, sldt %eax)
	U("str at CPL 3", NONE, NOERR, str %eax)
	EQ("str", %eax, TSS)
	U("rdtsc", NONE, NOERR, rdtsc)
	movl %cr4, %eax
	orl $0x804, %eax	/* TSD, UMIP */
	movl %eax, %cr4
	U("rdtsc with TSD", 13, 0, rdtsc)
	U("smsw with UMIP", 13, 0, smsw %eax)
	U("sgdt with UMIP", 13, 0, sgdt 0x6100)
	U("str with UMIP", 13, 0, str %eax)
	K("str with UMIP at CPL 0", NONE, NOERR, str %eax)
	movl %cr4, %eax
	andl $~0x804, %eax
	movl %eax, %cr4
	U("popf at CPL 3", NONE, NOERR, pushl $0x3202; popfl)
	FLAGS("popf at CPL 3 changes neither IOPL nor IF", FL_IOPL | FL_IF, 0)
	U("in", NONE, NOERR, inb $0x80, %al)
	movl $0x101, %edx
	U("in of a denied port", 13, 0, inb %dx, %al)
	movl $0x100, %edx
	U("in beside it", NONE, NOERR, inb %dx, %al)
	U("in across it", 13, 0, inw %dx, %ax)
	movl $0xfe, %edx
	U("inl across it", 13, 0, inl %dx, %eax)
	movl $0xfd, %edx
	U("inl before it", NONE, NOERR, inl %dx, %eax)
	movl $0x179, %edx
	U("in where the map has no second byte", 13, 0, inb %dx, %al)	/* 1:18.5.2: always two are read */
	movl $0x171, %edx
	U("in where the map has one", NONE, NOERR, inb %dx, %al)
	movl $0x180, %edx
	U("in beyond the map", 13, 0, inb %dx, %al)
	movl $0x180, %edx
	movl $0x6100, %edi
	U("insb beyond the map", 13, 0, insb)
	movl $0, %ecx
	U("rep insb of none beyond the map", NONE, NOERR, rep insb)
	movl $0x3002, user_flags
	U("in with IOPL 3", NONE, NOERR, inb %dx, %al)
	U("sti with IOPL 3", NONE, NOERR, sti; cli)
	U("hlt with IOPL 3", 13, 0, hlt)
	movl $2, user_flags

/* SDM 3:5.5: data at CPL 3. */
	ULD("ds of level 0", 13, KDATA, %ds, KDATA)
	ULD("ds of level 1", 13, 0x80, %ds, DATA1)
	ULD("ds of level 3 with RPL 0", NONE, NOERR, %ds, UDATA - 3)
	ULD("ds conforming code at CPL 3", NONE, NOERR, %ds, CONF)
	ULD("ds code of level 0", 13, KCODE, %ds, KCODE)
	ULD("ss of level 3 with RPL 0", 13, UDATA - 3, %ss, UDATA - 3)

/* SDM 3:6.15, #AC: only at CPL 3 with CR0.AM and AC; error code 0. */
	movl %cr0, %eax
	orl $0x40000, %eax
	movl %eax, %cr0
	U("misaligned without AC", NONE, NOERR, movl 0x6101, %eax)
	K("misaligned at CPL 0", NONE, NOERR, pushl $FL_AC + 2; popfl; movl 0x6101, %eax; pushl $2; popfl)
	movl $FL_AC + 2, user_flags
	U("misaligned dword", 17, 0, movl 0x6102, %ebx)
	U("misaligned word", 17, 0, movw 0x6101, %bx)
	U("misaligned store", 17, 0, movl %ebx, 0x6101)
	U("misaligned moffs", 17, 0, movl 0x6102, %eax)
	U("aligned word", NONE, NOERR, movw 0x6102, %ax)
	U("misaligned x87", 17, 0, fldl 0x6104)
	movl $0x6101, %esi
	U("misaligned lodsl", 17, 0, lodsl)
	UT("misaligned push", 17, 0, movl $USTACK - 2, %esp; 1: pushl $1)
	movl $2, user_flags
	movl %cr0, %eax
	andl $~0x40000, %eax
	movl %eax, %cr0

/* SDM 2:BOUND, ENTER, and what is undefined here only. */
	K("ljmp of a register", 6, NOERR, .byte 0xff, 0xe8)
	K("arpl is no movsxd", NONE, NOERR, .byte 0x63, 0xc0)
	K("sysenter without its MSR", 13, 0, sysenter)
	jmp the_end

/* What gates lead to. They note their stacks and return. */
#define KEEP(n)                                                                                    \
	movl n(%esp), %eax;                                                                        \
	movl %eax, frame + n
gate_target:
	movl %eax, save_eax
	KEEP(0)
	KEEP(4)
	KEEP(8)
	KEEP(12)
	cmpl $ORIGIN - 24, %esp
	jne 1f
	KEEP(16)
	KEEP(20)
1:	movl %esp, frame + 24
	movl $0, frame + 28
	movw %cs, frame + 28
	movl save_eax, %eax
	lretl $8
gate16_target:
	movl %eax, save_eax
	KEEP(0)
	KEEP(4)
	KEEP(8)
	movl %esp, frame + 24
	movl save_eax, %eax
	lretw $4
gate1_target:
	int3
gate16_int:
	pushl %ds
	pushl $KDATA
	popl %ds
	movl %esp, frame + 8
	addl $4, frame + 8
	popl frame + 16
	KEEP(0)
	cmpl $ORIGIN - 10, %esp
	jne 1f
	movl 6(%esp), %eax
	movl %eax, frame + 12
1:	movl frame + 16, %eax
	movw %ax, %ds
	iretw
trap_target:
	pushfl
	popl frame
	iretl
	DATA
	.balign 4
frame:	.fill 8, 4, 0
	END_DATA
