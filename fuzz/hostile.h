/* SPDX-License-Identifier: MIT */
/*
 * Hostile guest code for one vcpu of a box: pieces that follow each other in a loop, each of which may be begun with.
 *
 * Whatever it does, it is the guest's right; what exceptions it raises end in AT_HANDLERS with an exit. Only on_own_code()
 * can tell of a fault by itself: it leaves at SMC_PORT when code that it has changed is run as it was.
 */
#ifndef FUZZ_HOSTILE_H
#define FUZZ_HOSTILE_H

#include "fuzz/box.h"

#define PIECES   72
#define SMC_PORT 0x77
#define APIC_AT  0x1ff000 /* linear address of the local APIC's page, with paging */

enum mode { MODE_LONG, MODE_FLAT, MODE_PAE, MODE_REAL, MODES };

/* What --without leaves out; the first ones are kinds of pieces. */
enum ingredient {
	STRINGS,
	TRAPS,
	IPIS,
	TABLES,
	SELECTORS,
	SMC,
	MSRS,
	CALLS,
	CONTROL,
	IO,
	REPEATED,
	RANDOM,
	SWEEPS,
	PIECE_KINDS,
	SLOTS = PIECE_KINDS,
	LARGE,
	COLLISIONS,
	PROTECT,
	REFUSED,
	EVENTS,
	IRQFDS,
	KICKS,
	STATES,
};

struct hostile {
	struct box *b;
	struct random r;
	struct code c;
	enum mode mode;
	int vcpu;
	unsigned often; /* the kind of most pieces, or PIECE_KINDS */
	u32 entry[PIECES];
	u32 smc[PIECES]; /* the entry of a piece of this kind, where its way out is */
	unsigned pieces;
	u8 was[CODE_BYTES]; /* the code as it was made */
};

/* Writes it to the vcpu's place in RAM. */
void hostile_make(struct hostile *h);

#endif
