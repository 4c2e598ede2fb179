/* SPDX-License-Identifier: MIT */
/*
 * A world for the memory part: slots as each test wants them, and processors that are inside without running, so that
 * the test can call what inner code calls. The machine's code watcher, which would be the translator's, is one that
 * counts; pauses and requests are the engine's own and are seen by the machine's statistics.
 */
#ifndef TESTS_UNIT_WORLD_MEMORY_H
#define TESTS_UNIT_WORLD_MEMORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/core/machine.h"
#include "engine/mem/mem.h"

struct fixture {
	struct machine *m;
	struct cpu *cpu; /* of the first vcpu */
	u8 *ram;
	u64 ram_size;
};

/* What the code watcher was told. */
extern struct told {
	_Atomic unsigned written, written_external;
	u64 written_gpa, written_len;
} told;

/* vcpus of them, and RAM at gpa 0 in slot 0 if ram_size is not 0. */
void fixture_open(struct fixture *f, unsigned vcpus, u64 ram_size);
void fixture_close(struct fixture *f);
/* How often all vcpus were paused, and others asked to flush, since the machine was made. */
u64 fixture_pauses(const struct fixture *f);
u64 fixture_requests(const struct fixture *f);
int fixture_slot(struct fixture *f, u32 id, u32 flags, u64 gpa, u64 size, void *hva);
/* What vcpu.c does on entry: serve the flush requests. */
void fixture_serve(struct cpu *cpu);

void fixture_unpaged(struct cpu *cpu);
/* 64-bit paging at CPL 0 with these extra CR4 bits. */
void fixture_long_mode(struct cpu *cpu, u64 cr3, u64 cr4);
void fixture_view(struct cpu *cpu, unsigned view);

static inline void put64(struct fixture *f, u64 gpa, u64 value)
{
	memcpy(f->ram + gpa, &value, 8);
}

static inline u64 get64(const struct fixture *f, u64 gpa)
{
	u64 v;

	memcpy(&v, f->ram + gpa, 8);
	return v;
}

/* xorshift64*: the same numbers everywhere for a seed */
struct random {
	u64 state;
};

static inline u64 random_next(struct random *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * 0x2545f4914f6cdd1dull;
}

static inline u64 random_below(struct random *r, u64 n)
{
	return (random_next(r) >> 16) % n;
}

static inline bool one_in(struct random *r, unsigned n)
{
	return random_below(r, n) == 0;
}

#endif
