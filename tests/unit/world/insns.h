/* SPDX-License-Identifier: MIT */
/*
 * A processor (processor.h) for single instructions: a test gives bytes, they are decoded and handled as step() does it,
 * and registers and memory are looked at. Vector state is in cpu->xsave_area, where the tests' own code cannot disturb
 * it: the engine is one that is built with UV_EAGER_FPU, as those under sanitizers are.
 */
#ifndef TESTS_UNIT_WORLD_INSNS_H
#define TESTS_UNIT_WORLD_INSNS_H

#include "processor.h"
#include "seen.h"
#include "engine/cpu/fpu.h"
#include "engine/cpu/segment.h"

#define STACK 0x80000
#define DATA  0x20000 /* eight pages of RAM */
#define TSS   0x90000

/* Start states: rip 0x1000, flat segments, gpr zero but rsp = STACK. */
void start_long(unsigned cpl);
void start_protected(unsigned cpl); /* 32-bit */
void start_paged(unsigned cpl);     /* 32-bit with paging, for BAD and RO */
void start_real(void);

/* Decode and handle one instruction; rip advances on CPU_OK only, as step() does it. */
int exec_bytes(const u8 *bytes, unsigned n);
#define EXEC(...) exec_bytes((const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))

void answer(u8 reason, u64 addr, unsigned len, u64 value);

#define assert_gp(r) assert_fault(r, X86_GP, 0)
#define assert_ud(r) assert_fault(r, X86_UD, NO_ERROR)

#endif
