/* SPDX-License-Identifier: MIT */
/*
 * Finds in what a guest sends to a terminal the sequences that a terminal answers: what it is, where the cursor stands,
 * which colours it has. The answer is input, and whoever reads the terminal then gets it.
 */
#ifndef BOOT_QUERY_H
#define BOOT_QUERY_H

#include <stdbool.h>

#include "base/types.h"

/* All zero at the beginning. */
struct query {
	u8 state, private, before;
	bool asks;
};

/* The next byte of the output; true when a question ends with it. */
bool query_byte(struct query *q, u8 byte);

#endif
