/* SPDX-License-Identifier: MIT */
/*
 * The guests of the tests of joins: flat 32-bit code at privilege level 0. They are copied to CODE, so only distances
 * inside are used. Each tells by OUT to PORT_OUT how far it is. Handlers change eax only.
 */
#include "layout.h"

#define APIC   0xfee00000
#define IOAPIC 0xfec00000

	.section .rodata
	.code32

.macro guest name
	.globl guest_\name
	.hidden guest_\name
guest_\name:
.endm

.macro say value
	movb $\value, %al
	outb %al, $PORT_OUT
.endm

/* Until COUNT is as much: no interrupt is missed between the look and HLT (SDM 3:6.8.1). */
.macro await count
1:	cli
	cmpl $\count, COUNT
	jae 2f
	sti
	hlt
	jmp 1b
2:
.endm

.macro apic_on
	movl $0x1ff, APIC + 0xf0
.endm

.macro apic_eoi
	movl $0, APIC + 0xb0
.endm

.macro mask_pics
	movb $0xff, %al
	outb %al, $0x21
	outb %al, $0xa1
.endm

guest start

/* ---- a guest instruction, a device, an interrupt ---- */

/* Three ticks of channel 0, a millisecond each, through the PICs. */
guest pit
	movb $0x11, %al
	outb %al, $0x20
	outb %al, $0xa0
	movb $V_PIC, %al
	outb %al, $0x21
	movb $V_PIC + 8, %al
	outb %al, $0xa1
	movb $4, %al
	outb %al, $0x21
	movb $2, %al
	outb %al, $0xa1
	movb $1, %al
	outb %al, $0x21
	outb %al, $0xa1
	movb $0xfe, %al /* all but IRQ 0 are masked */
	outb %al, $0x21
	movb $0xff, %al
	outb %al, $0xa1
	movb $0x34, %al
	outb %al, $0x43
	movb $0xa9, %al /* 1193 */
	outb %al, $0x40
	movb $4, %al
	outb %al, $0x40
	await 3
	say 1
guest on_pit
	movb $0x0b, %al /* OCW3: the in-service register */
	outb %al, $0x20
	inb $0x20, %al
	movzbl %al, %eax
	movl %eax, SEEN
	movb $0x20, %al
	outb %al, $0x20
	movb $0x0b, %al
	outb %al, $0x20
	inb $0x20, %al
	movzbl %al, %eax
	movl %eax, SEEN_NEXT
	incl COUNT
	iret

guest sender
	apic_on
	movl $1 << 24, APIC + 0x310
	movl $0x4000 + V_IPI, APIC + 0x300
	say 1
guest receiver
	apic_on
	say 1
	await 1
	say 2
guest on_ipi
	movl APIC + 0x20, %eax /* whose APIC this is */
	movl %eax, SEEN
	incl COUNT
	apic_eoi
	iret

/* Level-triggered, to APIC 0. */
guest ioapic
	apic_on
	mask_pics
	movl $0x10 + 2 * IOAPIC_PIN + 1, IOAPIC
	movl $0, IOAPIC + 0x10
	movl $0x10 + 2 * IOAPIC_PIN, IOAPIC
	movl $0x8000 + V_IOAPIC, IOAPIC + 0x10
	say 1
	await 1
	say 2
	await 2
	say 3
guest on_ioapic
	movl $0x10 + 2 * IOAPIC_PIN, IOAPIC
	movl IOAPIC + 0x10, %eax
	movl %eax, SEEN
	incl COUNT
	apic_eoi
	iret

guest timer
	apic_on
	movl $0xb, APIC + 0x3e0
	movl $V_TIMER, APIC + 0x320
	movl $100000, APIC + 0x380
	await 1
	movl $200000, APIC + 0x380
	await 2
	say 1
guest on_timer
	movl APIC + 0x100 + V_TIMER / 32 * 16, %eax
	movl %eax, SEEN
	apic_eoi
	movl APIC + 0x100 + V_TIMER / 32 * 16, %eax
	movl %eax, SEEN_NEXT
	incl COUNT
	iret

/* MSR_KVM_SYSTEM_TIME_NEW, then again and again what Linux computes from the page (cpuid.rst, msr.rst of KVM). */
guest pvclock
	movl $0x4b564d01, %ecx
	movl $PVCLOCK + 1, %eax
	xorl %edx, %edx
	wrmsr
3:	movl PVCLOCK, %ebp /* version */
	rdtsc
	subl PVCLOCK + 8, %eax
	sbbl PVCLOCK + 12, %edx
	movb PVCLOCK + 28, %cl
	testb %cl, %cl
	js 4f
	shldl %cl, %eax, %edx
	shll %cl, %eax
	jmp 5f
4:	negb %cl
	shrdl %cl, %edx, %eax
	shrl %cl, %edx
5:	movl %edx, %esi
	mull PVCLOCK + 24
	movl %edx, %ebx
	movl %esi, %eax
	mull PVCLOCK + 24
	addl %ebx, %eax
	adcl $0, %edx
	addl PVCLOCK + 16, %eax
	adcl PVCLOCK + 20, %edx
	cmpl %ebp, PVCLOCK
	jne 3b
	movl %eax, RESULT
	movl %edx, RESULT + 4
	movl %ebp, SEEN
	say 1
	jmp 3b

/* ---- a request, what the guest sees ---- */

guest registers
	movl %cr0, %eax
	movl %eax, SEEN
	movl %cr4, %eax
	movl %eax, SEEN_NEXT
	movl %fs:0, %eax
	movl %eax, RESULT
	sidt RESULT + 8
	say 1
	jmp guest_registers

guest cpuid
	xorl %eax, %eax
	cpuid
	movl %eax, RESULT
	movl %ebx, SEEN
	movl $1, %eax
	xorl %ecx, %ecx
	cpuid
	movl %ecx, SEEN_NEXT
	say 1
	jmp guest_cpuid

guest xgetbv
	xorl %ecx, %ecx
	xgetbv
	movl %eax, SEEN
	say 1
	jmp guest_xgetbv

guest breakpoints
	incl RESULT
	movl $5, TARGET
guest after_store
	nop
	say 1
	jmp guest_breakpoints
guest on_debug
	movl %dr6, %eax
	movl %eax, SEEN
	xorl %eax, %eax
	movl %eax, %dr6
	movl (%esp), %eax
	movl %eax, SEEN_NEXT
	orl $0x10000, 8(%esp) /* RF, or a breakpoint on the instruction would be hit again */
	incl COUNT
	iret

guest pending
	sti
	nop
	cli
	say 1
	jmp guest_pending
guest on_request
	incl COUNT
	apic_eoi
	iret
guest on_event
	incl COUNT
	iret
guest on_error
	popl %eax
	movl %eax, SEEN
	incl COUNT
	iret

/* For a page of its own, in two versions of the same length. */
guest first_bytes
1:	movb $0xa1, %al
	outb %al, $PORT_OUT
	jmp 1b
guest second_bytes
1:	movb $0xb2, %al
	outb %al, $PORT_OUT
	jmp 1b

guest stores
	movl $1, SELF + 0x1000
	movb $2, SELF + 0x3fff
	movl $SELF + 0x5000, %edi
	movl $4, %ecx
	rep stosl
	say 1
	jmp guest_stores

/* ---- code that the VMM writes ---- */

/* What all pages add up to, in eax. */
guest sum
	xorl %eax, %eax
	movl $PAGES, %edx
1:	call *%edx
	addl $0x1000, %edx
	cmpl $PAGES_END, %edx
	jb 1b
	ret

guest sums
1:	call guest_sum
	outb %al, $PORT_OUT
	jmp 1b

/* The handler alone calls the pages; SEEN_NEXT tells that the guest is computing. */
guest interrupted
	mask_pics
	apic_on
	movl $0x10 + 2 * IOAPIC_PIN, IOAPIC
	movl $V_IOAPIC, IOAPIC + 0x10
	sti
1:	movl COUNT, %ecx
2:	incl SEEN_NEXT
	cmpl %ecx, COUNT
	je 2b
	movl SEEN, %eax
	outb %al, $PORT_OUT
	jmp 1b
guest on_interrupted
	pushl %edx
	pushl %eax
	call guest_sum
	movl %eax, SEEN
	incl COUNT
	apic_eoi
	popl %eax
	popl %edx
	iret

guest end
	.section .note.GNU-stack, "", @progbits
