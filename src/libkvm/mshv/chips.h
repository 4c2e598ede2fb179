/* SPDX-License-Identifier: MIT */
/*
 * The interrupt controllers that this hypervisor leaves to its user: the PIC pair, the IOAPIC and the PIT, models from
 * chips/. Their outputs become interrupts that are asserted at the local APICs.
 */
#ifndef LIBKVM_MSHV_CHIPS_H
#define LIBKVM_MSHV_CHIPS_H

#include <pthread.h>
#include <stdatomic.h>

#include "chips/ioapic.h"
#include "chips/pic.h"
#include "chips/pit.h"

struct emu_piece;
struct partition;

struct chips {
	pthread_mutex_t lock; /* guards all of it */
	bool present, has_pit;
	struct pic pic;
	/* The PIC's interrupt is taken from it when the processor that gets it is about to run, or runs. */
	_Atomic bool pic_waits, runs;
	struct ioapic ioapic;
	struct pit pit;
	/* One thread makes the PIT's edges: at the time of the next, or when `changed` tells of another time. */
	pthread_t ticker;
	pthread_cond_t changed;
	bool ends;
	u64 ticks; /* edges of OUT0 that were seen */
};

void chips_init(struct partition *p);
/* PIC and IOAPIC. */
void chips_create(struct partition *p);
void chips_destroy(struct partition *p);

/* True if it is an access to a chip; what is read is put to data. */
bool chips_port(struct partition *p, u16 port, bool out, unsigned size, u8 *data);
bool chips_mmio(struct partition *p, struct emu_piece *piece, bool write);
/* Around each time that vCPU 0 runs: it gets what the PIC has. */
void chips_run_begins(struct partition *p);
void chips_run_ends(struct partition *p);
/* A local APIC is done with the vector of a level-triggered interrupt. */
void chips_eoi(struct partition *p, u32 vector);
/* Under the lock. */
void chips_line(struct partition *p, u32 gsi, bool level);

/* ---- the PIT: pit.c ---- */

int ticker_start(struct partition *p);
void ticker_stop(struct partition *p);
/* Under the lock. */
bool pit_port(struct chips *c, u16 port, bool out, u8 *value);

#endif
