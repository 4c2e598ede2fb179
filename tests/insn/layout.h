/* SPDX-License-Identifier: MIT */
/*
 * Where things are, in the guest's linear address space and at the same addresses in this process, so that one
 * sequence of instructions with its addresses means the same in both. What the host needs is below 2 GiB: 32-bit code reaches it, and
 * assembly without a free register does, too. No sum of two data or code addresses is another one's,
 * and no bit string of 32 bits reaches from data to code. Also included by host_enter.S.
 */
#ifndef TESTS_INSN_LAYOUT_H
#define TESTS_INSN_LAYOUT_H

#define L_CONTEXT    0x0d5a6000 /* struct host_context; not mapped in the guest */
#define L_CODE       0x10000000 /* read-only but for two pages */
#define L_CODE_PAGES 1024
#define L_CODE_RW    1020       /* number of the first of these two; after them is a hole */
#define L_DATA       0x28000000 /* two pages to write, one read-only; holes before and after */
#define L_DATA_PAGES 3
#define L_DATA_RW    2
#define L_LAND       0x0e5a3000    /* where a sequence jumps when it is done */
#define L_LAND32     0x0e5a3100    /* the same for 32-bit code */
#define L_SYSTEM     0x2a5c37b4000 /* guest only: descriptor tables, handlers, stack of handlers */
#define L_VSYSCALL   0xffffffffff600000 /* host only: Linux emulates system calls there */

/*
 * Cases with segments have a machine of their own without paging, which the host knows nothing of: all below 1 MiB, as
 * real mode needs it. What is not named here is MMIO.
 */
#define LOW_SYSTEM 0x10000 /* two pages, read-only: tables and handlers */
#define LOW_STACK  0x14000 /* one page: of handlers in protected mode */
#define LOW_DATA   0x30000 /* like L_DATA: two pages to write, one read-only */
#define LOW_CODE   0x50000 /* two pages to write */

/* Protected mode has the segments of a case in the LDT, where the host's kernel allows them, too. */
#define LOW_ENTRY       4
#define LOW_SELECTOR(i) ((LOW_ENTRY + (i)) * 8 + 7)

/* The selectors that Linux gives its processes, so that storing one is the same everywhere. */
#define SEL_USER_CODE32 0x23
#define SEL_USER_DATA   0x2b
#define SEL_USER_CODE   0x33

/* struct host_context */
#define HC_IN        0 /* byte: between host_enter() and its return */
#define HC_SELECTOR  1 /* byte: system calls are refused (PR_SET_SYSCALL_USER_DISPATCH) */
#define HC_FSGSBASE  2 /* byte: the host has the instructions; else arch_prctl() sets the bases */
#define HC_HOST_RSP  8
#define HC_HOST_FS   16
#define HC_HOST_GS   24
#define HC_RIP       32 /* also, with the selector after it, a far pointer for 32-bit code */
#define HC_SEL       36
#define HC_TARGET    40 /* how to get there: host_go or host_go32 */
#define HC_LAND      48
#define HC_SIGNAL_FS 56
#define HC_SIGNAL_GS 64
#define HC_SEGMENTS  72 /* of cases with segments: words, 0 or the selectors of es, ss, ds, fs, gs */
#define HC_REGS      128 /* struct regs, in and out */

/* struct regs */
#define R_GPR(n)      ((n)*8)
#define R_RIP         128
#define R_RFLAGS      136
#define R_FS          144
#define R_GS          152
#define R_XSAVE       192
#define R_XSAVE_BYTES 2752 /* up to AVX-512's components, wherever a processor has them */
#define XSTATE_ALL    0xe7

#endif
