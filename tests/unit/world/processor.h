/* SPDX-License-Identifier: MIT */
/*
 * A processor of the real engine that is inside without running, for tests that call single handlers: 1 MiB of memory,
 * linear addresses equal to physical ones, and page tables in which some pages are not plain memory. The
 * tables lie outside of that memory. tables.h and insns.h have the states from which tests start.
 *
 * The processor is an Intel one with all that the engine can offer, whatever the host is. Each start makes a new vcpu.
 */
#ifndef TESTS_UNIT_WORLD_PROCESSOR_H
#define TESTS_UNIT_WORLD_PROCESSOR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "engine/core/cpu.h"

#define WORLD_SIZE 0x100000
/* With paging only, as what is above WORLD_SIZE: */
#define BAD        0x40000 /* page that is not present */
#define RO         0x42000 /* page that is read-only */
#define SUPERVISOR 0x48000 /* page that is not for users; all others are */
/* Always: */
#define MMIO       0x44000 /* in no slot */
#define NOHOST                                                                                     \
	0x2a000 /* watched, so that a store has no host address; the watcher is one that leaves it so */

struct processor {
	struct machine *m;
	struct cpu *cpu;
	u8 *mem;
};
extern struct processor w;

/* A new vcpu in its reset state, and zeroed memory. */
void processor_new(void);
/* The group's teardown: nothing of it is left. */
int processor_close(void **state);
/* Paging on, with tables of the mode: EFER.LME or not. CR0.WP as well, so that RO is read-only for all. */
void processor_paging(void);
/* Other tables of 32-bit paging that translate the same, to be loaded by a test. */
#define OTHER_CR3 0x206000

u64 peek(u64 addr, unsigned size);
void poke(u64 addr, u64 value, unsigned size);

#define NO_ERROR (~0u)
void assert_fault(int r, u8 vector, u32 error);

#endif
