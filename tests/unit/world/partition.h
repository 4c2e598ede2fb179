/* SPDX-License-Identifier: MIT */
/*
 * A Hyper-V partition (OPT_INTERCEPTS) with one processor: 64-bit code under tables that map everything to itself. Each
 * test runs twice, by step() only and with translation, which is checked to have happened.
 */
#ifndef TESTS_UNIT_WORLD_PARTITION_H
#define TESTS_UNIT_WORLD_PARTITION_H

#include "world.h"

/* In RAM, beside CODE and STACK */
#define PML4    0x10000
#define PDPT    0x11000
#define GDT_AT  0x12000
#define IDT_AT  0x13000
#define HANDLER 0x14000
#define DATA    0x20000 /* up to the end */
/* In no slot, and 2 pages for one that a test makes */
#define DEVICE  0x50000u
#define APIC    0xfee00000u

extern struct world w;

int partition_setup_step(void **state);
int partition_setup_translate(void **state);
int partition_teardown(void **state);
#define BOTH_WAYS(test)                                                                            \
	{#test " step", test, partition_setup_step, partition_teardown, NULL},                     \
	{                                                                                          \
#test " translate", test, partition_setup_translate, partition_teardown, NULL      \
	}

/* At level 0; each register has a value of its own, but rbx is DEVICE. */
void start_at(u64 rip);
#define GUEST(...)                                                                                 \
	do {                                                                                       \
		WORLD_PUT(&w, CODE, __VA_ARGS__);                                                  \
		start_at(CODE);                                                                    \
	} while (0)
/* What a guest ends with: an OUT that says that it has come so far. */
#define PORT_SAY 0x99
#define SAY      0xe6, PORT_SAY
void says(void);
void set_gpr(unsigned reg, u64 value);
void set_rip(u64 rip);
/* An interrupt gate. */
void gate(u8 vector, u64 handler);
/* Slot 1: the memory of DATA at DEVICE. size 0 deletes it. */
void put_slot(u32 flags, u64 size);

/* All that a VMM sees of the processor, and whether an exit in front of an instruction may be between the two. */
#define STATE_ALL (ST_REGS | ST_SREGS | ST_XSAVE | ST_XCR | ST_DEBUG | ST_EVENT)
bool same_state(const struct vcpu_state *before, const struct vcpu_state *after);
/* The guest leaves in front of the instruction at rip: the whole state is as it was. */
const struct exit *leaves(u32 reason);
/* The same on this part of device memory; twice, because rip stays. */
void touches(u32 reason, u64 gpa, unsigned len, bool rmw, unsigned insn_len);
/* What is told of that instruction. */
void insn_is(unsigned len);
void no_insn(void);
/* The caller has done it, and the guest says that it goes on. */
void goes_on(void);

#endif
