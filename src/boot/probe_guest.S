/* SPDX-License-Identifier: MIT */
/*
 * The probe's guest: does once, in a few milliseconds, what a kernel does all the time. Copied to PROBE_CODE, so only
 * distances inside it may be used, never link-time addresses.
 */
#include "boot/probe_guest.h"

#define STACK     0x80000
#define IDT       0x10000
#define PML4      0x9000 /* GPA_PAGE_TABLES */
#define PD        0xb000
#define LAPIC     0xfee00000
#define NOWHERE   0x100000000 /* the first address that is not mapped */
#define TIMER     0x20
#define MSR_EFER  0xc0000080
#define MSR_STAR  0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_FMASK 0xc0000084

	.section .rodata
	.globl probe_guest_start, probe_guest_end
	.hidden probe_guest_start, probe_guest_end
	.code64

.macro step number
	movb $\number, %al
	outb %al, $PROBE_PORT_STEP
.endm

/* Interrupt gate for `vector` to `handler` (SDM 3:6.14.1). */
.macro gate vector, handler
	leaq \handler(%rip), %rax
	movq $(IDT + \vector * 16), %rdi
	movw %ax, (%rdi)
	movw $0x10, 2(%rdi)
	movw $0x8e00, 4(%rdi)
	shrq $16, %rax
	movw %ax, 6(%rdi)
	movq $0, 8(%rdi)
.endm

.macro wrmsr64 msr
	movl $\msr, %ecx
	movq %rax, %rdx
	shrq $32, %rdx
	wrmsr
.endm

probe_guest_start:
	movq $STACK, %rsp

	xorl %eax, %eax
	cpuid
	step PROBE_STEP_CPUID

	/* System call instructions on, and read back. */
	movl $MSR_EFER, %ecx
	rdmsr
	orl $1, %eax
	wrmsr
	rdmsr
	testl $1, %eax
	jz fail
	step PROBE_STEP_MSR

	/* Global pages on and off, the address space loaded again. */
	movq %cr4, %rax
	orq $0x80, %rax
	movq %rax, %cr4
	movq %cr3, %rbx
	movq %rbx, %cr3
	xorq $0x80, %rax
	movq %rax, %cr4
	movq %cr4, %rdx
	cmpq %rax, %rdx
	jne fail
	step PROBE_STEP_CONTROL

	gate 3, breakpoint
	gate 14, page_fault
	gate TIMER, timer
	leaq gdt_end(%rip), %rax
	leaq gdt(%rip), %rbx
	subq %rbx, %rax
	decl %eax
	subq $16, %rsp
	movw %ax, (%rsp)
	movq %rbx, 2(%rsp)
	lgdt (%rsp)
	movw $0xfff, (%rsp)
	movq $IDT, 2(%rsp)
	lidt (%rsp)
	addq $16, %rsp
	xorl %r15d, %r15d
	int3
	cmpl $3, %r15d
	jne fail
	step PROBE_STEP_EXCEPTION

	/* Beyond what is mapped; the handler goes on at r14. */
	movabsq $NOWHERE, %rax
	leaq 1f(%rip), %r14
	movb (%rax), %al
	jmp fail
1:	cmpl $14, %r15d
	jne fail
	step PROBE_STEP_FAULT

	/* To user mode and back by a system call (STAR: SDM 3:5.8.8). */
	orq $4, PML4
	orq $4, PML4 + 0x1000
	orq $4, PD
	orq $4, PD + 8
	movq %cr3, %rax
	movq %rax, %cr3
	movabsq $0x0020001000000000, %rax
	wrmsr64 MSR_STAR
	leaq system_call(%rip), %rax
	wrmsr64 MSR_LSTAR
	movl $0x200, %eax
	wrmsr64 MSR_FMASK
	leaq user(%rip), %rcx
	movl $2, %r11d
	sysretq
system_call:
	cmpl $77, %r15d
	jne fail
	step PROBE_STEP_USER

	/* Wait for the local APIC's timer: enabled, divide by 1, once. */
	movl $LAPIC, %edi
	movl $0x1ff, 0xf0(%rdi)
	movl $0xb, 0x3e0(%rdi)
	movl $TIMER, 0x320(%rdi)
	movl $100000, 0x380(%rdi)
	sti
	hlt
	cli
	cmpl $TIMER, %r15d
	jne fail
	step PROBE_STEP_TIMER

	/* Change a mapping and use it, a thousand times; then whole address spaces. */
	movl $1000, %ecx
	movl $0x40000000, %eax
2:	movq %rcx, %rdx
	andl $1, %edx
	shlq $21, %rdx
	orq $0x83, %rdx
	movq %rdx, PD + 0x1000
	invlpg (%rax)
	movl 0x1000(%rax), %edx
	loop 2b
	movl $1000, %ecx
	movq %cr3, %rax
3:	movq %rax, %cr3
	loop 3b
	step PROBE_STEP_TABLES

	movl $PROBE_EXITS, %ecx
4:	outb %al, $PROBE_PORT_TIME
	loop 4b
	step PROBE_STEP_EXITS

	step PROBE_STEP_DONE
fail:	step 0
	cli
5:	hlt
	jmp 5b

user:
	movl $77, %r15d
	syscall

breakpoint:
	movl $3, %r15d
	iretq

page_fault:
	movl $14, %r15d
	addq $8, %rsp
	movq %r14, (%rsp)
	iretq

timer:
	movl $TIMER, %r15d
	movl $0, 0xb0(%rdi)
	iretq

/* 0x10 and 0x18 as startinfo's; SYSRET takes SS from STAR[63:48] + 8 and CS from + 16. */
	.balign 8
gdt:	.quad 0, 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
	.quad 0
	.quad 0x00cff3000000ffff
	.quad 0x00affb000000ffff
gdt_end:
probe_guest_end:
	.section .note.GNU-stack, "", @progbits
