/* SPDX-License-Identifier: MIT */
/*
 * Numbers that the assembler and C agree on: a thread's block of memory, and the frame of a signal.
 *
 * A block is aligned to its size, so that whoever runs on the stack in it finds its thread from the
 * stack pointer, whatever fs is:
 *
 *   page 0   struct thread
 *   page 1   the gadgets: system calls from here are never dispatched to us
 *   page 2   a guard
 *   rest     the alternate signal stack, on which all of our work is done
 */
#ifndef SHIM_INJECT_LAYOUT_H
#define SHIM_INJECT_LAYOUT_H

#define BLOCK_SIZE 0x100000

#define T_SELECTOR   0
#define T_INSIDE     1
#define T_FS_CALLS   2
#define T_EDGE       4
#define T_PROGRAM_FS 8
#define T_OUR_FS     16
#define T_RET        24
#define T_RESULT     32
#define T_FINISH     40
#define T_HOME       48

/* Offsets in the page of gadgets. */
#define GADGETS          4096
#define GADGET_PASS      0  /* syscall; jmp [T_RET] */
#define GADGET_DETOUR    16 /* syscall; mov [T_RESULT], rax; jmp [T_FINISH] */
#define GADGET_STORED    25 /* in it: the result is stored */
#define GADGET_RETURN    48 /* rt_sigreturn */
#define GADGETS_END      64
#define SYSCALL_INSN_LEN 2

#define UC_RSP 160 /* in struct context */

#endif
