/* SPDX-License-Identifier: MIT */
/*
 * What probe_guest.S and the probe agree on. The guest runs in long mode on startinfo's page tables, reports each step
 * that it came through at PROBE_PORT_STEP, and writes PROBE_EXITS times to PROBE_PORT_TIME in between.
 */
#ifndef BOOT_PROBE_GUEST_H
#define BOOT_PROBE_GUEST_H

#define PROBE_CODE      0x100000
#define PROBE_PORT_STEP 0x10
#define PROBE_PORT_TIME 0x11
#define PROBE_EXITS     1000

#define PROBE_STEP_CPUID     1
#define PROBE_STEP_MSR       2
#define PROBE_STEP_CONTROL   3
#define PROBE_STEP_EXCEPTION 4
#define PROBE_STEP_FAULT     5
#define PROBE_STEP_USER      6
#define PROBE_STEP_TIMER     7
#define PROBE_STEP_TABLES    8
#define PROBE_STEP_EXITS     9
#define PROBE_STEP_DONE      10

#ifndef __ASSEMBLER__
extern const unsigned char probe_guest_start[], probe_guest_end[];
#endif

#endif
