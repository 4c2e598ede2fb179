/* SPDX-License-Identifier: MIT */
/* Real mode (SDM 3:21.1, APM 2:14.1): the end of segments, stacks, strings, old arithmetic, what is undefined. */
#include "macros.inc"
	.code16
	.globl _start
_start:
	cli
	movw $0, %ax
	movw %ax, %ds
	movw %ax, %ss
	movl $ORIGIN, %esp
	call own_segments
	cld
	call make_ivt

#define SEG2(reg) movw $0x2000, %ax; movw %ax, reg

/* SDM 3:21.1.1, 3:6.3.1: beyond 64 KiB is #GP, in the stack segment #SS; effective addresses of 16 bits wrap. */
segments:
	K("byte at ffff", NONE, NOERR, movb 0xffff, %al)
	K("word at ffff", 13, NOERR, movw 0xffff, %ax)
	movl got_vector, %eax
	movl %eax, limit_vector
	K("word at ffff written", 13, NOERR, movw %ax, 0xffff)
	K("dword at fffd", 13, NOERR, movl 0xfffd, %eax)
	K("qword at fff9", 13, NOERR, fldl 0xfff9)
	K("word at ss:ffff", 12, NOERR, movw %ss:0xffff, %ax)
	movw $0xffff, %bp
	K("word at bp=ffff", 12, NOERR, movw (%bp), %ax)
	K("ds override of bp", 13, NOERR, movw %ds:(%bp), %ax)
	K("word at cs:ffff", 13, NOERR, movw %cs:0xffff, %ax)
	movl $0x10000, %eax
	K("byte at 10000", 13, NOERR, movb (%eax), %bl)
	movl $-1, %eax
	K("byte at ffffffff", 13, NOERR, movb (%eax), %bl)
	K("lea has no limit", NONE, NOERR, leal 0x20000(%eax), %ecx)
	EQ("lea 32", %ecx, 0x1ffff)
	SEG2(%es)
	movb $0x5a, %es:1
	movw $0xffff, %bx
	movw $2, %si
	K("bx+si wraps", NONE, NOERR, movw $0x2000, %ax; movw %ax, %ds; movb (%bx,%si), %cl; movzbl %cl, %ecx)
	EQ("bx+si wrapped", %ecx, 0x5a)
	/* Beyond 1 MiB: ffff:0010 is 100000h when A20 is on. */
	movl $0, %ecx
	K("ffff:0010", NONE, NOERR, movw $0xffff, %ax; movw %ax, %ds; movl $0xabcd1234, 0x10; movl 0x10, %ecx)
	EQ("ffff:0010 reads back", %ecx, 0xabcd1234)

/* SDM 3:21.1.4, 2:PUSH, POP, ENTER, PUSHA. Stacks in segment 2000h. */
#define STACK(at) movw $0x2000, %ax; movw %ax, %ss; movl $at, %esp
stacks:
	K("push at sp 0", NONE, NOERR, STACK(0); pushw $0x1234; movw %ss:0xfffe, %cx; movzwl %cx, %ecx)
	EQ("push at sp 0 stores", %ecx, 0x1234)
	EQ("push at sp 0: sp", got_esp, 0xfffe)
	LIMITS(KT("pop at ffff", 12, NOERR, STACK(0xffff); popw %cx))
	LIMITS(KT("popl at fffe", 12, NOERR, STACK(0xfffe); popl %ecx))
	LIMITS(KT("popa at fff1", 12, NOERR, STACK(0xfff1); popaw))
	LIMITS(KT("ret at ffff", 12, NOERR, STACK(0xffff); retw))
	LIMITS(KT("iret at fffd", 12, NOERR, STACK(0xfffd); iretw))
	K("pop at fffe wraps sp", NONE, NOERR, STACK(0xfffe); popw %cx)
	EQ("pop at fffe: sp", got_esp, 0)
	K("push sp", NONE, NOERR, movl $0x6ef0, %esp; pushw %sp; popw %cx; movzwl %cx, %ecx)
	EQ("push sp stores the old one", %ecx, 0x6ef0)
	K("pop sp", NONE, NOERR, movl $0x6ef0, %esp; pushw $0x6e80; popw %sp)
	EQ("pop sp keeps what was popped", got_esp, 0x6e80)
	K("pop (esp)", NONE, NOERR, movl $0x6ef0, %esp; pushl $1; pushl $2; popl (%esp); popl %ecx)
	EQ("pop (esp) addresses with the new esp", %ecx, 2)
	K("push (esp)", NONE, NOERR, movl $0x6ef0, %esp; pushl $1; pushl (%esp); popl %ecx)
	EQ("push (esp) addresses with the old esp", %ecx, 1)
	K("pusha", NONE, NOERR, movl $0x6ef0, %esp; movl $7, %ecx; pushaw; movw 0x6ef0 - 10, %dx; movzwl %dx, %edx)
	EQ("pusha stores the old sp", %edx, 0x6ef0)
	EQ("pusha: sp", got_esp, 0x6ee0)
	K("popa", NONE, NOERR, movl $0x6ee0, %esp; movw $0x1111, 0x6ee6; movw $0x2222, 0x6eee; popaw; movzwl %ax, %eax)
	EQ("popa skips sp", got_esp, 0x6ef0)
	EQ("popa: ax", %eax, 0x2222)
	movl $0x12340000, %esp
	K("16-bit stack keeps esp", NONE, NOERR, pushw $1; movl %esp, %ecx; movl $0x6ef0, %esp)
	EQ("16-bit stack: esp", %ecx, 0x1234fffe)
	/* ENTER 8, 2 from bp 6f00h, sp 6ff0h: old bp, the outer frame, the new frame. */
	movw $0xaaaa, 0x6dfe
	K("enter 8, 2", NONE, NOERR, movw $0x6e00, %bp; movl $0x6ef0, %esp; enterw $8, $2; movzwl %bp, %ebp)
	EQ("enter: bp", %ebp, 0x6eee)
	EQ("enter: sp", got_esp, 0x6ee2)
	EQ("enter: frames", 0x6eea, 0xaaaa6eee)
	K("enter 0, 32 is level 0", NONE, NOERR, movl $0x6ef0, %esp; enterw $2, $32)
	EQ("enter level modulo 32", got_esp, 0x6eec)
	K("leave", NONE, NOERR, movw $0x5555, 0x6e00; movw $0x6e00, %bp; leavew; movzwl %bp, %ebp)
	EQ("leave: bp", %ebp, 0x5555)
	EQ("leave: sp", got_esp, 0x6e02)
	/* A push whose memory operand faults leaves sp. */
	LIMITS(KT("push of ffff", 13, NOERR, movl $0x6ef0, %esp; pushw 0xffff))
	EQ("push of ffff: sp", got_esp, 0x6ef0)
	LIMITS(KT("pop to ffff", 13, NOERR, movl $0x6ef0, %esp; popw 0xffff))
	EQ("pop to ffff: sp", got_esp, 0x6ef0)
	LIMITS(KT("call through ffff", 13, NOERR, movl $0x6ef0, %esp; callw *0xffff))
	EQ("call through ffff: sp", got_esp, 0x6ef0)

/* SDM 2:JMP, CALL, RET, LOOP. Code is written to segment 2000h. */
branches:
	SEG2(%es)
	movw $0x9090, %es:0xfffe
	movb $0xb8, %es:0xffff
	LIMITS(KT("instruction across ffff", 13, NOERR, ljmpw $0x2000, $0xffff))
	EQ("instruction across ffff: ip", got_ip, 0xffff)
	SEG2(%es)
	movw $0x10eb, %es:0xfff9	/* jmp to 1000bh */
	movb $0xcc, %es:0x000b
	KT("short jump wraps", NONE, NOERR, ljmpw $0x2000, $0xfff9)
	EQ("short jump wrapped", got_ip, 0xc)
	EQ("short jump wrapped: cs", got_cs, 0x2000)
	LIMITS(KT("jmp rel32 beyond", 13, NOERR, .byte 0x66, 0xe9; .long 0x10000))
	LIMITS(KT("call rel32 beyond", 13, NOERR, movl $0x6ef0, %esp; .byte 0x66, 0xe8; .long 0x10000))
	EQ("call rel32 beyond: sp", got_esp, 0x6ef0)
	movl $0x10000, %ecx
	LIMITS(K("jmp ecx beyond", 13, NOERR, jmpl *%ecx))
	LIMITS(K("call ecx beyond", 13, NOERR, calll *%ecx))
	LIMITS(KT("ret beyond", 13, NOERR, movl $0x6ef0, %esp; pushl $0x10000; retl))
	EQ("ret beyond: sp", got_esp, 0x6eec)
	LIMITS(K("ljmp beyond", 13, NOERR, ljmpl $0, $0x10000))
	LIMITS(K("lcall beyond", 13, NOERR, lcalll $0, $0x10000))
	LIMITS(KT("iretl beyond", 13, NOERR, pushfl; pushl $0; pushl $0x10000; iretl))
	movl $0x10002, %ecx
	K("loop uses cx", NONE, NOERR, movl $0, %eax; 1: incl %eax; loop 1b)
	EQ("loop uses cx: rounds", %eax, 2)
	EQ("loop uses cx: ecx", %ecx, 0x10000)
	movl $2, %ecx
	K("addr32 loop", NONE, NOERR, movl $0, %eax; 1: incl %eax; addr32 loop 1b)
	EQ("addr32 loop: rounds", %eax, 2)
	movl $0x10000, %ecx
	K("jcxz", NONE, NOERR, movl $0, %eax; jcxz 1f; incl %eax; 1: jecxz 2f; addl $2, %eax; 2:)
	EQ("jcxz and jecxz", %eax, 2)
	movl $3, %ecx
	K("loopne", NONE, NOERR, cmpb %al, %al; loopne .)
	EQ("loopne stops at ZF", %ecx, 2)
	/* Far returns and calls. */
	K("lret 2", NONE, NOERR, movl $0x6ef0, %esp; pushw $0; pushw $0; pushw $1f; lretw $2; 1:)
	EQ("lret 2: sp", got_esp, 0x6ef0)
	K("lcall", NONE, NOERR, movl $0x6ef0, %esp; lcallw $0, $1f; 1:)
	EQ("lcall: frame", 0x6eec, 1b)
	K("iretl", NONE, NOERR, movl $0x6ef0, %esp; pushl $2; pushl $0xffff0000; pushl $1f; iretl; 1:)
	EQ("iretl: sp", got_esp, 0x6ef0)
	FLAGS("iretl: flags", 0xffff, 2)

/* SDM 2:DAA, DAS, AAA, AAS, AAM, AAD, DIV, IDIV, BOUND, INTO. */
arithmetic:
	K("daa", NONE, NOERR, movl $0x9a, %eax; addb $0, %al; daa)
	EQ("daa 9a", %eax, 0)
	FLAGS("daa 9a: flags", FL_CF | FL_AF | FL_ZF, FL_CF | FL_AF | FL_ZF)
	K("das", NONE, NOERR, movl $0x1f, %eax; addb $0, %al; das)
	EQ("das 1f", %eax, 0x19)
	FLAGS("das 1f: flags", FL_CF | FL_AF, FL_AF)
	K("das with carry", NONE, NOERR, movl $0x10, %eax; stc; das)
	EQ("das 10 with CF", %eax, 0xb0)
	K("aaa", NONE, NOERR, movl $0x00ff, %eax; addb $0, %al; aaa)
	EQ("aaa ff carries into ah", %eax, 0x0205)
	K("aas", NONE, NOERR, movl $0x0200, %eax; addb $0, %al; movl $0x020f, %eax; aas)
	EQ("aas 020f", %eax, 0x0109)
	K("aam", NONE, NOERR, movl $63, %eax; aam)
	EQ("aam 63", %eax, 0x0603)
	K("aam 16", NONE, NOERR, movl $0x5a, %eax; .byte 0xd4, 16)
	EQ("aam by 16", %eax, 0x050a)
	K("aad", NONE, NOERR, movl $0x0603, %eax; aad)
	EQ("aad 0603", %eax, 63)
	K("aam 0", 0, NOERR, .byte 0xd4, 0)
	movl $0x100, %eax
	movl $0, %edx
	movl $0, %ecx
	K("div by 0", 0, NOERR, divw %cx)
	K("idiv by 0", 0, NOERR, idivl %ecx)
	movb $1, %cl
	K("divb overflow", 0, NOERR, divb %cl)
	movl $0xff80, %eax
	movb $-1, %cl
	K("idivb 128", 0, NOERR, idivb %cl)
	movb $1, %cl
	K("idivb -128", NONE, NOERR, idivb %cl)
	EQ("idivb -128: result", %eax, 0x80)
	movl $0x80000000, %eax
	movl $-1, %edx
	movl $-1, %ecx
	K("idivl 2^31", 0, NOERR, idivl %ecx)
	EQ("a fault of idiv leaves eax", %eax, 0x80000000)
	DATA
bounds:	.word 5, 10
	END_DATA
	movl $5, %eax
	K("bound lower", NONE, NOERR, boundw %ax, bounds)
	movl $10, %eax
	K("bound upper", NONE, NOERR, boundw %ax, bounds)
	movl $11, %eax
	K("bound above", 5, NOERR, boundw %ax, bounds)
	movl $-1, %eax
	K("bound is signed", 5, NOERR, boundw %ax, bounds)
	K("into without OF", NONE, NOERR, testb %al, %al; into)
	KT("into with OF", 4, NOERR, movb $0x7f, %al; incb %al; into; 1:)
	EQ("into: ip", got_ip, 1b)
	KT("int 42h", 0x42, NOERR, int $0x42; 1:)
	EQ("int 42h: ip", got_ip, 1b)
	/* SDM 2:SALC is not there; all processors have it. */
	K("salc", NONE, NOERR, stc; .byte 0xd6; movzbl %al, %eax)
	EQ("salc with CF", %eax, 0xff)

/* SDM 2:SAL, RCL, SHLD, BT. Counts are taken modulo 32. */
bits:
	K("shl by 32", NONE, NOERR, movl $0x12, %eax; movb $32, %cl; stc; shll %cl, %eax)
	EQ("shl by 32 is none", %eax, 0x12)
	FLAGS("shl by 32 keeps CF", FL_CF, FL_CF)
	K("shl by 33", NONE, NOERR, movl $0x12, %eax; movb $33, %cl; shll %cl, %eax)
	EQ("shl by 33 is by 1", %eax, 0x24)
	K("shrb by 9", NONE, NOERR, movl $0xff, %eax; shrb $9, %al)
	EQ("shrb by 9", %eax, 0)
	K("sarw by 31", NONE, NOERR, movl $0x8000, %eax; sarw $31, %ax)
	EQ("sarw by 31", %eax, 0xffff)
	FLAGS("sarw by 31: CF", FL_CF, FL_CF)
	K("rclw by 17", NONE, NOERR, movl $0x8001, %eax; stc; rclw $17, %ax)
	EQ("rclw by 17 is none", %eax, 0x8001)
	FLAGS("rclw by 17: CF", FL_CF, FL_CF)
	K("rclb by 10", NONE, NOERR, movl $0x80, %eax; clc; rclb $10, %al)
	EQ("rclb by 10 is by 1", %eax, 0)
	FLAGS("rclb by 10: CF", FL_CF, FL_CF)
	K("rorw by 16", NONE, NOERR, movl $0x8001, %eax; clc; rorw $16, %ax)
	EQ("rorw by 16", %eax, 0x8001)
	FLAGS("rorw by 16: CF is the top bit", FL_CF, FL_CF)
	K("shld", NONE, NOERR, movl $0x1234, %eax; movl $0xabcd, %ecx; shldw $4, %cx, %ax)
	EQ("shldw by 4", %eax, 0x234a)
	K("d0 /6 is shl", NONE, NOERR, movl $0x41, %eax; .byte 0xd0, 0xf0)
	EQ("d0 /6", %eax, 0x82)
	K("f6 /1 is test", NONE, NOERR, movl $0x41, %eax; .byte 0xf6, 0xc8, 0x40)
	FLAGS("f6 /1: ZF", FL_ZF, 0)
	DATA
	.word 0x8000
bitmap:	.word 0, 1
	END_DATA
	movl $-1, %eax
	K("bt of a negative bit", NONE, NOERR, btw %ax, bitmap)
	FLAGS("bt of bit -1", FL_CF, FL_CF)
	movl $16, %eax
	K("btc of bit 16", NONE, NOERR, btcw %ax, bitmap)
	FLAGS("btc of bit 16: CF", FL_CF, FL_CF)
	EQ("btc of bit 16: memory", bitmap, 0)
	movl $0x21, %eax
	movl $0, %ecx
	K("bts in a register", NONE, NOERR, btsl %eax, %ecx)
	EQ("bts of bit 33 is 1", %ecx, 2)
	movl $0x8000, %eax	/* the word at bitmap + 1000h, downwards: bitmap - 1000h */
	movw $0x1000 + bitmap, %bx
	K("bt wraps", NONE, NOERR, btsw %ax, (%bx))
	EQ("bts with a wide negative index", bitmap, 1)
	K("bsf of 0", NONE, NOERR, movl $0, %ecx; bsfl %ecx, %eax)
	FLAGS("bsf of 0: ZF", FL_ZF, FL_ZF)

/* SDM 2:MOVS, CMPS, SCAS, LODS, STOS, REP. */
strings:
	movl $0x10002, %ecx
	movl $0x50000, %edi
	K("rep stosb uses cx and di", NONE, NOERR, movb $0x77, %al; rep stosb)
	EQ("rep stosb: ecx", %ecx, 0x10000)
	EQ("rep stosb: edi", %edi, 0x50002)
	movl $0, %ecx
	movl $0xffff, %esi
	K("rep lodsw of none", NONE, NOERR, rep lodsw)
	K("lodsw at ffff", 13, NOERR, lodsw)
	EQ("lodsw at ffff: si", %esi, 0xffff)
	K("lodsb at ffff", NONE, NOERR, lodsb)
	EQ("lodsb at ffff: si wraps", %esi, 0)
	movl $0xfffb, %edi
	movl $3, %ecx
	KT("rep stosw to the end", 13, NOERR, SEG2(%es); 1: rep stosw)
	EQ("rep stosw to the end: ip", got_ip, 1b)
	EQ("rep stosw to the end: cx", %ecx, 1)
	EQ("rep stosw to the end: di", %edi, 0xffff)
	movl $0x10004, %ecx
	movl $SCRATCH, %edi
	K("addr32 rep stosb beyond 64 KiB", 13, NOERR, addr32 rep stosb)
	EQ("addr32 rep stosb: ecx", %ecx, 0x10004)
	movl $3, %ecx
	movl $0x6105, %edi
	movl $0x6103, %esi
	movl $0x33221100, 0x6100
	movl $0x77665544, 0x6104
	K("rep movsb downwards", NONE, NOERR, std; rep movsb)
	EQ("rep movsb downwards: low", 0x6100, 0x11221100)
	EQ("rep movsb downwards: high", 0x6104, 0x77663322)
	EQ("rep movsb downwards: esi", %esi, 0x6100)
	EQ("rep movsb downwards: edi", %edi, 0x6102)
	movl $4, %ecx
	movl $0x6101, %edi
	movl $0x6100, %esi
	movl $0x33221100, 0x6100
	K("rep movsb overlapping", NONE, NOERR, rep movsb)
	EQ("rep movsb overlapping fills", 0x6101, 0)
	movl $2, %ecx
	movl $0x6100, %edi
	movl $0x6108, %esi
	movl $0x12345678, 0x6104
	K("rep movsl downwards", NONE, NOERR, movl $0x87654321, 0x6108; std; rep movsl)
	EQ("rep movsl downwards: edi", %edi, 0x60f8)
	EQ("rep movsl downwards: data", 0x60fc, 0x12345678)
	movl $5, %ecx
	movl $0x6100, %esi
	movl $0x6110, %edi
	movl $0x44332211, 0x6100
	movl $0x44002211, 0x6110
	K("repe cmpsb", NONE, NOERR, repe cmpsb)
	EQ("repe cmpsb: ecx", %ecx, 2)
	EQ("repe cmpsb: esi", %esi, 0x6103)
	FLAGS("repe cmpsb: flags", FL_ZF | FL_CF, 0)
	movl $5, %ecx
	movl $0x6100, %edi
	K("repne scasb", NONE, NOERR, movb $0x33, %al; repne scasb)
	EQ("repne scasb: ecx", %ecx, 2)
	FLAGS("repne scasb: ZF", FL_ZF, FL_ZF)
	movl $0, %ecx
	K("repe cmpsb of none", NONE, NOERR, cmpb $1, %cl; repe cmpsb)
	FLAGS("repe cmpsb of none keeps flags", FL_ZF | FL_CF, FL_CF)
	movl $0x44, 0x6100
	movl $0x6100, %esi
	K("fs override", NONE, NOERR, movw $0x10, %ax; movw %ax, %fs; movl $0x5b, 0x6200; .byte 0x64; lodsb)
	movl $0, %ebx
	movl $0x6100 - 0x100, %esi
	K("lodsb %fs", NONE, NOERR, movw $0x10, %ax; movw %ax, %fs; .byte 0x64; lodsb; movb %al, %bl)
	EQ("lodsb of fs", %ebx, 0x44)
	movb $0x99, 0x6180
	movl $0x6100, %ebx
	K("xlat", NONE, NOERR, movl $0x80, %eax; xlatb)
	EQ("xlat", %eax, 0x99)
	movl $0xffff, %ebx
	K("xlat wraps", NONE, NOERR, movl $0x81, %eax; movb $0x42, 0x80; .byte 0x3e; xlatb)
	EQ("xlat wrapped", %eax, 0x42)
	movl $0x0020, 0x82	/* vector 20h again */

/* SDM 2:LDS. */
far_pointers:
	DATA
pointer16: .word 0x1111, 0x2222
pointer32: .long 0x33334444
	.word 0x5555
	END_DATA
	K("lds", NONE, NOERR, movl $0, %eax; ldsw pointer16, %ax)
	EQ("lds: offset", %eax, 0x1111)
	EQ("lds: segment", got_ds, 0x2222)
	K("lesl", NONE, NOERR, lesl pointer32, %eax)
	EQ("lesl: offset", %eax, 0x33334444)
	EQ("lesl: segment", got_es, 0x5555)
	K("lss", NONE, NOERR, movw $0, pointer16; movw $0, pointer16 + 2; lssw pointer16, %cx)
	K("lfs", NONE, NOERR, movw $0x2222, pointer16 + 2; lfsw pointer16, %cx)
	EQ("lfs: segment", got_fs, 0x2222)
	K("lgs", NONE, NOERR, lgsw pointer16, %cx)
	EQ("lgs: segment", got_gs, 0x2222)
	movl $0x77, %eax
	K("lds at fffd", 13, NOERR, ldsw 0xfffd, %ax)
	EQ("lds at fffd leaves ax", %eax, 0x77)
	EQ("lds at fffd leaves ds", got_ds, 0)
	K("lesl at fffb", 13, NOERR, lesl 0xfffb, %eax)
	K("lds of a register", 6, NOERR, .byte 0xc5, 0xc0)
	K("les of a register", 6, NOERR, .byte 0xc4, 0xc0)
	K("lss of a register", 6, NOERR, .byte 0x0f, 0xb2, 0xc0)
	LIMITS(K("ljmp through fffd", 13, NOERR, ljmpw *0xfffd))
	K("ljmp of a register", 6, NOERR, .byte 0xff, 0xe8)
	K("lcall of a register", 6, NOERR, .byte 0xff, 0xd8)

/* #UD: SDM 2:A.2 to A.4, 3:6.15, 2:LOCK. */
undefined:
	movl $0, %eax
	K("ud2", 6, NOERR, ud2)
	K("ud1", 6, NOERR, .byte 0x0f, 0xb9, 0xc0)
	K("ud0", 6, NOERR, .byte 0x0f, 0xff, 0xc0)
	K("mov cs", 6, NOERR, .byte 0x8e, 0xc8)
	K("mov to segment 6", 6, NOERR, .byte 0x8e, 0xf0)
	K("mov from segment 7", 6, NOERR, .byte 0x8c, 0xf8)
	K("lea of a register", 6, NOERR, .byte 0x8d, 0xc0)
	K("bound of a register", 6, NOERR, .byte 0x62, 0xc0)
	K("fe /2", 6, NOERR, .byte 0xfe, 0xd0)
	K("ff /7", 6, NOERR, .byte 0xff, 0xf8)
	K("c6 /1", 6, NOERR, .byte 0xc6, 0xc8, 0)
	K("0f ba /0", 6, NOERR, .byte 0x0f, 0xba, 0xc0, 0)
	K("0f c7 /0", 6, NOERR, .byte 0x0f, 0xc7, 0x06, 0, 0)
	K("cmpxchg8b of a register", 6, NOERR, .byte 0x0f, 0xc7, 0xc8)
	K("lgdt of a register", 6, NOERR, .byte 0x0f, 0x01, 0xd0 + 8 + 7)
	K("invlpg of a register", 6, NOERR, .byte 0x0f, 0x01, 0xff)
	K("movnti of a register", 6, NOERR, .byte 0x0f, 0xc3, 0xc0)
	K("mov cr1", 6, NOERR, .byte 0x0f, 0x20, 0xc8)
	K("mov to cr1", 6, NOERR, .byte 0x0f, 0x22, 0xc8)
	K("mov cr5", 6, NOERR, .byte 0x0f, 0x20, 0xe8)
	K("mov cr7", 6, NOERR, .byte 0x0f, 0x20, 0xf8)
	K("mov tr6", 6, NOERR, .byte 0x0f, 0x24, 0xf0)
	K("sldt", 6, NOERR, sldt %ax)
	K("str", 6, NOERR, str %ax)
	K("lldt", 6, NOERR, lldt %ax)
	K("ltr", 6, NOERR, ltr %ax)
	K("verr", 6, NOERR, verr %ax)
	K("verw", 6, NOERR, verw %ax)
	K("lar", 6, NOERR, lar %ax, %ax)
	K("lsl", 6, NOERR, lsl %ax, %ax)
	K("arpl", 6, NOERR, arpl %ax, %ax)
	K("rsm", 6, NOERR, rsm)
	K("syscall without EFER.SCE", 6, NOERR, syscall)
	K("sysenter", 13, NOERR, sysenter)
	K("sysexit", 13, NOERR, sysexit)
	K("lock nop", 6, NOERR, .byte 0xf0, 0x90)
	K("lock add of a register", 6, NOERR, .byte 0xf0, 0x01, 0xc0)
	K("lock add to a register", 6, NOERR, .byte 0xf0, 0x03, 0x06, 0, 0x61)
	K("lock mov", 6, NOERR, .byte 0xf0, 0x89, 0x06, 0, 0x61)
	K("lock cmp", 6, NOERR, .byte 0xf0, 0x39, 0x06, 0, 0x61)
	K("lock cmp imm", 6, NOERR, .byte 0xf0, 0x83, 0x3e, 0, 0x61, 0)
	K("lock test", 6, NOERR, .byte 0xf0, 0x85, 0x06, 0, 0x61)
	K("lock bt", 6, NOERR, .byte 0xf0, 0x0f, 0xa3, 0x06, 0, 0x61)
	K("lock shl", 6, NOERR, .byte 0xf0, 0xd1, 0x26, 0, 0x61)
	K("lock push", 6, NOERR, .byte 0xf0, 0x50)
	K("lock jmp", 6, NOERR, .byte 0xf0, 0xeb, 0)
	K("lock movsb", 6, NOERR, .byte 0xf0, 0xa4)
	K("lock mul", 6, NOERR, .byte 0xf0, 0xf7, 0x26, 0, 0x61)
	movl $1, 0x6100
	movl $2, %eax
	K("lock add", NONE, NOERR, lock addl %eax, 0x6100)
	EQ("lock add: memory", 0x6100, 3)
	K("lock not", NONE, NOERR, lock notl 0x6100)
	K("lock bts", NONE, NOERR, lock btsl $1, 0x6100)
	K("lock xadd", NONE, NOERR, lock xaddl %eax, 0x6100)
	EQ("lock xadd: old", %eax, -2)
	K("lock xchg", NONE, NOERR, lock xchgl %eax, 0x6100)
	K("lock cmpxchg8b", NONE, NOERR, lock cmpxchg8b 0x6100)
	/* #UD comes before what the operand would raise. */
	K("lock and a limit", 6, NOERR, .byte 0xf0, 0x89, 0x06, 0xff, 0xff)

/* SDM 2:2.3.11: more than 15 bytes are #GP. */
lengths:
	K("15 bytes", NONE, NOERR, .fill 14, 1, 0x3e; nop)
	K("16 bytes", 13, NOERR, .fill 15, 1, 0x3e; nop)
	K("15 bytes undefined", 6, NOERR, .fill 13, 1, 0x3e; ud2)
	K("16 bytes undefined", 13, NOERR, .fill 14, 1, 0x3e; ud2)
	K("16 bytes, the last of the operand", 13, NOERR, .fill 13, 1, 0x3e; movw $0x1234, %ax)

/* SDM 3:2.5, table 9-2 and 13-1: CR0.EM, TS and MP. */
#define CR0(bits) movl %cr0, %edx; andb $0xf1, %dl; orb $bits, %dl; movl %edx, %cr0
units:
	CR0(8)
	K("fninit with TS", 7, NOERR, fninit)
	K("wait with TS alone", NONE, NOERR, fwait)
	CR0(10)
	K("wait with TS and MP", 7, NOERR, fwait)
	K("clts", NONE, NOERR, clts)
	K("fninit after clts", NONE, NOERR, fninit)
	CR0(4)
	K("fninit with EM", 7, NOERR, fninit)
	K("wait with EM", NONE, NOERR, fwait)
	K("mmx with EM", 6, NOERR, paddb %mm0, %mm0)
	CR0(2)
	K("sse without OSFXSR", 6, NOERR, addps %xmm0, %xmm0)
	movl %cr4, %eax
	orl $0x200, %eax
	movl %eax, %cr4
	K("sse with OSFXSR", NONE, NOERR, addps %xmm0, %xmm0)
	CR0(10)
	K("sse with TS", 7, NOERR, addps %xmm0, %xmm0)
	K("prefetch with TS", NONE, NOERR, prefetchnta 0x6100)
	CR0(6)
	K("sse with EM", 6, NOERR, addps %xmm0, %xmm0)
	CR0(2)
	movl $0, %eax
	movl %eax, %cr4
	/* SDM 2:SMSW, LMSW. */
	K("smsw", NONE, NOERR, smsww %ax; andl $0xf, %eax)
	EQ("smsw", %eax, 2)
	K("lmsw", NONE, NOERR, movw $8, %ax; lmsw %ax; smsww %ax; andl $0xf, %eax)
	EQ("lmsw sets TS", %eax, 8)
	CR0(2)
	/* SDM 3:18.1: an unmasked error is #MF at the next instruction that waits, if CR0.NE. */
	movl %cr0, %eax
	orb $0x20, %al
	movl %eax, %cr0
	K("x87 error waits", NONE, NOERR, fninit; movl $0x37b, 0x6100; fldcw 0x6100; fld1; fldz; fdivrp)
	K("fwait with an error", 16, NOERR, fwait)
	K("fnop with an error", 16, NOERR, fnop)
	K("fnclex with an error", NONE, NOERR, fnclex; fwait; fninit)

/* SDM 1:3.4.3, 2:PUSHF, POPF, INT, IRET, SAHF. */
flags:
	K("popf of ones", NONE, NOERR, pushw $0x7cd7; popfw; pushfw; popw %ax; movzwl %ax, %eax; cld)
	EQ("popf of ones", %eax, 0x7cd7)
	K("popf of the fixed bits", NONE, NOERR, pushw $0x8028; popfw; pushfw; popw %ax; movzwl %ax, %eax)
	EQ("popf of the fixed bits", %eax, 2)
	K("popfl", NONE, NOERR, pushl $0x3f0002; popfl; pushfl; popl %eax; pushl $2; popfl)
	EQ("popfl: no RF, VM, VIF, VIP", %eax, 0x240002)
	K("sahf", NONE, NOERR, movl $0xff00, %eax; sahf; movb $0, %ah; lahf)
	EQ("sahf and lahf", %eax, 0xd700)
	KT("int clears", NONE, NOERR, pushl $0x47202 - FL_IF; popfl; int3)
	K("int clears IF, TF, AC", NONE, NOERR, movw $1f, 0x43 * 4; pushl $0x47002; popfl; int $0x43; jmp 2f; 1: pushfl; popl %eax; iretw; 2: pushfl; popl %ecx; pushl $2; popfl)
	EQ("in a handler AC is clear", %eax, 0x7002)
	EQ("iret of 16 bits leaves it so", %ecx, 0x7002)
	/* Single step: after the instruction that follows POPF; not after MOV SS. DR6.BS. */
	movl $0, %eax
	movl %eax, %dr6
	KT("single step", 1, NOERR, pushw $FL_TF | 2; popfw; nop; 1: nop; nop)
	EQ("single step: ip", got_ip, 1b)
	FLAGS("single step: TF", FL_TF, FL_TF)
	movl %dr6, %eax
	EQ("single step: DR6", %eax, 0xffff4ff0)
	movl $0, %eax
	movl %eax, %dr6
	KT("single step after mov ss", 1, NOERR, movw $0, %cx; pushw $FL_TF | 2; popfw; movw %cx, %ss; nop; 1: nop; nop)
	EQ("single step after mov ss: ip", got_ip, 1b)
	KT("single step of int", 0x44, NOERR, pushw $FL_TF | 2; popfw; int $0x44; 1:)
	EQ("single step of int: ip", got_ip, 1b)
	movl $3, %ecx
	movl $0x6100, %edi
	KT("single step of rep", 1, NOERR, pushw $FL_TF | 2; popfw; 1: rep stosb)
	EQ("single step of rep: one iteration", %ecx, 2)
	EQ("single step of rep: ip", got_ip, 1b)
	K("int1", NONE, NOERR, nop)
	KT("icebp", 1, NOERR, .byte 0xf1; 1:)
	EQ("icebp: ip", got_ip, 1b)
	/* Breakpoints on execution are faults, on data traps (SDM 3:17.2.4). */
	movl $0, %eax
	movl %eax, %dr6
	movl $1f, %eax
	movl %eax, %dr0
	movl $2, %eax
	movl %eax, %dr7
	KT("execution breakpoint", 1, NOERR, nop; 1: nop)
	EQ("execution breakpoint: ip", got_ip, 1b)
	movl %dr6, %eax
	EQ("execution breakpoint: DR6", %eax, 0xffff0ff1)
	movl $0x6100, %eax
	movl %eax, %dr0
	movl $0xd0002, %eax	/* four bytes, writes */
	movl %eax, %dr7
	K("data breakpoint, read", NONE, NOERR, movl 0x6100, %eax)
	KT("data breakpoint", 1, NOERR, movb $1, 0x6103; 1: nop)
	EQ("data breakpoint: ip", got_ip, 1b)
	K("data breakpoint beside", NONE, NOERR, movl $1, 0x6104)
	movl %dr7, %eax
	EQ("DR7 has bit 10", %eax, 0xd0402)
	movl $0x2402, %eax	/* GD */
	movl $0, %ecx
	movl %ecx, %dr6
	movl %eax, %dr7
	K("general detect", 1, NOERR, movl %dr0, %eax)
	movl %dr6, %eax
	EQ("general detect: DR6.BD", %eax, 0xffff2ff0)
	movl %dr7, %eax
	EQ("general detect clears GD", %eax, 0x402)
	movl $0, %eax
	movl %eax, %dr7
	movl %eax, %dr6
	K("dr4 is dr6", NONE, NOERR, .byte 0x0f, 0x21, 0xe0)
	EQ("dr4 is dr6", %eax, 0xffff0ff0)
	movl $8, %eax
	movl %eax, %cr4
	K("dr4 with CR4.DE", 6, NOERR, .byte 0x0f, 0x21, 0xe0)
	K("dr5 with CR4.DE", 6, NOERR, .byte 0x0f, 0x23, 0xe8)
	movl $0, %eax
	movl %eax, %cr4

/* SDM 3:21.1.3, 2:LIDT: the table has a limit here too. CR0 and CR4: 3:2.5. */
tables:
	DATA
idtr:	.word 0x50 * 4 - 1
	.long 0
idtr_short: .word 0x40 * 4 + 2
	.long 0
idtr_back: .word 0, 0, 0
	END_DATA
	lidtw idtr_short
	KT("int at the end of the table", 13, NOERR, int $0x40)
	K("int beyond the table", 13, NOERR, int $0x4f)
	KT("int inside the table", 0x3f, NOERR, int $0x3f)
	lidtw idtr
	K("sidt", NONE, NOERR, sidtw idtr_back; movzwl idtr_back, %eax)
	EQ("sidt: limit", %eax, 0x13f)
	LIMITS(K("lidt at fffb", 13, NOERR, lidtw 0xfffb))
	movl %cr0, %eax
	movl %eax, %ecx
	orl $0x80000000, %eax
	K("PG without PE", 13, NOERR, movl %eax, %cr0)
	movl %ecx, %eax
	orl $0x20000000, %eax
	andl $~0x40000000, %eax
	K("NW without CD", 13, NOERR, movl %eax, %cr0)
	movl $0x80000000, %eax
	K("reserved bit of CR4", 13, NOERR, movl %eax, %cr4)
	movl $0x12345678, %ecx
	K("rdmsr of none", 13, NOERR, rdmsr)
	K("wrmsr of none", 13, NOERR, wrmsr)
	K("mod of mov cr is ignored", NONE, NOERR, .byte 0x0f, 0x20, 0x00)
	jmp the_end

	.code16gcc
#include "calls.inc"
#include "real.inc"
#include "data.inc"
