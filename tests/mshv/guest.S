/* SPDX-License-Identifier: MIT */
/*
 * Programs for machine.h's machines, which put them at MACHINE_CODE. They move nowhere and need no address of their own.
 * A program tells what it has found by writing EAX to a port: 10h unless it says otherwise.
 */
#include "../guest_code.S"

	.section .rodata

	.macro LABEL name, label
	.globl guest_\name\()_\label
guest_\name\()_\label:
	.endm

	.set CODE, 0x1000
	.set DATA, 0x10000
	.set APIC, 0xfee00000

/* ---- running ---- */

	.code16
GUEST hello
	movw $0x3f8, %dx
	addb %bl, %al
	addb $'0', %al
	outb %al, (%dx)
	movb $'\n', %al
	outb %al, (%dx)
	hlt
	outb %al, $0x11
END hello

/* Counts in memory for ever. */
	.code64
GUEST count
1:	lock incl DATA
	jmp 1b
END count

/* Sleeps for ever, deaf. */
GUEST deaf
	cli
1:	hlt
	jmp 1b
END deaf

/* No IDT: the first exception ends it. */
GUEST triple
	lidt DATA
	ud2
END triple

/* ---- messages ---- */

	.code16
GUEST ports
	movl $0x11223344, %eax
	outb %al, $0x40
	outw %ax, $0x42
	outl %eax, $0x44
	movw $0x1234, %dx
	outb %al, (%dx)
	inb $0x50, %al
	outl %eax, $0x10
	inw (%dx), %ax
	outl %eax, $0x10
	inl (%dx), %eax
	outl %eax, $0x10
END ports

	.code64
GUEST string_ports
	movl $DATA, %esi
	movl $DATA + 0x100, %edi
	movl $3, %ecx
	movw $0x70, %dx
	cld
	rep outsb
	movl $2, %ecx
	rep insw
	outsl
	hlt
END string_ports

/* Reads and writes where nothing is, in several sizes. RBX: where. */
GUEST mmio
	movl (%rbx), %eax
	movb %al, 0x11(%rbx)
	movq %rax, 0x18(%rbx)
	lock incl 0x20(%rbx)
	movl $0x55667788, 0x30(%rbx,%rcx,8)
	hlt
END mmio

/* Four words from RAM to where nothing is, beginning two before the end of RAM. */
GUEST half_string
	movl $DATA, %esi
	movl $4, %ecx
	cld
	rep movsl
	hlt
END half_string

GUEST jump
	jmpq *%rbx
END jump

/* Read and write the MSR of ECX, with a handler of #GP that says so. */
GUEST msr
	movl $0x77, %eax
	movl $0x77, %edx
	rdmsr
	outl %eax, $0x10
	wrmsr
	movl $2, %eax
	outl %eax, $0x10
LABEL msr, fault
	movl $0xfa017, %eax
	outl %eax, $0x12
END msr

/* Copies a word from where RBX says to DATA, for ever. */
GUEST touch
1:	movl (%rbx), %eax
	movl %eax, DATA
	jmp 1b
END touch

/* ---- interrupts ---- */

/* x2APIC on, interrupts on; handlers count at DATA + 4 * vector and send EOI. */
	.macro SET_MSR number, value
	movl $\number, %ecx
	movl $\value, %eax
	xorl %edx, %edx
	wrmsr
	.endm

	.macro HANDLER vector
	pushq %rax
	pushq %rcx
	pushq %rdx
	lock incl DATA + 4 * \vector
	.endm

	.macro EOI
	SET_MSR 0x80b, 0
	popq %rdx
	popq %rcx
	popq %rax
	iretq
	.endm

	.macro X2APIC
	movl $0x1b, %ecx
	rdmsr
	orl $0xc00, %eax
	wrmsr
	SET_MSR 0x80f, 0x1ff
	.endm

GUEST irq
	X2APIC
	sti
	movl $1, DATA
1:	hlt
	jmp 1b
LABEL irq, h30
	HANDLER 0x30
	EOI
LABEL irq, h31
	HANDLER 0x31
	EOI
LABEL irq, nmi
	lock incl DATA + 4 * 2
	iretq
END irq

/* In the handler of an NMI that was injected; and a shadow, behind it. */
GUEST nmi_window
	outl %eax, $0x10
	sti
	nop
	outl %eax, $0x12
LABEL nmi_window, handler
	movl $2, %eax
	outl %eax, $0x11
	iretq
END nmi_window

/* The same with xAPIC: its page. */
GUEST xapic
	movl $APIC, %ebx
	movl $0x1ff, 0xf0(%rbx)
	movl 0x20(%rbx), %eax
	movl %eax, DATA + 8
	sti
	movl $1, DATA
1:	hlt
	jmp 1b
LABEL xapic, h30
	lock incl DATA + 4 * 0x30
	movl $APIC, %ebx
	movl $0, 0xb0(%rbx)
	iretq
END xapic

/* A doorbell: RBX is its address. */
GUEST bell
	movl $0x11, (%rbx)
	movw $0x11, (%rbx)
	movq $0x11, (%rbx)
	movl $0x22, (%rbx)
	outl %eax, $0x10
	movl (%rbx), %eax
	hlt
END bell

/* Wakes processor 1 by INIT and SIPI, which waits at 2000h, and then sends it vector 30h. */
GUEST wake
	X2APIC
	movl $0x830, %ecx
	movl $1, %edx
	movl $0x4500, %eax
	wrmsr
	movl $0x4602, %eax
	wrmsr
1:	cmpl $0x600d, DATA
	jne 1b
	movl $0x600d, %eax
	outl %eax, $0x10
	hlt
END wake

	.code16
GUEST woken
	movw $DATA >> 4, %ax
	movw %ax, %ds
	movl $0x600d, 0
1:	hlt
	jmp 1b
END woken

/* The local APIC's timer, once. */
	.code64
GUEST timer
	X2APIC
	SET_MSR 0x83e, 0xb
	SET_MSR 0x832, 0x30
	SET_MSR 0x838, 1000
	sti
1:	hlt
	jmp 1b
LABEL timer, h30
	HANDLER 0x30
	EOI
END timer

/* ---- dirty pages: RBX tells the first, RCX how many, and every second one is written ---- */

GUEST dirty
1:	movl %ecx, (%rbx)
	addq $0x2000, %rbx
	decl %ecx
	jnz 1b
	outl %eax, $0x10
	hlt
END dirty

/* ---- CPUID: of EAX, ECX; the four results ---- */

GUEST cpuid
	cpuid
	outl %eax, $0x10
	movl %ebx, %eax
	outl %eax, $0x10
	movl %ecx, %eax
	outl %eax, $0x10
	movl %edx, %eax
	outl %eax, $0x10
	hlt
END cpuid

/* ---- the hypervisor's interface to guests ---- */

/* EBX, ESI: the MSR and what is put into it; then EDI is read. */
GUEST hv_msr
	movl %ebx, %ecx
	movl %esi, %eax
	xorl %edx, %edx
	wrmsr
	movl %edi, %ecx
	rdmsr
	outl %eax, $0x10
	hlt
END hv_msr

/* A hypercall through the page at DATA + 2000h: RCX control, RDX input, R8 output. */
GUEST hypercall
	movl $DATA + 0x2000, %ebx
	callq *%rbx
	outl %eax, $0x10
	hlt
END hypercall

/* SynIC on, messages at DATA + 3000h, events at DATA + 4000h, SINT 2 is vector 30h. */
GUEST synic
	X2APIC
	SET_MSR 0x40000083, DATA + 0x3001
	SET_MSR 0x40000082, DATA + 0x4001
	SET_MSR 0x40000092, 0x30
	SET_MSR 0x40000080, 1
	sti
	outl %eax, $0x10
1:	hlt
	jmp 1b
LABEL synic, h30
	HANDLER 0x30
	EOI
/* From here: takes the message of SINT 2 away and says so. */
LABEL synic, take
	movl $0, DATA + 0x3000 + 2 * 0x100
	SET_MSR 0x40000084, 0
	outl %eax, $0x10
	hlt
END synic

/* A synthetic timer, direct: vector 30h after a millisecond. */
GUEST stimer
	X2APIC
	movl $0x40000020, %ecx
	rdmsr
	addl $10000, %eax
	adcl $0, %edx
	movl $0x400000b1, %ecx
	wrmsr
	SET_MSR 0x400000b0, 0x1301
	sti
1:	hlt
	jmp 1b
LABEL stimer, h30
	HANDLER 0x30
	EOI
END stimer

/* The reference counter twice, and the TSC page at DATA + 5000h between them. */
GUEST clock
	SET_MSR 0x40000021, DATA + 0x5001
	movl $0x40000020, %ecx
	rdmsr
	movl %eax, DATA
	movl %edx, DATA + 4
	rdtsc
	shlq $32, %rdx
	orq %rdx, %rax
	mulq DATA + 0x5008
	addq DATA + 0x5010, %rdx
	movq %rdx, DATA + 8
	movl $0x40000020, %ecx
	rdmsr
	movl %eax, DATA + 16
	movl %edx, DATA + 20
	movl DATA + 0x5000, %eax
	outl %eax, $0x10
	hlt
END clock

/* ---- what OpenVMM's guests meet ---- */

/* A hypercall by the instruction itself. RCX, RDX, R8 as given; RAX comes back at port 10h. */
GUEST vmcall
	vmcall
	outl %eax, $0x10
	hlt
LABEL vmcall, amd
	vmmcall
	outl %eax, $0x10
	hlt
END vmcall

/* Waits for what is injected: #PF tells its address and error code, #GP its error code, an interrupt its vector. */
GUEST injected
	outl %eax, $0x10
1:	jmp 1b
LABEL injected, pf
	popq %rbx
	movq %cr2, %rax
	outl %eax, $0x20
	movl %ebx, %eax
	outl %eax, $0x21
	hlt
LABEL injected, gp
	popq %rax
	outl %eax, $0x22
	hlt
LABEL injected, irq
	movl $0x123, %eax
	outl %eax, $0x23
	hlt
END injected

	.section .note.GNU-stack, "", @progbits
