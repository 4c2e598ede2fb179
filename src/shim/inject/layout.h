/* SPDX-License-Identifier: MIT */
/*
 * Numbers that the assembler and C agree on: a thread's block of memory, and the frame of a signal.
 *
 * A block is aligned to its size, so that whoever runs on the stack in it finds its thread from the
 * stack pointer, whatever fs is:
 *
 *   page 0       struct thread
 *   page 1       the gadgets: system calls from here are never dispatched to us
 *   page 2       a guard
 *   lower half   the stack for calls from rewritten sites (site.S), and a guard
 *   upper half   the alternate signal stack, on which all other work of ours is done
 *
 * Generated code runs on a stack of its own, so a signal that comes then is put at the top of the alternate
 * one: whose work would be lost if calls from sites were served there.
 */
#ifndef SHIM_INJECT_LAYOUT_H
#define SHIM_INJECT_LAYOUT_H

#define BLOCK_SIZE 0x200000
#define ALTSTACK   (BLOCK_SIZE / 2)

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
#define T_SITE_STACK 56
#define T_SITE_RSP   64
#define T_SITE       72
#define T_NEXT       80
#define T_PASS       88
#define T_CLASSES    96
#define T_MAGIC      104
#define T_XMASK      112
#define T_HELD       116
#define T_XSAVEC     120

/* Offsets in the page of gadgets. */
#define GADGETS          4096
#define GADGET_PASS      0  /* syscall; jmp [T_RET] */
#define GADGET_DETOUR    16 /* syscall; mov [T_RESULT], rax; jmp [T_FINISH] */
#define GADGET_STORED    25 /* in it: the result is stored */
#define GADGET_RETURN    48 /* rt_sigreturn */
#define GADGETS_END      64
#define SYSCALL_INSN_LEN 2

/* In struct context. */
#define UC_R8     40
#define UC_RDI    104
#define UC_RSP    160
#define UC_RIP    168
#define UC_RFLAGS 176

/* What a call from a rewritten site needs on our stack: its struct context, then the vector state. */
#define SITE_CONTEXT (ALTSTACK - 4096 - 4096 - 320)
#define SITE_XSAVE   320

/* inject_site_check() and inject_site_serve(): who answers, or has answered. */
#define SITE_PASS  0 /* the kernel */
#define SITE_SLOW  1 /* we, after a signal */
#define SITE_SERVE 2 /* we, here */
#define SITE_DONE  3

/* In struct slot_data. */
#define DATA_RESUME 0
#define DATA_SHOWN  8

/* The kernel knows no system call of a higher number. */
#define CALL_CLASSES_LOG 9
#define CALL_CLASSES     (1 << CALL_CLASSES_LOG)

#endif
