/* SPDX-License-Identifier: MIT */
/* One attempt to deliver an event; what to do when it fails is exception.c's business. */
#ifndef ENGINE_CPU_DELIVER_H
#define ENGINE_CPU_DELIVER_H

#include "engine/core/cpu.h"

struct event {
	u8 vector;
	bool soft; /* INT n, INT3, INTO: the gate's DPL is checked, and error codes have no EXT */
	bool has_error;
	u32 error;
	u64 flags; /* the image to push */
};

int deliver(struct cpu *cpu, const struct event *ev);
/*
 * Through an 8086 interrupt vector table: in real mode, and when a virtual-8086 program's own
 * handler is to run. flags is the image to push, clear says what is cleared besides TF and RF.
 */
int deliver_ivt(struct cpu *cpu, u8 vector, u64 table, u32 limit, u64 flags, u64 clear);

#endif
