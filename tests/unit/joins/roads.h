/* SPDX-License-Identifier: MIT */
/* The ways in which a program can change memory of its own, or another program for it, each as one function. */
#ifndef TESTS_UNIT_JOINS_ROADS_H
#define TESTS_UNIT_JOINS_ROADS_H

#include <stddef.h>

#include "base/types.h"

struct road_memory {
	u8 *base;
	unsigned pages;
	int file;          /* what base is a shared mapping of, else -1 */
	u8 *second;        /* a second mapping of that */
	struct ring *ring; /* by_fixed_buffer's */
};

struct road {
	const char *name;
	/* Writes road_code() of value to the n-th page. False: it cannot be done on this host. */
	bool (*write)(struct road_memory *m, unsigned n, u8 value);
	bool shared; /* needs such memory */
	bool faults; /* makes a userfaultfd */
};

extern const struct road roads[];
extern const unsigned road_count;

void road_memory_open(struct road_memory *m, unsigned pages, bool shared);
void road_memory_close(struct road_memory *m);
/* A function that adds value to al. */
void road_code(u8 *to, u8 value);

#endif
