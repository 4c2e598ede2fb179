/* SPDX-License-Identifier: MIT */
/* What a fuzzer's process must not hold more of from round to round. */
#ifndef FUZZ_HOLDINGS_H
#define FUZZ_HOLDINGS_H

#include <stdbool.h>

struct holdings {
	long fds, heap, mapped, threads;
};

/* Before any thread: what the C library holds for threads must not depend on how many of them have met. */
void holdings_begin(void);
struct holdings look(void);
/* Says what has grown between two rounds, on stderr. */
bool any_leak(const struct holdings *a, const struct holdings *b);

#endif
