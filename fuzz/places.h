/* SPDX-License-Identifier: MIT */
/*
 * Slots that come and go in the places of a box while its vcpus run.
 *
 * Memory that is in no slot is filled with canaries as soon as the request has returned that took it away: from then on no
 * guest may change it, and none may see it.
 */
#ifndef FUZZ_PLACES_H
#define FUZZ_PLACES_H

#include "fuzz/box.h"

#define MEMORIES     4
#define MEMORY_BYTES 0x20000
#define CANARY       0xdeadca4a41e5dea1ull

struct memory {
	u8 *host;
	u64 gpa;
	u32 flags;
	bool used, still; /* in a slot; protected: KVM_RUN is -EFAULT meanwhile */
};

struct places {
	struct box *b;
	struct random r;
	struct memory memory[MEMORIES];
	int guest_memfd; /* or -1 */
	_Atomic u64 steps;
};

void places_open(struct places *p, struct box *b, struct random r);
/* Something changes. */
void places_step(struct places *p);
/* No slot is left; then, once no vcpu runs any more, what they must not have done is looked for. */
void places_empty(struct places *p);
void places_check(struct places *p);
void places_close(struct places *p);

#endif
