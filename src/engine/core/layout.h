/* SPDX-License-Identifier: MIT */
/*
 * Offsets of struct cpu for assembly and generated code; cache.c asserts that they are the compiler's.
 * While guest code runs the host's rsp points to struct cpu: everything is [rsp + offset], and below lies the vcpu's
 * own stack (CPU_STACK), where signal handlers run. No segment register is needed for it: not every host can set one.
 */
#ifndef ENGINE_CORE_LAYOUT_H
#define ENGINE_CORE_LAYOUT_H

/* What generated code spills most comes first, for short encodings. */
#define FRAME_GPR(n) (((n)-9) * 8) /* guest r9, r10, r11 */
#define FRAME_RCX    24            /* rcx during a flag-free check */
#define FRAME_CALL   32            /* a value while the stack is checked */
#define FRAME_FAR    40            /* selector of a far pointer */
#define FRAME_FLAGS  48            /* RFLAGS of an interrupt of real mode */
#define FRAME_PAGE   56 /* rip at which the page of a movable block begins (code/block.h) */
#define FRAME_SIZE   64

#define CPU_EXIT_REQUEST 64
#define CPU_IFLAG        68
#define CPU_HIGH_MASK    72
#define CPU_JUMP_MASK    80
#define CPU_PAGE_MASK    88
#define CPU_TLB          96 /* accesses of user code, the most frequent of all, have short encodings, too */
#define CPU_BEHIND_TLB   (CPU_TLB + 3 * 0x200000)
#define CPU_GPR(n)       (CPU_BEHIND_TLB + (n)*8)
#define CPU_RIP          (CPU_BEHIND_TLB + 128)
#define CPU_RFLAGS       (CPU_BEHIND_TLB + 136)
#define CPU_SCRATCH(n)   (CPU_BEHIND_TLB + 144 + (n)*8)
#define CPU_HOST_RSP     (CPU_BEHIND_TLB + 208)
#define CPU_BOUNCE_PTR   (CPU_BEHIND_TLB + 216)
#define CPU_TSC_OFFSET   (CPU_BEHIND_TLB + 224)

/* Status flags and DF: those of RFLAGS that live in the host's flags while guest code runs. */
#define HOST_FLAGS 0xcd5
#define FLAG_IF    0x200

#define CPU_SYS_FLAGS  CPU_SCRATCH(SLOT_SYSFLAGS)
#define SYS_FLAGS_DROP (HOST_FLAGS | FLAG_IF | 0x30000)

/* Scratch slots in use across code_enter() and its exits. */
#define SLOT_TARGET     0 /* host address to enter at */
#define SLOT_RECORD     1 /* exit record, returned by code_enter() */
/* While a string instruction runs inline: guest minus host address; outside 64-bit mode the guest's rsi and rdi. */
#define SLOT_STRING_SRC 2
#define SLOT_STRING_DST 4
#define SLOT_BORROW     3 /* value of a borrowed register */
#define SLOT_MXCSR      5 /* sanitized builds, on the way out */
#define SLOT_SYSFLAGS   6 /* RFLAGS without what lives in the host's flags, IF, RF and VM */

/* Below struct cpu. Handlers of the program may need much; what is not touched is not there. The guard catches more. */
#define CPU_STACK       (1 << 20)
#define CPU_STACK_GUARD 4096

#endif
