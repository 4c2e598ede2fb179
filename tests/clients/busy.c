/* SPDX-License-Identifier: MIT */
/*
 * A guest program that notices when its machine is not quite the same any more: it fills memory with patterns,
 * checks them, and watches the clocks. Prints "tick N" ten times a second; "BAD ..." when something is wrong.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WORDS (4u << 20) /* 32 MiB */
#define PIECE (WORDS / 64)

static uint64_t pattern(uint64_t index, uint64_t round)
{
	return (index + round * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
}

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void fill(uint64_t *memory, uint64_t piece, uint64_t round)
{
	for (uint64_t i = piece * PIECE; i < (piece + 1) * PIECE; i++)
		memory[i] = pattern(i, round);
}

static void check(const uint64_t *memory, uint64_t piece, uint64_t round)
{
	for (uint64_t i = piece * PIECE; i < (piece + 1) * PIECE; i++)
		if (memory[i] != pattern(i, round)) {
			printf("BAD memory at %llu\n", (unsigned long long)i);
			exit(1);
		}
}

/* Time that a virtual machine stands still may be missing, but little may appear and none go back. */
static void check_clock(clockid_t clock, double *last)
{
	double t = now(clock);

	if (t < *last || t > *last + 120)
		printf("BAD clock %d: %.6f after %.6f\n", (int)clock, t, *last);
	*last = t;
}

int main(void)
{
	uint64_t *memory = malloc(WORDS * sizeof(*memory));
	double mono = now(CLOCK_MONOTONIC), real = now(CLOCK_REALTIME), next = mono;
	unsigned tick = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (uint64_t p = 0; p < 64; p++)
		fill(memory, p, 0);
	for (uint64_t n = 0;; n++) {
		check(memory, n % 64, n / 64);
		fill(memory, n % 64, n / 64 + 1);
		check_clock(CLOCK_MONOTONIC, &mono);
		check_clock(CLOCK_REALTIME, &real);
		if (mono >= next) {
			printf("tick %u\n", tick++);
			next = mono + 0.1;
		}
	}
}
