/* SPDX-License-Identifier: MIT */
/* The time that passes while the terminal is waited for. */
#ifndef BOOT_CLOCK_H
#define BOOT_CLOCK_H

#include <time.h>

#include "base/types.h"

/* Milliseconds since some moment in the past. */
static inline u64 now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (u64)now.tv_sec * 1000 + (u64)now.tv_nsec / 1000000;
}

#endif
