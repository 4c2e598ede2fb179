/* SPDX-License-Identifier: MIT */
/*
 * Slots that come and go in the places of a box while its vcpus run.
 *
 * Memory that is in no slot is filled with canaries as soon as the request has returned that took it away: from then on no
 * guest may change it, and none may see it. One memory is large: thousands of TLB entries of each vcpu lie in it.
 */
#ifndef FUZZ_PLACES_H
#define FUZZ_PLACES_H

#include "fuzz/box.h"

#define SMALL       4 /* memories; behind them comes the large one */
#define MEMORIES    (SMALL + 1)
#define SMALL_BYTES 0x20000
#define CANARY      0xdeadca4a41e5dea1ull

/* So large that what the engine keeps of each of its pages is a mapping of its own, which goes with the slot. */
#define LARGE_GPA    (PLACE_GPA + PLACES * PLACE_BYTES)
#define LARGE_BYTES  0x6000000u
#define LARGE_ROOM   (2 * PLACE_BYTES) /* to be moved in */
#define LARGE_REACH  (LARGE_BYTES + LARGE_ROOM)
#define LARGE_PERIOD 0x40000u

struct memory {
	u8 *host; /* NULL: there is none in this case */
	u64 gpa, bytes;
	u32 period; /* after so many bytes come the same ones again */
	u32 flags;
	bool used, still; /* in a slot; protected: KVM_RUN is -EFAULT meanwhile */
};

struct places {
	struct box *b;
	struct random r;
	struct memory memory[MEMORIES];
	int guest_memfd; /* or -1 */
	unsigned large;  /* percent of the steps are about the large one */
	_Atomic u64 steps;
};

/* An address in a place, mostly on the edge of a page. */
u64 place_address(struct random *r);
/* Page tables for where the large memory can be. */
void places_tables(struct box *b);
/* large: percent of the steps that are about the large memory. */
void places_open(struct places *p, struct box *b, unsigned large, struct random r);
/* Something changes. */
void places_step(struct places *p);
/* No slot is left; then, once no vcpu runs any more, what they must not have done is looked for. */
void places_empty(struct places *p);
void places_check(struct places *p);
void places_close(struct places *p);

#endif
