/* SPDX-License-Identifier: MIT */
/*
 * The code of a cage, copied to CAGE_CODE. Guest code can jump to every byte of it.
 *
 * The filters (filter.c) let a system call through only from the one instruction that ends at the label meant for it.
 * A thread that waits there is in the kernel, so what it goes on with is in registers that the guest may have chosen:
 * all that matters is loaded anew, from pages that only the parent can write, or is the parent's answer. That is a key, and
 * sigreturn is refused to those who do not have it: code that could return from a signal that never came would choose
 * the signal mask and the stack of the handlers, and by that where the kernel writes, whoever is run by then.
 */
#include <sys/syscall.h>

#include "cage/layout.h"

	.section .rodata
	.globl cage_stub, cage_stub_end, cage_stub_runner, cage_stub_handler, cage_stub_parked, cage_stub_returned
	.globl cage_stub_mapper, cage_stub_mapper_parked, cage_stub_mapped, cage_stub_watcher, cage_stub_watched
	.hidden cage_stub, cage_stub_end, cage_stub_runner, cage_stub_handler, cage_stub_parked, cage_stub_returned
	.hidden cage_stub_mapper, cage_stub_mapper_parked, cage_stub_mapped, cage_stub_watcher, cage_stub_watched
	.p2align 4
cage_stub:

/*
 * The runner begins with a signal, so that its parent learns where the kernel puts the frame.
 */
cage_stub_runner:
	ud2

/*
 * Every signal: edi its number, rsi siginfo, rdx ucontext. They go to the parent in the arguments of the call, with the bases
 * and, after #BP, the last byte of the instruction: CC is INT3, 03 is INT 3. It has just been executed, so it can be read.
 */
cage_stub_handler:
	rdfsbase %r10
	rdgsbase %r8
	xor %r9d, %r9d
	cmp $5, %edi /* SIGTRAP */
	jne 1f
	cmpl $CODE_HIT, INFO_CODE(%rsi) /* of a breakpoint: the frame has the number of an earlier trap */
	je 1f
	cmpq $3, FRAME_TRAPNO(%rdx)
	jne 1f
	mov FRAME_RIP(%rdx), %rax
	movzbl -1(%rax), %r9d
1:	mov $NR_PARK, %eax
	syscall
cage_stub_parked:
	test %rax, %rax
	js 2f
	mov %rax, %rdi /* the key; all registers but rax are the guest's again before another instruction of its own */
	/* sigreturn takes neither ID nor NT from the frame (SDM 3:2.3): POPF does. */
	lea cage_stub + CAGE_CONTROL + CONTROL_RFLAGS(%rip), %rsp
	popfq
	mov cage_stub + CAGE_CONTROL + CONTROL_RSP(%rip), %rsp
	xor %eax, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov cage_stub + CAGE_CONTROL + CONTROL_FS_BASE(%rip), %rax
	wrfsbase %rax
	mov cage_stub + CAGE_CONTROL + CONTROL_GS_BASE(%rip), %rax
	wrgsbase %rax
	mov $SYS_rt_sigreturn, %eax
	syscall
cage_stub_returned:
2:	ud2 /* the parent has gone: SIGILL is blocked here, which ends the process */

/*
 * The mapper: r12 the result of the last call, rbx how many were done. No stack and no signal, so that its state is
 * out of the guest's reach.
 */
cage_stub_mapper:
	xor %r12d, %r12d
	xor %ebx, %ebx
3:	mov %r12, %rdi
	mov %rbx, %rsi
	mov $NR_PARK, %eax
	syscall
cage_stub_mapper_parked:
	test %rax, %rax
	js 6f
	mov %rax, %r13
	xor %r12d, %r12d
	xor %ebx, %ebx
	lea cage_stub + CAGE_COMMANDS(%rip), %r14
4:	cmp %r13, %rbx
	je 3b
	mov (%r14), %rax
	mov 8(%r14), %rdi
	mov 16(%r14), %rsi
	mov 24(%r14), %rdx
	mov 32(%r14), %r10
	mov 40(%r14), %r8
	mov 48(%r14), %r9
5:	syscall
cage_stub_mapped:
	cmp $-4095, %rax
	jae 7f
	add $CAGE_COMMAND_SIZE, %r14
	inc %rbx
	jmp 4b
6:	mov $SYS_exit_group, %eax
	jmp 5b
7:	mov %rax, %r12
	jmp 3b

/*
 * The watcher waits for the end of its parent, by the epoll in edi: a call that writes nothing before there is something to
 * tell, so that it has no memory that guest code could change. That it cannot tell it then is all the same.
 */
cage_stub_watcher:
	mov %edi, %ebx
	movl $1, cage_stub + CAGE_FRAME + REPORT_WATCHER(%rip)
8:	mov %ebx, %edi
	lea cage_stub + CAGE_CONTROL(%rip), %rsi
	mov $1, %edx
	mov $-1, %r10
	mov $SYS_epoll_wait, %eax
9:	syscall
cage_stub_watched:
	cmp $-4, %rax /* EINTR: SIGSTOP and SIGCONT */
	je 8b
	mov $SYS_exit_group, %eax
	jmp 9b

cage_stub_end:

	.section .note.GNU-stack, "", @progbits
