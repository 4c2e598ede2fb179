/* SPDX-License-Identifier: MIT */
/*
 * A second opinion on the page walk: written from the tables of SDM 3:4 as plainly as possible, one function
 * a paging mode, on an array of bytes. And a generator of paging states and accesses.
 */
#ifndef TESTS_MEM_WALK_MODEL_H
#define TESTS_MEM_WALK_MODEL_H

#include "tests/unit/world/memory.h"

#define MODEL_PAGES 16 /* of RAM, all of it page tables */
#define MODEL_BYTES (MODEL_PAGES * PAGE_SIZE)

enum model_result { MODEL_OK, MODEL_FAULT, MODEL_NO_RAM, MODEL_NONCANONICAL };

struct model_walk {
	enum model_result result;
	u32 error;
	u64 gpa, page_size;
	bool user, writable, nx, global;
};

/* Walks ram as cpu would, setting A and D bits in it. */
void model_walk(const struct cpu *cpu, u8 *ram, u64 lin, unsigned acc, struct model_walk *ret);

/* Compare mmu_walk() with the model n times; false and a report on stderr at the first difference. */
bool model_compare(struct fixture *f, struct random *r, unsigned n);

#endif
