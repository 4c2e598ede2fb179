/* SPDX-License-Identifier: MIT */
/* 64-bit mode: what is different there. SDM 3:3.2.4, 3:5.2.1, 3:5.8.3.1, 3:6.14, 1:3.3.7.1; APM 2. */
#include "macros.inc"

#define KCODE  0x08
#define KDATA  0x10
#define UCODE32 0x1b
#define UDATA  0x23
#define UCODE  0x2b
#define TSS    0x30
#define KCODE32 0x40
#define GATE   0x50
#define NPDATA 0x60
#define LDCODE 0x68 /* L and D */
#define TEST   0x70 /* 16 bytes */
#define TSS16  0x80
#define RODATA 0x90
#define BEYOND 0x100

#define PML4 0x20000
#define PDPT 0x21000
#define PD   0x22000
#define PT   0x23000
#define PAGE 0x1e0000
#define FRAME 0x30000

#define INTEL  0x756e6547 /* "Genu" */

#define STAR   0xc0000081
#define LSTAR  0xc0000082
#define SFMASK 0xc0000084
#define FSBASE 0xc0000100
#define GSBASE 0xc0000101
#define KGSBASE 0xc0000102
#define EFER   0xc0000080

#undef RUN
#undef EQ
#undef FLAGS
/* Code that is entered and left in a way of its own. */
#define TRIED(in, out, name, vec, err, ip, ...)                                                    \
	movq $9f, resume;                                                                          \
	in;                                                                                        \
	8:__VA_ARGS__;                                                                             \
	int3;                                                                                      \
	out;                                                                                       \
	9:call outcome;                                                                            \
	NAME(name);                                                                                \
	.long vec, err, ip
#define RUN(name, vec, err, ip, ...)  TRIED(, , name, vec, err, ip, __VA_ARGS__)
#define URUN(name, vec, err, ip, ...) TRIED(call to_user, , name, vec, err, ip, __VA_ARGS__)
#define U(name, vec, err, ...)  URUN(name, vec, err, 8b, __VA_ARGS__)
#define UT(name, vec, err, ...) URUN(name, vec, err, 0, __VA_ARGS__)
/* Compatibility mode at CPL 3. */
#define TO_COMPAT call to_compat; .code32
#define C(name, vec, err, ...) TRIED(TO_COMPAT, .code64, name, vec, err, 8b, __VA_ARGS__)
#define EQ(name, what, want)                                                                       \
	pushq what;                                                                                \
	pushq $want;                                                                               \
	call equal;                                                                                \
	NAME(name)
#define EQ64(name, what, want)                                                                     \
	movabsq $want, %r15;                                                                       \
	pushq what;                                                                                \
	pushq %r15;                                                                                \
	call equal;                                                                                \
	NAME(name)
#define FLAGS(name, mask, want)                                                                    \
	pushq got_flags;                                                                           \
	andq $(mask), (%rsp);                                                                      \
	pushq $(want);                                                                             \
	call equal;                                                                                \
	NAME(name)
#define MSR(index, value)                                                                          \
	movl $index, %ecx;                                                                         \
	movabsq $value, %rax;                                                                      \
	movq %rax, %rdx;                                                                           \
	shrq $32, %rdx;                                                                            \
	wrmsr
#define WRMSR_OF(index, value)                                                                     \
	movl $index, %ecx;                                                                         \
	movabsq $value, %rax;                                                                      \
	movq %rax, %rdx;                                                                           \
	shrq $32, %rdx
#define BAD   0x0000800000000000
#define HIGH  0xffff800000000000
#define LAST  0x00007ffffffffffc /* four bytes below the gap */
#define SS_GATE idt + 12 * 16

	.code16
	.globl _start
_start:
	cli
	movw $0, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $ORIGIN, %esp
	cld
	/* Linear 0 to 2 MiB, to itself. */
	movl $PDPT | 7, %eax
	movw $PML4 >> 4, %bx
	movw %bx, %es
	movl %eax, %es:0
	movl $PD | 7, %es:0x1000
	movl $PT | 7, %es:0x2000
	movl $7, %eax
	movl $0x3000, %ebx
1:	movl %eax, %es:(%ebx)
	movl $0, %es:4(%ebx)
	addl $0x1000, %eax
	addl $8, %ebx
	cmpl $0x4000, %ebx
	jb 1b
	lgdtl gdtr
	movl $0x6a0, %eax	/* PAE, PGE, OSFXSR, OSXMMEXCPT */
	movl %eax, %cr4
	movl $PML4, %eax
	movl %eax, %cr3
	movl $EFER, %ecx
	rdmsr
	orl $0x900, %eax	/* LME, NXE */
	wrmsr
	movl $0x80000033, %eax
	movl %eax, %cr0
	ljmpl $KCODE, $1f
	.code64
1:	movl $KDATA, %eax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $0, %eax
	movw %ax, %fs
	movw %ax, %gs
	lldt %ax
	movl $stubs, %eax
	movl $idt, %ebx
1:	movw %ax, (%rbx)
	addl $16, %eax
	addl $16, %ebx
	cmpl $idt_end, %ebx
	jb 1b
	lidt idtr
	movb $1, SS_GATE + 4	/* IST 1: the stack may be what is wrong */
	movl $TSS, %eax
	ltr %ax

/* Canonical addresses: SDM 1:3.3.7.1; #SS where the stack segment is meant, 3:6.15. */
	movabsq $BAD, %rax
	movq %rax, %rbp
	K("load", 13, 0, movq (%rax), %rbx)
	K("store", 13, 0, movq %rbx, (%rax))
	K("load by rbp", 12, 0, movq (%rbp), %rbx)
	movl got_vector, %ebx
	incl %ebx
	movl %ebx, limit_vector
	K("load by rbp and an index", 12, 0, movq (%rbp,%rax), %rbx)
	K("load with rbp as the index", 13, 0, movq (%rdi,%rbp), %rbx)
	K("lea", NONE, NOERR, leaq (%rax), %rbx)
	K("prefetch", NONE, NOERR, prefetchnta (%rax))
	K("nop with an operand", NONE, NOERR, nopl (%rax))
	K("invlpg", NONE, NOERR, invlpg (%rax))
	K("x87 load", 13, 0, fldl (%rax))
	K("sse load", 13, 0, movups (%rax), %xmm0)
	K("push of memory", 13, 0, pushq (%rax))
	movq %rax, %rsi
	movq %rax, %rdi
	movl $1, %ecx
	K("lodsb", 13, 0, lodsb)
	K("rep stosb", 13, 0, rep stosb)
	movl $0, %ecx
	K("rep stosb of none", NONE, NOERR, rep stosb)
	movabsq $LAST, %rbx
	K("load across the end", 13, 0, movq (%rbx), %rax)
	movabsq $LAST, %rbp
	K("load by rbp across the end", 12, 0, movq (%rbp), %rax)
	movabsq $HIGH - 4, %rbx
	K("load across the other end", 13, 0, movq (%rbx), %rax)
	movabsq $HIGH, %rbx
	K("the first high address is a page fault", 14, 0, movq (%rbx), %rax)
	EQ64("cr2 has 64 bits", got_cr2, HIGH)
	LIMITS(KT("push", 12, 0, movabsq $BAD + 0x100, %rsp; pushq %rax))
	EQ64("push: rsp", got_esp, BAD + 0x100)
	LIMITS(KT("push below the gap's end", 12, 0, movabsq $HIGH, %rsp; pushq %rax))
	LIMITS(KT("pop", 12, 0, movabsq $BAD, %rsp; popq %rax))
	LIMITS(KT("call", 12, 0, movabsq $BAD + 0x100, %rsp; call 1f; 1:))
	LIMITS(KT("ret", 12, 0, movabsq $BAD, %rsp; ret))
	LIMITS(KT("leave", 12, 0, movabsq $BAD, %rbp; leave))
	LIMITS(KT("enter", 12, 0, movabsq $BAD + 0x100, %rsp; enter $0, $0))
	LIMITS(KT("iretq", 12, 0, movabsq $BAD, %rsp; iretq))
	LIMITS(KT("load by rsp", 12, 0, movabsq $BAD, %rsp; movq (%rsp), %rax))
	movabsq $BAD, %rax
	K("jmp", 13, 0, jmp *%rax)
	K("call to it", 13, 0, call *%rax)
	EQ("call to it: rsp", got_esp, ORIGIN)
	LIMITS(KT("ret to it", 13, 0, pushq %rax; 1: ret))
	EQ("ret to it: ip", got_ip, 1b)
	EQ("ret to it: rsp", got_esp, ORIGIN - 8)
	LIMITS(KT("lretq to it", 13, 0, pushq $KCODE; pushq %rax; lretq))
	LIMITS(KT("iretq to it", 13, 0, pushq $KDATA; pushq $ORIGIN; pushq $2; pushq $KCODE; pushq %rax; iretq))
	LIMITS(KT("iretq to it at CPL 3", 13, 0, pushq $UDATA; pushq $USTACK; pushq $2; pushq $UCODE; pushq %rax; iretq))
	movq %rax, bad_table + 2
	K("lgdt of it", 13, 0, lgdt bad_table)
	K("lidt of it", 13, 0, lidt bad_table)
	WRMSR_OF(FSBASE, BAD)
	K("FS_BASE", 13, 0, wrmsr)
	WRMSR_OF(KGSBASE, BAD)
	K("KERNEL_GS_BASE", 13, 0, wrmsr)
	WRMSR_OF(LSTAR, BAD)
	K("LSTAR", 13, 0, wrmsr)
	MSR(FSBASE, 0x00007ffffffff000)
	movl $0x1000, %eax
	K("base and offset together", 13, 0, movq %fs:(%rax), %rbx)
	MSR(FSBASE, 0)

/* What is not there: SDM 2:A, the i64 superscript. */
	K("push es", 6, NOERR, .byte 0x06)
	K("pop es", 6, NOERR, .byte 0x07)
	K("push cs", 6, NOERR, .byte 0x0e)
	K("push ss", 6, NOERR, .byte 0x16)
	K("push ds", 6, NOERR, .byte 0x1e)
	K("daa", 6, NOERR, .byte 0x27)
	K("das", 6, NOERR, .byte 0x2f)
	K("aaa", 6, NOERR, .byte 0x37)
	K("aas", 6, NOERR, .byte 0x3f)
	K("pusha", 6, NOERR, .byte 0x60)
	K("popa", 6, NOERR, .byte 0x61)
	K("group 1 with 82", 6, NOERR, .byte 0x82, 0xc0, 0)
	K("call far", 6, NOERR, .byte 0x9a, 0, 0, 0, 0, 8, 0)
	K("into", 6, NOERR, .byte 0xce)
	K("aam", 6, NOERR, .byte 0xd4, 10)
	K("aad", 6, NOERR, .byte 0xd5, 10)
	K("salc", 6, NOERR, .byte 0xd6)
	K("jmp far", 6, NOERR, .byte 0xea, 0, 0, 0, 0, 8, 0)
	K("mov cs", 6, NOERR, .byte 0x8e, 0xc8)
	K("lock mov", 6, NOERR, .byte 0xf0, 0x89, 0x04, 0x24)
	K("cmpxchg16b of a register", 6, NOERR, .byte 0x48, 0x0f, 0xc7, 0xc8)
	K("rdfsbase without CR4.FSGSBASE", 6, NOERR, .byte 0xf3, 0x0f, 0xae, 0xc0)
	K("xgetbv without CR4.OSXSAVE", 6, NOERR, .byte 0x0f, 0x01, 0xd0)
	K("mov cr1", 6, NOERR, .byte 0x0f, 0x20, 0xc8)
	K("mov cr9", 6, NOERR, .byte 0x44, 0x0f, 0x20, 0xc8)
	K("mov dr8", 6, NOERR, .byte 0x44, 0x0f, 0x21, 0xc0)
	K("REX before a prefix is none", NONE, NOERR, movq $-1, %rax; .byte 0x48, 0x66, 0xb8, 1, 0)
	EQ("REX before a prefix: 16 bits", %rax, -0xffff)
	movl $0x6101, %esi
	K("misaligned movaps", 13, 0, movaps (%rsi), %xmm0)
	K("misaligned cmpxchg16b", 13, 0, lock cmpxchg16b (%rsi))

/* Segments: SDM 3:3.4.4, 2:MOV. */
	K("null ds is used", NONE, NOERR, movl $0, %eax; movw %ax, %ds; movq 0x6100, %rbx)
	K("write through read-only ds", NONE, NOERR, movl $RODATA, %eax; movw %ax, %ds; movq %rbx, 0x6100)
	movl $0, %eax
	K("null ss at CPL 0", NONE, NOERR, movw %ax, %ss; pushq %rax; popq %rax)
	U("null ss at CPL 3", 13, 0, movw %ax, %ss)
	movl $3, %eax
	U("null ss with RPL 3 at CPL 3", 13, 0, movw %ax, %ss)
	K("null ss with RPL 3", 13, 0, movw %ax, %ss)
	movl $NPDATA, %eax
	K("absent ds", 11, NPDATA, movw %ax, %ds)
	K("absent ss", 12, NPDATA, movw %ax, %ss)
	movl $BEYOND, %eax
	K("ds beyond the table", 13, BEYOND, movw %ax, %ds)
	movl $KDATA, %eax
	U("ds of level 0 at CPL 3", 13, KDATA, movw %ax, %ds)
	movq $-1, %rax
	K("mov from ds", NONE, NOERR, movl %ds, %eax)
	EQ("mov from ds clears the rest", %rax, KDATA)

/* Far transfers: SDM 2:JMP, CALL, RET, 3:5.8.3.1. */
	movl $0, %eax
	cpuid
	movl %ebx, vendor
	cmpl $INTEL, vendor	/* others read m16:32 (APM 3: JMP) */
	je 6f
	movw $KCODE, far64 + 4
6:
	K("jmp far 64", NONE, NOERR, rex.w ljmp *far64; far_done:)
	K("jmp far 32", NONE, NOERR, ljmp *far32)
	K("jmp far to null", 13, 0, ljmp *far_null)
	K("jmp far to L and D", 13, LDCODE, ljmp *far_ld)
	K("jmp far to a TSS", 13, TSS, ljmp *far_tss)
	K("lretq to compatibility mode", NONE, NOERR, pushq $KCODE32; pushq $1f; lretq; .code32; 1: pushl $1; popl %ecx; .code64)
	EQ("compatibility mode: cs", got_cs, KCODE32)
	KT("lretq to L and D", 13, LDCODE, pushq $LDCODE; pushq $1f; lretq)
	KT("lretq outwards with null ss to 64-bit code", 13, 0, pushq $0; pushq $USTACK; pushq $UCODE; pushq $1f; lretq)
	U("call gate", NONE, NOERR, lcall *far_gate; 2:)
	EQ("call gate: return address", frame, 2b)
	EQ("call gate: cs", frame + 8, UCODE)
	EQ("call gate: rsp", frame + 16, USTACK)
	EQ("call gate: ss", frame + 24, UDATA)
	EQ("call gate: new rsp", frame + 32, ORIGIN - 32)
	EQ("call gate: ss is null", frame + 40, 0)
	movw $KCODE32, gdt + GATE + 2
	U("call gate to 32-bit code", 13, KCODE32, lcall *far_gate)
	movw $KCODE, gdt + GATE + 2
	movb $0xe4, gdt + GATE + 5
	U("call gate of 16 bits", 13, GATE, lcall *far_gate)
	movb $0xec, gdt + GATE + 5
	movb $0x0c, gdt + GATE + 13
	U("call gate with a type above", 13, GATE, lcall *far_gate)
	movb $0, gdt + GATE + 13
	movl $0x8000, gdt + GATE + 8
	LIMITS(U("call gate to an address in the gap", 13, 0, lcall *far_gate))
	movl $0, gdt + GATE + 8
	movb $0x6c, gdt + GATE + 5
	U("call gate absent", 11, GATE, lcall *far_gate)

/* IRET: SDM 2:IRET. */
	KT("iretq with NT", 13, 0, pushq $0x4002; popfq; iretq)
	KT("iretq with null ss", NONE, NOERR, pushq $0; pushq $ORIGIN - 16; pushq $2; pushq $KCODE; pushq $1f; iretq; 1:)
	EQ("iretq with null ss: rsp", got_esp, ORIGIN - 16)
	EQ("iretq with null ss: ss", got_ss, 0)
	KT("iretq to CPL 3 with null ss", 13, 0, pushq $0; pushq $USTACK; pushq $2; pushq $UCODE; pushq $1f; iretq)
	KT("iretq to L and D", 13, LDCODE, pushq $KDATA; pushq $ORIGIN; pushq $2; pushq $LDCODE; pushq $1f; iretq)
	KT("iretq to compatibility mode", NONE, NOERR, pushq $UDATA; pushq $USTACK; pushq $2; pushq $UCODE32; pushq $1f; iretq; 1:)
	EQ("iretq to compatibility mode: cs", got_cs, UCODE32)
	KT("iretq to VM", NONE, NOERR, pushq $KDATA; pushq $ORIGIN; pushq $FL_VM + 2; pushq $KCODE; pushq $1f; iretq; 1:)
	FLAGS("iretq does not load VM", FL_VM, 0)

/* Interrupts: SDM 3:6.14. */
	K("frame", NONE, NOERR, movl $ORIGIN - 3, %esp)
	EQ("frame: rsp", got_esp, ORIGIN - 3)
	EQ("frame: the stack is aligned first", got_top, ORIGIN - 16)
	EQ("frame: ss is saved at CPL 0", got_ss, KDATA)
	KT("ud2", 6, NOERR, ud2)
	U("fault at CPL 3", 6, NOERR, ud2)
	EQ("fault at CPL 3: the TSS's stack", got_top, ORIGIN)
	EQ("fault at CPL 3: ss is null", new_ss, 0)
	movb $2, idt + 0x40 * 16 + 4
	KT("IST", 0x40, NOERR, int $0x40)
	EQ("IST: the stack, aligned", got_top, ISTACK - 0x800)
	EQ("IST: old rsp", got_esp, ORIGIN)
	movb $0, idt + 0x40 * 16 + 4
	movw $KCODE32, idt + 0x40 * 16 + 2
	K("gate to 32-bit code", 13, KCODE32, int $0x40)
	movw $KCODE, idt + 0x40 * 16 + 2
	movb $0xe6, idt + 0x40 * 16 + 5
	K("gate of 16 bits", 13, 0x40 * 8 + 2, int $0x40)
	movb $0xe5, idt + 0x40 * 16 + 5
	K("task gate", 13, 0x40 * 8 + 2, int $0x40)
	movb $0x6e, idt + 0x40 * 16 + 5
	K("gate absent", 11, 0x40 * 8 + 2, int $0x40)
	movb $0xee, idt + 0x40 * 16 + 5
	movl $0x8000, idt + 0x40 * 16 + 8
	LIMITS(K("gate to an address in the gap", 13, 0, int $0x40))
	movl $0, idt + 0x40 * 16 + 8
	K("beyond the table", 13, 0x50 * 8 + 2, int $0x50)
	movw $0, idt + 6 * 16 + 2
	K("exception to null", 13, 1, ud2)
	movw $KCODE, idt + 6 * 16 + 2
	movabsq $BAD, %rax
	movq %rax, tss + 4
	/* No room to name the stack: the frame of #SS goes to IST 1. */
	LIMITS(U("rsp0 in the gap", 12, 0, int $0x40))
	movq $ORIGIN, tss + 4

/* Control registers: SDM 3:2.5, 3:4.1.2. */
	movq %cr0, %rax
	btrq $31, %rax
	K("PG in 64-bit mode", 13, 0, movq %rax, %cr0)
	movq %cr0, %rax
	btsq $32, %rax
	K("upper half of CR0", 13, 0, movq %rax, %cr0)
	movq %cr4, %rax
	btrq $5, %rax
	K("PAE in 64-bit mode", 13, 0, movq %rax, %cr4)
	movq %cr3, %rax
	btsq $62, %rax
	K("reserved bit of CR3", 13, 0, movq %rax, %cr3)
	movl $EFER, %ecx
	rdmsr
	andl $~0x100, %eax
	K("EFER.LME in 64-bit mode", 13, 0, wrmsr)
	orl $0x102, %eax
	K("reserved bit of EFER", 13, 0, wrmsr)
	movl $5, %eax
	K("cr8", NONE, NOERR, movq %rax, %cr8; movq %cr8, %rbx)
	EQ("cr8", %rbx, 5)
	movl $16, %eax
	K("cr8 has four bits", 13, 0, movq %rax, %cr8)
	U("cr8 at CPL 3", 13, 0, movq %cr8, %rax)
	movl $0, %eax
	movq %rax, %cr8
	btsq $40, %rax
	K("upper half of DR7", 13, 0, movq %rax, %dr7)
	K("upper half of DR6", 13, 0, movq %rax, %dr6)
	K("DR0 has 64 bits", NONE, NOERR, movq %rax, %dr0; movq %dr0, %rbx)
	EQ64("DR0 has 64 bits", %rbx, 0x10000000000)

/* System descriptors of 16 bytes: SDM 3:8.2.3, 3:3.5. */
	movl $0x67, gdt + TEST
	movl $0x8900, gdt + TEST + 4
	movl $0x100, gdt + TEST + 12
	movl $TEST, %eax
	K("ltr with a type above", 13, TEST, ltr %ax)
	movl $0, gdt + TEST + 12
	movl $0x8200, gdt + TEST + 4
	movl $0x8000, gdt + TEST + 8
	K("lldt in the gap", 13, TEST, lldt %ax)
	movl $0, gdt + TEST + 8
	movl $TSS16, %eax
	K("ltr of 16 bits", 13, TSS16, ltr %ax)
	K("lar of a TSS of 16 bits", NONE, NOERR, lar %eax, %ebx)
	FLAGS("lar of a TSS of 16 bits", FL_ZF, 0)
	movl $TSS, %eax
	K("lar of a TSS", NONE, NOERR, lar %eax, %ebx)
	EQ("lar of a TSS", %rbx, 0x8b00)

/* SWAPGS, FSGSBASE: SDM 2:SWAPGS, RDFSBASE. */
	MSR(GSBASE, 0x1111111111)
	MSR(KGSBASE, 0xffff888822222222)
	K("swapgs", NONE, NOERR, swapgs)
	movl $GSBASE, %ecx
	rdmsr
	shlq $32, %rdx
	orq %rdx, %rax
	EQ64("swapgs: GS.base", %rax, 0xffff888822222222)
	movl $KGSBASE, %ecx
	rdmsr
	shlq $32, %rdx
	orq %rdx, %rax
	EQ64("swapgs: KERNEL_GS_BASE", %rax, 0x1111111111)
	U("swapgs at CPL 3", 13, 0, swapgs)
	C("swapgs in compatibility mode", 6, NOERR, .byte 0x0f, 0x01, 0xf8)
	movq %cr4, %rax
	btsq $16, %rax
	K("FSGSBASE", NONE, NOERR, movq %rax, %cr4)
	movabsq $BAD, %rax
	U("wrfsbase of it", 13, 0, wrfsbase %rax)
	movabsq $HIGH, %rax
	U("wrfsbase", NONE, NOERR, wrfsbase %rax; rdfsbase %rbx)
	EQ64("rdfsbase", %rbx, HIGH)

/* SYSCALL, SYSRET: SDM 2:SYSCALL, SYSRET. */
	MSR(STAR, 0x0018000800000000)
	MSR(LSTAR, syscall_target)
	MSR(SFMASK, 0x4701)
	U("syscall without EFER.SCE", 6, NOERR, syscall)
	movl $EFER, %ecx
	rdmsr
	orl $1, %eax
	wrmsr
	movl $0x408d7, user_flags
	U("syscall", NONE, NOERR, syscall; 2:)
	EQ("syscall: rcx", %rcx, 2b)
	EQ("syscall: r11", %r11, 0x408d7)
	EQ("syscall: ip", got_ip, syscall_target + 1)
	EQ("syscall: cs", got_cs, KCODE)
	EQ("syscall: ss", got_ss, KDATA)
	EQ("syscall: rsp stays", got_esp, USTACK)
	FLAGS("syscall: flags without the mask", 0x47fff, 0x408d6)
	movl $2, user_flags
	movl $2f, %ecx
	movl $0x3c7fd7 - FL_TF - FL_IF - FL_NT - FL_AC, %r11d
	K("sysretq", NONE, NOERR, sysretq; 2:)
	EQ("sysretq: cs", got_cs, UCODE)
	EQ("sysretq: ss", got_ss, UDATA)
	FLAGS("sysretq: flags", 0x3fffff, 0x383cd7)
	movl $2f, %ecx
	movl $2, %r11d
	K("sysretl", NONE, NOERR, sysretl; 2:)
	EQ("sysretl: cs", got_cs, UCODE32)
	movl $FL_RF | FL_VM | 2, %r11d
	movl $2f, %ecx
	K("sysretq with RF and VM", NONE, NOERR, sysretq; 2:)
	FLAGS("sysretq clears RF and VM", FL_RF | FL_VM, 0)
	U("sysretq at CPL 3", 13, 0, sysretq)
	cmpl $INTEL, vendor	/* AMD's raises it at CPL 3, after the return */
	jne 5f
	movabsq $BAD, %rcx
	LIMITS(K("sysretq to an address in the gap", 13, 0, sysretq))
	C("syscall in compatibility mode", 6, NOERR, .byte 0x0f, 0x05)
	/* SYSENTER is there in 64-bit mode on Intel's only. */
	MSR(0x174, KCODE)
	MSR(0x175, ISTACK)
	MSR(0x176, syscall_target)
	U("sysenter", NONE, NOERR, sysenter)
	EQ("sysenter: cs", got_cs, KCODE)
	EQ("sysenter: ss", got_ss, KDATA)
	EQ("sysenter: rsp", got_esp, ISTACK)
	MSR(0x174, 0)
	U("sysenter without its MSR", 13, 0, sysenter)
5:
/* Paging with four levels: SDM 3:4.5, 3:4.7. */
	movl $FRAME | 7, PT + (PAGE >> 9)
	movl $0x80000000, PT + (PAGE >> 9) + 4
	movb $0xcc, FRAME
	invlpg PAGE
	KT("NX", 14, 0x11, movl $PAGE, %eax; jmp *%rax)
	UT("NX at CPL 3", 14, 0x15, movl $PAGE, %eax; jmp *%rax)
	movl $0x40000, PT + (PAGE >> 9) + 4	/* bit 50 */
	invlpg PAGE
	K("reserved address bit", 14, 9, movq PAGE, %rbx)
	movl $0, PT + (PAGE >> 9) + 4
	movl $0x87, PML4 + 8	/* PS in the top level */
	movabsq $0x8000000000, %rax
	K("PS in the top level", 14, 9, movq (%rax), %rbx)
	U("PS in the top level at CPL 3", 14, 15, movq %rbx, (%rax))
	movl $0, PML4 + 8
	movl $PDPT | 3, PML4
	movq %cr3, %rax
	movq %rax, %cr3
	U("top level of the supervisor", 14, 0x15, nop)
	movl $PDPT | 7, PML4
	movq %cr3, %rax
	movq %rax, %cr3
	jmp the_end

to_user:
	popq to_ip
	pushq $UDATA
	pushq $USTACK
	pushq user_flags
	pushq $UCODE
	pushq to_ip
	iretq
to_compat:
	popq to_ip
	pushq $UDATA
	pushq $USTACK
	pushq user_flags
	pushq $UCODE32
	pushq to_ip
	iretq

gate_target:
	popq frame
	popq frame + 8
	popq frame + 16
	popq frame + 24
	subq $32, %rsp
	movq %rsp, frame + 32
	movl %ss, %eax
	movq %rax, frame + 40
	lretq
syscall_target:
	int3

	.balign 16
stubs:	.set v, 0
	.rept 0x50
	.balign 16
	.if !(v == 8 || (v >= 10 && v <= 14) || v == 17)
	pushq $NOERR
	.endif
	pushq $v
	jmp common64
	.set v, v + 1
	.endr
common64:
	popq got_vector
	popq got_error
	popq got_ip
	popq got_cs
	popq got_flags
	popq got_esp
	popq got_ss
	movq %rsp, got_top
	movq %rax, save_eax
	movl %ss, %eax
	movq %rax, new_ss
	movq %cr2, %rax
	movq %rax, got_cr2
	movl $KDATA, %eax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $ORIGIN, %esp
	cld
	movq save_eax, %rax
	jmp *resume

#include "calls64.inc"
#include "data.inc"

#define DESC(access, flags)                                                                        \
	.word 0xffff, 0;                                                                           \
	.byte 0, access, (flags) << 4 | 15, 0
	DATA
	.balign 8
to_ip:	.quad 0
user_flags: .quad 2
got_top: .quad 0
new_ss:	.quad 0
vendor:	.long 0, 0
frame:	.fill 8, 8, 0
bad_table: .word 0xff
	.quad 0
far64:	.quad far_done
	.word KCODE
far32:	.long far_done
	.word KCODE
far_null: .long 0
	.word 0
far_ld:	.long 0
	.word LDCODE
far_tss: .long 0
	.word TSS
far_gate: .long 0
	.word GATE + 3
gdtr:	.word gdt_end - gdt - 1
	.long gdt
idtr:	.word idt_end - idt - 1
	.quad idt
	.balign 8
gdt:	.quad 0
	DESC(0x9b, 0xa)
	DESC(0x93, 0xc)
	DESC(0xfb, 0xc)
	DESC(0xf3, 0xc)
	DESC(0xfb, 0xa)
	.word 0x67, tss, 0x8900, 0, 0, 0, 0, 0
	DESC(0x9b, 0xc)
	.quad 0
	.word gate_target, KCODE, 0xec00, 0, 0, 0, 0, 0
	DESC(0x13, 0xc)
	DESC(0x9b, 0xe)
	.quad 0, 0
	.word 0x2b, 0, 0x8100, 0, 0, 0, 0, 0
	DESC(0x91, 0xc)
	.fill (0x100 - 0x98) / 8, 8, 0
gdt_end:
idt:	.rept 0x50
	.word 0, KCODE, 0xee00, 0, 0, 0, 0, 0
	.endr
idt_end:
tss:	.long 0
	.quad ORIGIN, 0, 0, 0
	.quad ISTACK, ISTACK - 0x800 + 7
	.fill 10, 4, 0
	.word 0, 0x68
	END_DATA
