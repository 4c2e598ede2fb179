/* SPDX-License-Identifier: MIT */
/*
 * Tests of joins: a guest of guests.S runs on the whole engine, and both ends of a way through it are looked at. Each test
 * runs twice, by step() only and with translation, which is checked to have happened.
 */
#ifndef TESTS_UNIT_JOINS_JOINS_H
#define TESTS_UNIT_JOINS_JOINS_H

#include "tests/unit/joins/layout.h"
#include "tests/unit/world/world.h"

extern struct world w;

/* guests.S */
extern const u8 guest_start[], guest_end[];

/* Opens the world with an interrupt controller and all guests at CODE; *state: not NULL for step. */
int join_setup_step(void **state);
int join_setup_translate(void **state);
int join_teardown(void **state);
#define BOTH_WAYS(test)                                                                            \
	{#test " step", test, join_setup_step, join_teardown, NULL},                               \
	{                                                                                          \
#test " translate", test, join_setup_translate, join_teardown, NULL                \
	}

struct vcpu *join_add_vcpu(void);
/* Flat 32-bit code at level 0, interrupts off, at a guest, whose name is that of guests.S. */
void join_start(struct vcpu *v, const u8 *guest);
/* An interrupt gate. */
void join_handler(u8 vector, const u8 *guest);
u32 join_address(const u8 *guest);

/* Until the guest says something: what. */
u8 join_run(struct vcpu *v);
u32 peek32(u32 addr);
u64 peek64(u32 addr);

#endif
