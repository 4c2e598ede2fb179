/* SPDX-License-Identifier: MIT */
/* See sys.h. The System V convention on both sides; the kernel wants argument 4 in r10. */
#include <sys/syscall.h>

	.text
	.p2align 4
	.globl sys_raw, sys_return, sys_restorer, sys_restorer_return
	.hidden sys_raw, sys_return, sys_restorer, sys_restorer_return
	.type sys_raw, @function
sys_raw:
	.cfi_startproc
	mov %rdi, %rax
	mov %rsi, %rdi
	mov %rdx, %rsi
	mov %rcx, %rdx
	mov %r8, %r10
	mov %r9, %r8
	mov 8(%rsp), %r9
	syscall
sys_return:
	ret
	.cfi_endproc
	.size sys_raw, . - sys_raw

/*
 * Where signal handlers return to. Debuggers and unwinders know it by exactly these bytes, and
 * look for a function at the address before it.
 */
	nop
	.p2align 4
	.type sys_restorer, @function
sys_restorer:
	mov $SYS_rt_sigreturn, %rax
	syscall
sys_restorer_return:
	.size sys_restorer, . - sys_restorer

	.section .note.GNU-stack, "", @progbits
