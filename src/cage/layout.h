/* SPDX-License-Identifier: MIT */
/*
 * Where everything is in the cage's own part of its address space, from CAGE_AREA on: the region, a guard page, and the ranges of
 * memory, which are not accessible. For C and assembly. The region is also mapped in the parent, all of it writable.
 */
#ifndef CAGE_LAYOUT_H
#define CAGE_LAYOUT_H

/* An address that programs hardly use: above what is linked at fixed addresses, below heaps, libraries and stacks. */
#define CAGE_AREA 0x3cab00000000

#define CAGE_CODE          0x00000 /* executable: stub.S */
#define CAGE_CONTROL       0x01000 /* readable: what a thread needs when it goes on */
#define CAGE_COMMANDS      0x02000 /* readable: what the mapper shall do */
#define CAGE_COMMANDS_SIZE 0x10000
#define CAGE_FRAME         0x12000 /* writable: the stack of the signal handlers */
#define CAGE_FRAME_SIZE    0x10000
#define CAGE_REGION_SIZE   0x22000
#define CAGE_RAM           0x23000

/* struct cage_control */
#define CONTROL_FS_BASE 0
#define CONTROL_GS_BASE 8
#define CONTROL_RSP     16
#define CONTROL_RFLAGS  24

#define CAGE_COMMAND_SIZE 64

/* struct birth_report, at CAGE_FRAME until the process is born */
#define REPORT_WATCHER 8

/* struct kernel_frame (run.h); the kernel's stack at a handler begins 8 bytes lower */
#define FRAME_RIP    168
#define FRAME_TRAPNO 200

/* siginfo.si_code, and what it is for a hit of perf_event_open(2): TRAP_PERF */
#define INFO_CODE 8
#define CODE_HIT  6

/* The system call that waits for the parent's answer: one that no sandbox has a reason to forbid. */
#define NR_PARK 39 /* getpid */

#endif
