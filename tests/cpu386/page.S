/* SPDX-License-Identifier: MIT */
/* Paging: SDM 3:4.3, 3:4.4 (tables), 3:4.6 (rights), 3:4.7 (error codes), 3:4.8 (accessed and dirty). */
#include "prot_macros.inc"
#include "prot.inc"

#define PD   0x20000 /* 32-bit */
#define PT   0x21000 /* linear 0 to 4 MiB, to itself */
#define PDPT 0x22000 /* PAE */
#define PPD  0x23000
#define PPT  0x24000 /* linear 0 to 2 MiB, to itself */
#define P    1
#define W    2
#define US   4
#define A    0x20
#define D    0x40
#define PS   0x80
#define PAGE 0x1e0000 /* the page that is looked at, to physical FRAME */
#define FRAME 0x30000

/* Set the entry of PAGE, of the page after it, or of PAGE's table. */
#define PTE(bits)  movl $FRAME | (bits), PT + (PAGE >> 10); calll flush
#define PTE2(bits) movl $(FRAME + 0x1000) | (bits), PT + (PAGE >> 10) + 4; calll flush
#define PDE(bits)  movl $PT | (bits), PD; calll flush
#define ENTRY(name, want) EQ(name, PT + (PAGE >> 10), FRAME | (want))
#define PF(name, err, at, ...)                                                                     \
	K(name, 14, err, __VA_ARGS__);                                                             \
	EQ(name, got_cr2, at)
#define UPF(name, err, at, ...)                                                                    \
	U(name, 14, err, __VA_ARGS__);                                                             \
	EQ(name, got_cr2, at)
#define SET_CR0(bits)   movl %cr0, %eax; orl $bits, %eax; movl %eax, %cr0
#define CLEAR_CR0(bits) movl %cr0, %eax; andl $~(bits), %eax; movl %eax, %cr0
#define SET_CR4(bits)   movl %cr4, %eax; orl $bits, %eax; movl %eax, %cr4
#define CLEAR_CR4(bits) movl %cr4, %eax; andl $~(bits), %eax; movl %eax, %cr4

checks32:
	movl $PT, %edi
	movl $P | W | US, %eax
1:	stosl
	addl $0x1000, %eax
	cmpl $0x400007, %eax
	jb 1b
	movl $PT | P | W | US, PD
	movl $PD, %eax
	movl %eax, %cr3
	SET_CR0(0x80000000)

	/* Error codes. */
	PTE(W | US)
	PF("read, not present", 0, PAGE + 8, movl PAGE + 8, %ebx)
	PF("write, not present", 2, PAGE + 8, movl %ebx, PAGE + 8)
	PF("read and write, not present", 2, PAGE + 8, addl %ebx, PAGE + 8)
	UPF("read at CPL 3, not present", 4, PAGE, movl PAGE, %ebx)
	UPF("write at CPL 3, not present", 6, PAGE, movl %ebx, PAGE)
	KT("fetch, not present", 14, 0, movl $PAGE, %eax; jmp *%eax)
	EQ("fetch, not present", got_cr2, PAGE)
	EQ("fetch, not present: ip", got_ip, PAGE)
	UT("fetch at CPL 3, not present", 14, 4, movl $PAGE, %eax; jmp *%eax)
	ENTRY("an entry that is not present stays", W | US)
	PTE(P | W)
	UPF("read of a supervisor page", 5, PAGE, movl PAGE, %ebx)
	UPF("write of a supervisor page", 7, PAGE, movl %ebx, PAGE)
	UT("fetch of a supervisor page", 14, 5, movl $PAGE, %eax; jmp *%eax)
	ENTRY("a refused access is no access", P | W)
	PTE(P | US)
	UPF("write of a read-only page", 7, PAGE, movl %ebx, PAGE)
	K("write of a read-only page without WP", NONE, NOERR, movl %ebx, PAGE)
	ENTRY("write without WP", P | US | A | D)
	SET_CR0(0x10000)
	PTE(P | US)
	PF("write of a read-only page with WP", 3, PAGE, movl %ebx, PAGE)
	K("read of a read-only page with WP", NONE, NOERR, movl PAGE, %ebx)
	CLEAR_CR0(0x10000)
	/* Rights of both levels. */
	PTE(P | W | US)
	PDE(P | W)
	UPF("table of the supervisor", 5, 8b, nop)
	PDE(P | US)
	U("read-only table: read", NONE, NOERR, movl PAGE, %ebx)
	UPF("read-only table: write", 7, PAGE, movl %ebx, PAGE)
	PDE(P | W | US)

	/* Accessed and dirty. */
	PTE(P | W | US)
	K("a read sets A", NONE, NOERR, movl PAGE, %ebx)
	ENTRY("a read sets A", P | W | US | A)
	EQ("a read sets A of the table", PD, PT | P | W | US | A)
	K("a write sets D", NONE, NOERR, movl %ebx, PAGE)
	ENTRY("a write sets D", P | W | US | A | D)
	PTE(P | W | US)
	K("read and write sets both", NONE, NOERR, incl PAGE)
	ENTRY("read and write sets both", P | W | US | A | D)
	PTE(P | W | US)
	K("lea touches nothing", NONE, NOERR, leal PAGE, %ebx)
	ENTRY("lea touches nothing", P | W | US)
	K("prefetch of any address", NONE, NOERR, prefetchnta PAGE + 0x400000)

	/* Across two pages: no part of it is done. */
	PTE(P | W | US)
	PTE2(W | US)
	movl $0, PAGE + 0xffc
	PF("store across", 2, PAGE + 0x1000, movl $-1, PAGE + 0xffe)
	EQ("store across writes nothing", PAGE + 0xffc, 0)
	PF("load across", 0, PAGE + 0x1000, movl PAGE + 0xffd, %ebx)
	movl $PAGE + 0xffe, %edi
	movl $4, %ecx
	PF("rep stosb across", 2, PAGE + 0x1000, rep stosb)
	EQ("rep stosb across: ecx", %ecx, 2)
	EQ("rep stosb across: edi", %edi, PAGE + 0x1000)
	movl $PAGE + 0xffe, %esi
	movl $0x6100, %edi
	movl $4, %ecx
	PF("rep movsb across: source", 0, PAGE + 0x1000, rep movsb)
	EQ("rep movsb across: esi", %esi, PAGE + 0x1000)
	PTE(W | US)
	PTE2(P | W | US)
	UT("push down", 14, 6, movl $PAGE + 0x1000, %esp; 1: pushl $1)
	EQ("push down: cr2", got_cr2, PAGE + 0xffc)
	EQ("push down: esp", got_esp, PAGE + 0x1000)
	UT("pusha across", 14, 6, movl $PAGE + 0x1010, %esp; 1: pushal)
	EQ("pusha across: esp", got_esp, PAGE + 0x1010)
	/* The tables of the processor are read as the supervisor's, whoever loads a selector. */
	PTE(W | US)
	movw $PAGE & 0xffff, gdt + TEST + 2
	movw $0xff, gdt + TEST
	movl $0x8200 | PAGE >> 16, gdt + TEST + 4
	movl $TEST, %eax
	lldt %ax
	movl $0x0f, %eax
	UPF("descriptor in a page that is not present", 0, PAGE + 8, movw %ax, %ds)
	PTE(P | W)
	movl $0xffff, PAGE + 8
	movl $0x00cff200, PAGE + 12
	U("descriptor in a supervisor page", NONE, NOERR, movw %ax, %ds)
	EQ("descriptor in a supervisor page: accessed", PAGE + 12, 0x00cff300)
	movl $0x00cff200, PAGE + 12
	SET_CR0(0x10000)
	PTE(P)
	movl $0x0f, %eax
	U("descriptor in a read-only page", 14, 3, movw %ax, %ds)
	CLEAR_CR0(0x10000)
	movl $0, %eax
	lldt %ax

	/* 4 MiB: SDM 3:4.3, table 4-4. */
	movl $0x400000 | P | W | US | PS, PD + 4
	SET_CR4(0x10)
	K("4 MiB page", NONE, NOERR, movl $0x55, 0x400100; movl 0x400100, %ebx)
	EQ("4 MiB page", %ebx, 0x55)
	EQ("4 MiB page: A and D", PD + 4, 0x400000 | P | W | US | PS | A | D)
	movl $0x400000 | P | W | PS, PD + 4
	calll flush
	UPF("4 MiB page of the supervisor", 5, 0x400100, movl 0x400100, %ebx)
	movl $0x600000 | P | W | US | PS, PD + 4
	calll flush
	PF("reserved bit 21", 9, 0x400100, movl 0x400100, %ebx)
	UPF("reserved bit 21 at CPL 3", 15, 0x400100, movl %ebx, 0x400100)
	movl $PT | P | W | US | PS, PD + 4	/* without CR4.PSE bit 7 means nothing */
	CLEAR_CR4(0x10)
	K("no 4 MiB pages", NONE, NOERR, movl 0x406100, %ebx)
	movl $0, PD + 4
	calll flush

	/* SMEP and SMAP: SDM 3:4.6.1. */
	movl $7, %eax
	movl $0, %ecx
	cpuid
	movl %ebx, leaf7
	/* The guest's own pages would all be the user's: they are the supervisor's meanwhile. */
	movl $PT, %edi
1:	andl $~US, (%edi)
	addl $4, %edi
	cmpl $PT + 0x400, %edi
	jb 1b
	PTE(P | W | US)
	movb $0xcc, PAGE
	testl $0x80, leaf7
	jz 5f
	SET_CR4(0x100000)
	KT("SMEP", 14, 0x11, movl $PAGE, %eax; jmp *%eax)
	K("SMEP does not mind data", NONE, NOERR, movl PAGE, %ebx)
	CLEAR_CR4(0x100000)
5:	testl $0x100000, leaf7
	jz 5f
	SET_CR4(0x200000)
	PF("SMAP read", 1, PAGE, movl PAGE, %ebx)
	PF("SMAP write", 3, PAGE, movl %ebx, PAGE)
	K("SMAP with AC", NONE, NOERR, stac; movl PAGE, %ebx; clac)
	CLEAR_CR4(0x200000)
5:	movl $PT, %edi
1:	orl $US, (%edi)
	addl $4, %edi
	cmpl $PT + 0x400, %edi
	jb 1b

	/* PAE: SDM 3:4.4. */
	CLEAR_CR0(0x80000000)
	movl $PPT, %edi
	movl $P | W | US, %eax
1:	stosl
	movl $0, (%edi)
	addl $4, %edi
	addl $0x1000, %eax
	cmpl $0x200007, %eax
	jb 1b
	movl $PPD | P, PDPT
	movl $PPT | P | W | US, PPD
	movl $PDPT, %eax
	movl %eax, %cr3
	SET_CR4(0x20)
	SET_CR0(0x80000000)
#define PAE(low, high)                                                                             \
	movl $FRAME | (low), PPT + (PAGE >> 9);                                                    \
	movl $high, PPT + (PAGE >> 9) + 4;                                                         \
	calll flush
	PAE(P | W | US, 0)
	K("PAE", NONE, NOERR, movl $0x66, PAGE; movl FRAME, %ebx)
	EQ("PAE", %ebx, 0x66)
	EQ("PAE: A and D", PPT + (PAGE >> 9), FRAME | P | W | US | A | D)
	PAE(P | US, 0)
	UPF("PAE: write of a read-only page", 7, PAGE, movl %ebx, PAGE)
	PF("PAE: no table", 0, 0x40000000, movl 0x40000000, %ebx)
	UPF("PAE: no directory entry", 6, 0x200000, movl %ebx, 0x200000)
	PAE(P | W | US, 0x80000000)
	PF("PAE: bit 63 without NXE", 9, PAGE, movl PAGE, %ebx)
	PAE(P | W | US, 0x40000)
	PF("PAE: a reserved address bit", 9, PAGE, movl PAGE, %ebx)
	movl $0x200000 | P | W | US | PS, PPD + 8
	calll flush
	K("PAE: 2 MiB page", NONE, NOERR, movl $0x77, 0x200100)
	EQ("PAE: 2 MiB page: A and D", PPD + 8, 0x200000 | P | W | US | PS | A | D)
	movl $0x202000 | P | W | US | PS, PPD + 8
	calll flush
	PF("PAE: 2 MiB page with reserved bit 13", 9, 0x200100, movl 0x200100, %ebx)
	movl $0, PPD + 8
	calll flush
	/* NX: SDM 3:4.6, 3:4.7: bit 4 of the error code. */
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x800, %eax
	wrmsr
	PAE(P | W | US, 0x80000000)
	movb $0xcc, FRAME
	K("NX: read", NONE, NOERR, movl PAGE, %ebx)
	KT("NX: fetch", 14, 0x11, movl $PAGE, %eax; jmp *%eax)
	EQ("NX: fetch", got_cr2, PAGE)
	UT("NX: fetch at CPL 3", 14, 0x15, movl $PAGE, %eax; jmp *%eax)
	PAE(W | US, 0)
	KT("NX: fetch, not present", 14, 0x10, movl $PAGE, %eax; jmp *%eax)
	PAE(P | W | US, 0)
	KT("no NX: fetch", NONE, NOERR, movl $PAGE, %eax; jmp *%eax)
	/* SDM 3:4.4.1: the four entries are loaded, and looked at, with CR3. */
	movl $2 | P, PDPT + 8
	movl $PDPT, %eax
	K("reserved bit of a PDPTE", 13, 0, movl %eax, %cr3)
	movl $0, PDPT + 8
	movl %eax, %cr3
	/* SDM 3:2.5: what may not be written while it is in use. */
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x100, %eax
	K("EFER.LME while paging", 13, 0, wrmsr)
	movl %cr4, %eax
	orl $0x20000, %eax
	K("CR4.PCIDE outside long mode", 13, 0, movl %eax, %cr4)
	jmp the_end

flush:	movl %eax, save_eax
	movl %cr3, %eax
	movl %eax, %cr3
	movl save_eax, %eax
	retl
	DATA
leaf7:	.long 0
	END_DATA
