/* SPDX-License-Identifier: MIT */
/*
 * One cpu with 1 MiB of flat fake memory in place of engine/mem, for the instruction handlers: a test
 * gives instruction bytes, they are decoded and handled, and registers and memory are looked at.
 * Vector state is in cpu->xsave_area (the handlers are built with UV_EAGER_FPU).
 */
#ifndef TESTS_UNIT_OPS_WORLD_H
#define TESTS_UNIT_OPS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "engine/cpu/fpu.h"
#include "engine/cpu/segment.h"

#define WORLD_SIZE 0x100000
#define BAD        0x40000 /* page that is not present */
#define RO         0x42000 /* page that is read-only */
#define MMIO       0x44000
#define NOHOST     0x46000 /* RAM that has no host address, as a watched page */
#define STACK      0x80000
#define DATA       0x20000 /* eight pages of RAM */
#define TSS        0x90000

struct world {
	struct cpu cpu;
	u8 mem[WORLD_SIZE] __attribute__((aligned(4096)));
	unsigned flush_all, flush_nonglobal, flush_page;
	u64 flushed;
};
extern struct world w;

/* Start states: rip 0x1000, flat segments, gpr zero but rsp = STACK. */
void start_long(unsigned cpl);
void start_protected(unsigned cpl); /* 32-bit */
void start_real(void);

/* Decode and handle one instruction; rip advances on CPU_OK only, as step() does it. */
int exec_bytes(const u8 *bytes, unsigned n);
#define EXEC(...) exec_bytes((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

u64 peek(u64 addr, unsigned size);
void poke(u64 addr, u64 value, unsigned size);
void answer(u8 reason, u64 addr, unsigned len, u64 value);

#define NO_ERROR (~0u)
void assert_fault(int r, u8 vector, u32 error);
#define assert_gp(r) assert_fault(r, X86_GP, 0)
#define assert_ud(r) assert_fault(r, X86_UD, NO_ERROR)

#endif
