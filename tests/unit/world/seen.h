/* SPDX-License-Identifier: MIT */
/*
 * Counts what handlers ask of memory: accesses and flushes of the TLB. They happen all the same (--wrap; seen_args in
 * meson.build): a TLB hit leaves no trace that a test could look for.
 */
#ifndef TESTS_UNIT_WORLD_SEEN_H
#define TESTS_UNIT_WORLD_SEEN_H

#include "base/types.h"

extern struct seen {
	unsigned reads, writes, last_write_acc;
	unsigned flush_all, flush_nonglobal, flush_page;
	u64 flushed; /* linear address of the last page */
} seen;

#endif
